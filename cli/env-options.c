/* SPDX-License-Identifier: MIT */
/* See env-options.h. */
#include "env-options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

/* @name NULL: all. */
static void remove_env(struct run_options *o, const char *name, size_t length)
{
    const char **set = o->env.items;
    size_t kept = 0;
    for (size_t i = 0; name && i < o->env.count; i++)
        if (strncmp(set[i], name, length) != 0 || set[i][length] != '=')
            set[kept++] = set[i];
    if (set)
        set[kept] = NULL;
    o->env.count = kept;
}

void run_env_leave_out(struct run_options *o, const char *name)
{
    const char **set = o->env.items, *value = getenv(name);
    size_t kept = 0;
    for (size_t i = 0; value && i < o->env.count; i++)
        if (strchr(set[i], '=') + 1 != value)
            set[kept++] = set[i];
    if (value && set)
        set[kept] = NULL;
    if (value)
        o->env.count = kept;
}

/* What the loader obeys: nobody wants it in another root, and who does can say so. */
static bool is_loader(const char *entry)
{
    return strncmp(entry, "LD_", 3) == 0;
}

/* Descriptors and relations that a sandbox does not inherit. */
static bool is_relation(const char *entry)
{
    static const char *const names[] = {"LISTEN_",     "NOTIFY_SOCKET=",     "WATCHDOG_",
                                        "UDS_BROKER=", "UDS_BROKER_REDIAL=", "JOURNAL_STREAM="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static int keep(struct run_options *o, const char *entry)
{
    remove_env(o, entry, strcspn(entry, "="));
    return run_push_text(&o->env, entry);
}

static int keep_all(struct run_options *o)
{
    int r = CLI_OK;
    for (char **e = environ; r == CLI_OK && *e; e++)
        if (!is_loader(*e) && !is_relation(*e))
            r = keep(o, *e);
    return r;
}

static int keep_named(struct run_options *o, const char *list)
{
    int r = CLI_OK;
    const char *p = list;
    do {
        size_t length = strcspn(p, ",");
        if (length == 0 || memchr(p, '=', length))
            return cli_usage("--keep-env=%s: is not a list of names", list);
        if (is_loader(p))
            return cli_usage("--keep-env=%s: %.*s is never inherited: say what it is by --setenv",
                             list, (int)length, p);
        for (char **e = environ; r == CLI_OK && *e; e++)
            if (strncmp(*e, p, length) == 0 && (*e)[length] == '=')
                r = keep(o, *e);
        p += length + (p[length] == ',');
    } while (r == CLI_OK && *p);
    return r;
}

static int set(struct run_options *o, const char *key, const char *value)
{
    char *text;
    if (value == NULL || key[0] == '\0' || strchr(key, '='))
        return cli_usage("--setenv %s: needs a name and a value, as two words", key);
    if (asprintf(&text, "%s=%s", key, value) < 0 || (text = run_own(o, text)) == NULL)
        return cli_no_memory(RUN_REFUSED);
    return keep(o, text);
}

int run_env_option(struct run_options *o, const char *name, const char *value, const char *value2)
{
    if (strcmp(name, "setenv") == 0)
        return set(o, value, value2);
    if (strcmp(name, "keep-env") == 0)
        return value ? keep_named(o, value) : keep_all(o);
    if (strcmp(name, "unsetenv") == 0)
        remove_env(o, value, strlen(value));
    else /* --clearenv */
        remove_env(o, NULL, 0);
    return CLI_OK;
}

/* Set by other options, and by --setenv: ours would win, and nobody would know. What is inherited is stale, and goes. */
static bool contradicts(const struct run_options *o, const char *entry)
{
    bool listen = o->fds.count > 0 && strncmp(entry, "LISTEN_", 7) == 0;
    bool notify = o->spec.notify && (strncmp(entry, "NOTIFY_SOCKET=", 14) == 0 ||
                                     strncmp(entry, "WATCHDOG_", 9) == 0);
    for (char **e = environ; *e; e++)
        if (*e == entry)
            return false;
    return listen || notify;
}

/* Of ours that which says what is typed at. */
int run_env_finish(struct run_options *o)
{
    const char *const *set = o->env.items;
    bool named = !o->life.terminal;
    for (size_t i = 0; i < o->env.count; i++) {
        named |= strncmp(set[i], "TERM=", 5) == 0;
        if (contradicts(o, set[i]))
            return cli_usage("--setenv %.*s: --fd, --listen, --notify and --watchdog set that "
                             "themselves; leave out one of the two",
                             (int)strcspn(set[i], "="), set[i]);
    }
    return named ? CLI_OK : keep_named(o, "TERM");
}
