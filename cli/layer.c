/* SPDX-License-Identifier: MIT */
/* `uds layer`: what sandboxes have written into an upper directory. See sbx/layer.h. */
#include <errno.h>
#include <getopt.h>
#include <sbx/layer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "json.h"
#include "list.h"
#include "path.h"
#include "subverb.h"
#include "table.h"
#include "verbs.h"

static int run(int argc, char **argv);

const struct verb verb_layer = {
    .name = "layer",
    .summary = "what sandboxes have written: look, commit, copy, throw away",
    .help =
        "usage: uds layer diff UPPER [--live] [--json]\n"
        "       uds layer commit UPPER DIR [--into] [--keep LIST] [--live] [--json]\n"
        "       uds layer fork UPPER NEW [--live]\n"
        "       uds layer reset UPPER\n"
        "\n"
        "UPPER is what `uds run --upper UPPER` was given. A sandbox that runs on it is frozen\n"
        "meanwhile.\n"
        "\n"
        "  diff      what was added, modified, deleted, or hides what is below (opaque)\n"
        "  commit    make a layer DIR of it, for `uds run --layer`; or change DIR by it\n"
        "  fork      another upper directory with the same in it\n"
        "  reset     empty it; no sandbox may run on it\n"
        "\n"
        "options:\n"
        "  --into               commit: DIR is an existing layer, what was deleted is deleted\n"
        "  --keep LIST          commit: what is dropped otherwise: setuid, file-caps, devices\n"
        "  --live               do not freeze: what is read may be half done\n"
        "  --json               for programs\n"
        "  --run-dir DIR        where the sandbox is written down (default: as it was started)\n"
        "\n"
        "exit codes: 0 done; 1 it could not be done; 2 wrong usage.\n"
        "\n"
        "examples:\n"
        "  uds run --layer /srv/debian --upper /srv/work --uid 0 -- rm -r /usr/share/doc\n"
        "  uds layer diff /srv/work\n"
        "  uds layer commit /srv/work /srv/small\n"
        "  uds run --layer /srv/debian --layer /srv/small -- ls /usr/share\n"
        "  uds layer reset /srv/work\n",
    .run = run,
};

enum layer_option {
    OPT_INTO = 256,
    OPT_KEEP,
    OPT_LIVE,
    OPT_JSON,
    OPT_RUN_DIR,
};

enum {
    MOST_ENTRIES = 1000000
};

struct layer_options {
    struct sbx_layer layer;
    bool into, json;
    uint32_t keep;
    char *upper, *target;    /* absolute, owned */
    struct run_list entries; /* struct sbx_layer_entry, with paths of their own */
};

static const struct {
    const char *name;
    uint32_t part;
} parts[] = {{"setuid", SBX_LAYER_SETUID},
             {"file-caps", SBX_LAYER_FILE_CAPS},
             {"devices", SBX_LAYER_DEVICES},
             {"socket", SBX_LAYER_SOCKETS},
             {"attribute", SBX_LAYER_XATTRS}};

static const char *change_name(enum sbx_layer_change change)
{
    static const char *const names[] = {"?", "added", "modified", "deleted", "opaque", "dropped"};
    return change <= SBX_LAYER_DROPPED ? names[change] : names[0];
}

static const char *kind_name(uint32_t mode)
{
    return S_ISREG(mode)    ? "file"
           : S_ISDIR(mode)  ? "directory"
           : S_ISLNK(mode)  ? "symlink"
           : S_ISFIFO(mode) ? "fifo"
           : S_ISSOCK(mode) ? "socket"
           : S_ISCHR(mode)  ? "char-device"
           : S_ISBLK(mode)  ? "block-device"
                            : "-";
}

static const char *part_name(uint32_t part)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].part == part)
            return parts[i].name;
    return "-";
}

