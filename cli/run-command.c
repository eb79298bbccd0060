/* SPDX-License-Identifier: MIT */
/* The command of `uds run`: where its file is, and what to call the sandbox after it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "verbs.h"

/* Where a command without a slash is: the PATH that it will have inside is not ours to know, the usual one is. */
static bool find_program(struct run_options *o, const char *command)
{
    static const char *const dirs[] = {"/usr/local/bin",  "/usr/bin",  "/bin",
                                       "/usr/local/sbin", "/usr/sbin", "/sbin"};
    if (strchr(command, '/'))
        return false;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        (void)snprintf(o->program, sizeof o->program, "%s/%s", dirs[i], command);
        if (access(o->program, X_OK) == 0)
            return true;
    }
    return false;
}

/* A jail holds at least the command. */
static int add_to_jail(struct run_options *o, const char *command)
{
    if (o->spec.root != SBX_ROOT_JAIL)
        return CLI_OK;
    if (command[0] == '/')
        return run_push_text(&o->jail, command);
    return find_program(o, command) ? run_push_text(&o->jail, o->program) : CLI_OK;
}

static void make_name(struct run_options *o, const char *command)
{
    const char *slash = strrchr(command, '/'), *base = slash ? slash + 1 : command;
    size_t n = 0;
    for (; *base && n < sizeof o->name - 1; base++)
        o->name[n++] = (*base >= 'a' && *base <= 'z') || (*base >= 'A' && *base <= 'Z') ||
                               (*base >= '0' && *base <= '9') || *base == '_'
                           ? *base
                           : '-';
    if (n == 0)
        o->name[n++] = '-';
    o->name[n] = '\0';
    o->spec.name = o->name;
}

/* "./decoder" is meant from here; inside it runs in another directory. The last component stays as it is: programs of
 * several names look at it. */
static int make_absolute(struct run_options *o, char **command)
{
    const char *slash = strrchr(*command, '/');
    char *whole, *text = NULL, *dir = strndup(*command, (size_t)(slash - *command) + 1);
    if (dir == NULL)
        return RUN_REFUSED;
    whole = realpath(dir, NULL);
    int err = errno;
    free(dir);
    if (whole == NULL) {
        cli_error("%s: %s", *command, strerror(err));
        return RUN_EXEC_FAILED;
    }
    if (asprintf(&text, "%s%s", strcmp(whole, "/") == 0 ? "" : whole, slash) < 0)
        text = NULL;
    free(whole);
    text = run_own(o, text);
    if (text == NULL)
        return RUN_REFUSED;
    *command = text;
    return CLI_OK;
}

int run_command_find(struct run_options *o, char **command)
{
    if (o->spec.name == NULL)
        make_name(o, *command);
    if ((*command)[0] != '/' && strchr(*command, '/') != NULL) {
        int r = make_absolute(o, command);
        if (r != CLI_OK)
            return r;
    }
    return add_to_jail(o, *command);
}
