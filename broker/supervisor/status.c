/* SPDX-License-Identifier: MIT */
/*
 * Status: what the broker tells the person who started it. A line is composed in memory and leaves
 * in one write, because sandboxes may write to the same terminal. Words that come from outside
 * (details of failures) are stripped of control characters.
 */
#include "status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/param.h>

void status_init(struct status *status, FILE *out, bool json)
{
    *status = (struct status){.out = out, .json = json};
    status_fit(status, "broker");
}

void status_fit(struct status *status, const char *subject)
{
    status->width = MAX(status->width, (int)strlen(subject) + 1);
}

static void put_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < ' ' || *p == 127)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

static void put_json(FILE *out,
                     const char *subject,
                     const char *event,
                     const struct status_fact *facts,
                     const char *text)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(out, "{\"time_ms\":%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    fputs(",\"subject\":", out);
    put_json_text(out, subject);
    fputs(",\"event\":", out);
    put_json_text(out, event);
    for (; facts && facts->key; facts++) {
        fputc(',', out);
        put_json_text(out, facts->key);
        fputc(':', out);
        if (facts->text)
            put_json_text(out, facts->text);
        else
            fprintf(out, "%llu", (unsigned long long)facts->number);
    }
    fputs(",\"text\":", out);
    put_json_text(out, text);
    fputs("}\n", out);
}

static void put_text(FILE *out, int width, const char *subject, char *text)
{
    char column[64];

    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    snprintf(column, sizeof(column), "%s:", subject);
    fprintf(out, "%-*s %s\n", width, column, text);
}

void status_say(const struct status *status,
                const char *subject,
                const char *event,
                const struct status_fact *facts,
                const char *format,
                ...)
{
    char *text = NULL, *line = NULL;
    size_t size = 0;
    va_list args;
    FILE *memory;
    int n;

    if (!status->out)
        return;
    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    memory = open_memstream(&line, &size);
    if (memory) {
        if (status->json)
            put_json(memory, subject, event, facts, text);
        else
            put_text(memory, status->width, subject, text);
        fclose(memory);
        fwrite(line, 1, size, status->out);
        fflush(status->out);
    }
    free(line);
    free(text);
}