/* As a C string would be written: a name can be anything, and goes to a terminal. */
static char *quote(const char *path)
{
    char *text = malloc(strlen(path) * 4 + 1), *p = text;
    while (text && *path) {
        size_t n = table_character(path);
        if (*path == '\\')
            p = stpcpy(p, "\\\\");
        else if (*path == '\n')
            p = stpcpy(p, "\\n");
        else if (n == 0)
            p += sprintf(p, "\\x%02x", (unsigned char)*path);
        else
            p = mempcpy(p, path, n);
        path += n ? n : 1;
    }
    if (text)
        *p = '\0';
    return text;
}

static int collect(const struct sbx_layer_entry *entry, void *userdata)
{
    struct layer_options *o = userdata;
    struct sbx_layer_entry copy = *entry;
    if (o->entries.count == MOST_ENTRIES)
        return -E2BIG;
    copy.path = strdup(entry->path);
    if (copy.path == NULL)
        return -ENOMEM;
    if (list_push(&o->entries, &copy, sizeof copy))
        return 0;
    free((char *)(uintptr_t)copy.path);
    return -ENOMEM;
}

/* Only what could not be had in full is said. */
static int collect_dropped(const struct sbx_layer_entry *entry, void *userdata)
{
    return entry->change == SBX_LAYER_DROPPED ? collect(entry, userdata) : 0;
}

/* JSON has no way to say a name that is no UTF-8: then it is here too, byte by byte. */
static struct table *new_table(bool as_json)
{
    static const struct table_column columns[] = {
        {"CHANGE", "change", false, false},      {"KIND", "kind", false, false},
        {"MODE", "mode", false, false},          {"SIZE", "size_bytes", true, false},
        {"DROPPED", "dropped", false, true},     {"PATH", "path", false, false},
        {"PATH IN HEX", "path_hex", false, true}};
    return table_new(columns, sizeof columns / sizeof columns[0] - !as_json);
}

static void add_hex(struct table *table, const char *path)
{
    size_t length = strlen(path);
    char *hex = json_is_utf8(path, length) ? NULL : malloc(2 * length + 1);
    if (!hex) {
        table_none(table);
        return;
    }
    for (size_t i = 0; i < length; i++)
        (void)sprintf(hex + 2 * i, "%02x", (unsigned char)path[i]);
    table_text(table, hex);
    free(hex);
}

static void add_row(struct table *table, const struct sbx_layer_entry *entry, bool as_json)
{
    char mode[16], *path = quote(entry->path);
    (void)snprintf(mode, sizeof mode, "%04o", entry->mode & 07777);
    table_row(table);
    table_text(table, change_name(entry->change));
    table_text(table, kind_name(entry->mode));
    table_text(table, entry->mode ? mode : "-");
    table_uint(table, entry->size_bytes);
    if (entry->dropped)
        table_text(table, part_name(entry->dropped));
    else
        table_none(table);
    table_text(table, as_json || path == NULL ? entry->path : path);
    free(path);
    if (as_json)
        add_hex(table, entry->path);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct sbx_layer_entry *)a)->path,
                  ((const struct sbx_layer_entry *)b)->path);
}

static void print(const struct layer_options *o)
{
    struct sbx_layer_entry *entries = o->entries.items;
    struct table *table = new_table(o->json);
    struct json json = {.out = stdout};
    if (o->entries.count > 0)
        qsort(entries, o->entries.count, sizeof *entries, by_path);
    for (size_t i = 0; i < o->entries.count; i++)
        add_row(table, &entries[i], o->json);
    if (o->json) {
        table_print_json(table, &json);
        json_end(&json);
    } else {
        table_print(table, stdout);
    }
    (void)table_free(table);
}

static int end(const struct sbx_error *error, int r)
{
    return r == 0 ? CLI_OK : cli_fail(error, r, CLI_FAILED);
}

static int diff(struct layer_options *o)
{
    struct sbx_error error = {0};
    o->layer.fn = collect;
    int r = sbx_layer_diff(&o->layer, &error);
    if (r == 0)
        print(o);
    return end(&error, r);
}

static int commit(struct layer_options *o)
{
    struct sbx_error error = {0};
    o->layer.fn = collect_dropped;
    int r = sbx_layer_commit(&o->layer, o->target, o->into, o->keep, &error);
    if (r == 0 && (o->json || o->entries.count > 0))
        print(o);
    return end(&error, r);
}

