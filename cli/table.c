/* SPDX-License-Identifier: MIT */
/*
 * See table.h. Cells are kept in one array, row by row, each with the text for people and, beside it, what a program gets.
 * An allocation that fails loses the cell; table_new()'s is the only one that a caller can see.
 */
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum cell_kind {
    CELL_NONE,
    CELL_TEXT,
    CELL_UINT,
    CELL_BOOL,
    CELL_LIST
};

struct cell {
    enum cell_kind kind;
    uint64_t number;
    char *text;   /* for people; NULL = none */
    char **items; /* CELL_LIST */
    size_t count;
};

struct table {
    const struct table_column *columns;
    size_t ncolumns;
    struct cell *cells; /* rows × ncolumns */
    size_t rows;
    size_t filled; /* cells of the last row */
};

struct table *table_new(const struct table_column *columns, size_t count)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return NULL;
    table->columns = columns;
    table->ncolumns = count;
    return table;
}

struct table *table_free(struct table *table)
{
    if (table == NULL)
        return NULL;
    for (size_t i = 0; i < table->rows * table->ncolumns; i++) {
        for (size_t k = 0; k < table->cells[i].count; k++)
            free(table->cells[i].items[k]);
        free(table->cells[i].items);
        free(table->cells[i].text);
    }
    free(table->cells);
    free(table);
    return NULL;
}

void table_row(struct table *table)
{
    struct cell *cells;
    size_t used;

    if (table == NULL)
        return;
    used = table->rows * table->ncolumns;
    cells = reallocarray(table->cells, used + table->ncolumns, sizeof(*cells));
    if (cells == NULL)
        return;
    memset(cells + used, 0, table->ncolumns * sizeof(*cells));
    table->cells = cells;
    table->rows++;
    table->filled = 0;
}

static struct cell *add(struct table *table, enum cell_kind kind, const char *text)
{
    struct cell *cell;

    if (table == NULL || table->rows == 0 || table->filled == table->ncolumns)
        return NULL;
    cell = &table->cells[(table->rows - 1) * table->ncolumns + table->filled++];
    cell->kind = kind;
    cell->text = strdup(text);
    return cell;
}

void table_text(struct table *table, const char *text)
{
    (void)add(table, CELL_TEXT, text);
}

void table_uint_as(struct table *table, uint64_t value, const char *text)
{
    struct cell *cell = add(table, CELL_UINT, text);

    if (cell != NULL)
        cell->number = value;
}

void table_uint(struct table *table, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    table_uint_as(table, value, text);
}

void table_bool_as(struct table *table, bool value, const char *text)
{
    struct cell *cell = add(table, CELL_BOOL, text);

    if (cell != NULL)
        cell->number = value;
}

void table_none(struct table *table)
{
    (void)add(table, CELL_NONE, "-");
}