static int fork_upper(struct layer_options *o)
{
    struct sbx_error error = {0};
    o->layer.fn = NULL;
    return end(&error, sbx_layer_fork(&o->layer, o->target, &error));
}

static int reset(struct layer_options *o)
{
    struct sbx_error error = {0};
    return end(&error, sbx_layer_reset(&o->layer, &error));
}

static const struct sub {
    struct subverb word;
    int (*run)(struct layer_options *o);
    int names;
} subs[] = {
    {{"diff", false, {OPT_RUN_DIR, OPT_LIVE, OPT_JSON}}, diff, 1},
    {{"commit", false, {OPT_RUN_DIR, OPT_LIVE, OPT_JSON, OPT_INTO, OPT_KEEP}}, commit, 2},
    {{"fork", false, {OPT_RUN_DIR, OPT_LIVE}}, fork_upper, 2},
    {{"reset", false, {OPT_RUN_DIR}}, reset, 1},
};

static int add_keep(struct layer_options *o, const char *list)
{
    do {
        size_t n = strcspn(list, ","), i = 0;
        while (i < 3 && (strlen(parts[i].name) != n || strncmp(parts[i].name, list, n) != 0))
            i++;
        if (i == 3)
            return cli_usage("--keep %s: a list of setuid, file-caps, devices", list);
        o->keep |= parts[i].part;
        list += n + (list[n] == ',');
    } while (*list);
    return CLI_OK;
}

static int take(void *into, int c, const char *name)
{
    struct layer_options *o = into;
    (void)name;
    switch (c) {
    case OPT_INTO:
        o->into = true;
        return CLI_OK;
    case OPT_KEEP:
        return add_keep(o, optarg);
    case OPT_LIVE:
        o->layer.live = true;
        return CLI_OK;
    case OPT_JSON:
        o->json = true;
        return CLI_OK;
    default:
        o->layer.run_dir = optarg;
        return CLI_OK;
    }
}

static const struct option options[] = {{"into", no_argument, NULL, OPT_INTO},
                                        {"keep", required_argument, NULL, OPT_KEEP},
                                        {"live", no_argument, NULL, OPT_LIVE},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {"run-dir", required_argument, NULL, OPT_RUN_DIR},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static int parse(struct layer_options *o, const struct sub *sub, int argc, char **argv)
{
    static const struct subverb_options all = {&verb_layer, options, take};
    int code = subverb_parse(&sub->word, &all, argc, argv, o);
    if (code != CLI_OK)
        return code;
    if (argc - optind != sub->names)
        return cli_usage("%s: name %s", sub->word.name,
                         sub->names == 1 ? "one upper directory"
                                         : "an upper directory and a target");
    o->upper = path_absolute(argv[optind]);
    o->target = sub->names > 1 ? path_absolute(argv[optind + 1]) : NULL;
    o->layer.upper = o->upper;
    o->layer.userdata = o;
    bool whole = o->upper && (sub->names == 1 || o->target);
    return whole ? CLI_OK : cli_no_memory(CLI_FAILED);
}

static int run(int argc, char **argv)
{
    struct layer_options o = {.layer = SBX_LAYER_INIT};
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    const struct sub *sub = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof subs / sizeof subs[0]; i++)
        if (strcmp(subs[i].word.name, argv[1]) == 0)
            sub = &subs[i];
    if (help)
        return cli_help(&verb_layer);
    if (sub == NULL)
        return cli_usage("%s: is none of diff, commit, fork, reset",
                         argc > 1 ? argv[1] : "no word");
    int code = parse(&o, sub, argc - 1, argv + 1);
    if (code == CLI_OK)
        code = sub->run(&o);
    struct sbx_layer_entry *entries = o.entries.items;
    for (size_t i = 0; i < o.entries.count; i++)
        free((char *)(uintptr_t)entries[i].path);
    free(o.entries.items);
    free(o.upper);
    free(o.target);
    return code == SUBVERB_HELP ? CLI_OK : code;
}