void table_list(struct table *table, char *const *items, size_t count)
{
    struct cell *cell = add(table, CELL_LIST, "-");
    size_t length = 1;
    char *text;

    if (cell == NULL || count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        length += strlen(items[i]) + 2;
    text = calloc(1, length);
    cell->items = calloc(count, sizeof(*cell->items));
    if (text == NULL || cell->items == NULL) {
        free(text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            strcat(text, ", ");
        strcat(text, items[i]);
        cell->items[i] = strdup(items[i]);
        if (cell->items[i] != NULL)
            cell->count = i + 1;
    }
    free(cell->text);
    cell->text = text;
}

size_t table_get_rows(const struct table *table)
{
    return table == NULL ? 0 : table->rows;
}

size_t table_character(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < ' ' || first == 0x7f || (first == 0xc2 && (unsigned char)text[1] < 0xa0))
        return 0;
    return strnlen(text, length) == length && json_is_utf8(text, length) ? length : 0;
}

/* Columns that a text takes on a terminal: code points, since nothing here is double-width or combining. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; width++) {
        size_t length = table_character(text);
        text += length ? length : 1;
    }
    return width;
}

static const char *cell_text(const struct table *table, size_t row, size_t column)
{
    const char *text = table->cells[row * table->ncolumns + column].text;

    return text == NULL ? "" : text;
}

static void pad(FILE *out, size_t count)
{
    while (count-- > 0)
        (void)putc(' ', out);
}

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
    size_t fill = width - text_width(text);

    if (right)
        pad(out, fill);
    while (*text != '\0') {
        size_t length = table_character(text);
        (void)fwrite(length ? text : "?", 1, length ? length : 1, out);
        text += length ? length : 1;
    }
    if (!right && !last)
        pad(out, fill);
    if (last)
        (void)putc('\n', out);
    else
        pad(out, 2);
}

/* Do people see this column? */
static bool is_shown(const struct table *table, size_t column)
{
    if (table->columns[column].title == NULL)
        return false;
    if (!table->columns[column].optional)
        return true;
    for (size_t r = 0; r < table->rows; r++) {
        const char *text = cell_text(table, r, column);

        if (text[0] != '\0' && strcmp(text, "-") != 0)
            return true;
    }
    return false;
}

/* What the lines of a table have in common. */
struct layout {
    size_t *columns, *widths; /* of those that are shown */
    size_t count;
};

static void lay_out(const struct table *table, struct layout *layout)
{
    for (size_t c = 0; c < table->ncolumns; c++) {
        size_t width;

        if (!is_shown(table, c))
            continue;
        width = text_width(table->columns[c].title);
        for (size_t r = 0; r < table->rows; r++) {
            size_t cell = text_width(cell_text(table, r, c));

            width = cell > width ? cell : width;
        }
        layout->columns[layout->count] = c;
        layout->widths[layout->count++] = width;
    }
}

void table_print(const struct table *table, FILE *out)
{
    struct layout layout = {.count = 0};

    if (table == NULL)
        return;
    layout.columns = calloc(table->ncolumns, sizeof(*layout.columns));
    layout.widths = calloc(table->ncolumns, sizeof(*layout.widths));
    if (layout.columns != NULL && layout.widths != NULL)
        lay_out(table, &layout);
    for (size_t line = 0; line <= table->rows; line++) {
        for (size_t i = 0; i < layout.count; i++) {
            size_t c = layout.columns[i];

            print_cell(out, line == 0 ? table->columns[c].title : cell_text(table, line - 1, c),
                       layout.widths[i], table->columns[c].right, i + 1 == layout.count);
        }
    }
    free(layout.columns);
    free(layout.widths);
}

static void print_json_cell(const struct cell *cell, struct json *json)
{
    switch (cell->kind) {
    case CELL_NONE:
        json_null(json);
        break;
    case CELL_TEXT:
        json_string(json, cell->text == NULL ? "" : cell->text);
        break;
    case CELL_UINT:
        json_uint(json, cell->number);
        break;
    case CELL_BOOL:
        json_bool(json, cell->number != 0);
        break;
    case CELL_LIST:
        json_open(json, '[');
        for (size_t i = 0; i < cell->count; i++)
            json_string(json, cell->items[i]);
        json_close(json, ']');
        break;
    }
}

void table_print_json(const struct table *table, struct json *json)
{
    json_open(json, '[');
    for (size_t r = 0; table != NULL && r < table->rows; r++) {
        json_open(json, '{');
        for (size_t c = 0; c < table->ncolumns; c++) {
            if (table->columns[c].key == NULL)
                continue;
            json_key(json, table->columns[c].key);
            print_json_cell(&table->cells[r * table->ncolumns + c], json);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

const char *format_bytes(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(buf, size, "%" PRIu64 " B", bytes);
        return buf;
    }
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(buf, size, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

const char *format_usec(uint64_t usec, char *buf, size_t size)
{
    if (usec < 1000)
        (void)snprintf(buf, size, "%" PRIu64 " us", usec);
    else if (usec < 999950)
        (void)snprintf(buf, size, "%.1f ms", (double)usec / 1e3);
    else
        (void)snprintf(buf, size, "%.1f s", (double)usec / 1e6);
    return buf;
}

const char *format_age(uint64_t ms, char *buf, size_t size)
{
    uint64_t s = ms / 1000;

    if (s < 60)
        (void)snprintf(buf, size, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(buf, size, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(buf, size, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(buf, size, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
    return buf;
}
