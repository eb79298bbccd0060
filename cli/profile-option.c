/* SPDX-License-Identifier: MIT */
/*
 * --profile: uds-broker, which knows stack files and whom to trust with one, prints the entry as options. So that no parser of
 * YAML is in the program that starts sandboxes, nor loaded by who uses no profile.
 */
#include "profile-option.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "program.h"
#include "verbs.h"

enum {
    MOST_BYTES = 4 << 20
};

/* In the child. */
static _Noreturn void be_broker(char *file, const char *name, int out)
{
    char program[] = "uds-broker", config[] = "--config", profile[] = "--profile";
    char *const argv[] = {program, config, file, profile, (char *)(uintptr_t)name, NULL};
    if (dup2(out, STDOUT_FILENO) >= 0)
        cli_become(program, argv);
    _exit(126);
}

static char *read_all(int fd, size_t *ret_length)
{
    char *text = malloc(MOST_BYTES + 1);
    size_t length = 0;
    ssize_t n = 1;
    while (text && length < MOST_BYTES && n != 0) {
        n = read(fd, text + length, MOST_BYTES - length);
        if (n > 0)
            length += (size_t)n;
        else if (n < 0 && errno != EINTR)
            break;
    }
    if (text)
        text[length] = '\0';
    *ret_length = length;
    return text;
}

/* What it printed is words, or it has said why not. */
static int run_broker(char *file, const char *name, char **ret_text, size_t *ret_length)
{
    int pipe[2], status = 0;
    if (pipe2(pipe, O_CLOEXEC) < 0) {
        cli_error("--profile: %s", strerror(errno));
        return RUN_REFUSED;
    }
    pid_t pid = fork();
    if (pid == 0)
        be_broker(file, name, pipe[1]);
    (void)close(pipe[1]);
    *ret_text = pid < 0 ? NULL : read_all(pipe[0], ret_length);
    (void)close(pipe[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (*ret_text && status == 0 && *ret_length > 0 && (*ret_text)[*ret_length - 1] == '\0')
        return CLI_OK;
    free(*ret_text);
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 0) /* otherwise it has said it */
        cli_error("--profile %s: uds-broker did not say what is in it", file);
    return RUN_REFUSED;
}

static int split(struct run_options *o, char *text, size_t length, char ***ret_argv, int *ret_argc)
{
    size_t n = 1;
    for (size_t i = 0; i < length; i++)
        n += text[i] == '\0';
    char **argv = calloc(n + 1, sizeof *argv);
    if (!list_own(&o->owned, argv))
        return cli_no_memory(RUN_REFUSED);
    argv[0] = text + length; /* "" */
    size_t i = 1;
    for (char *p = text; p < text + length; p += strlen(p) + 1)
        argv[i++] = p;
    *ret_argv = argv;
    *ret_argc = (int)n;
    return CLI_OK;
}

int run_load_profile(struct run_options *o, const char *value, char ***ret_argv, int *ret_argc)
{
    const char *hash = strrchr(value, '#');
    char *text, *file = hash ? strndup(value, (size_t)(hash - value)) : strdup(value);
    size_t length;
    if (!list_own(&o->owned, file))
        return cli_no_memory(RUN_REFUSED);
    int r = run_broker(file, hash ? hash + 1 : "", &text, &length);
    if (r != CLI_OK)
        return r;
    return list_own(&o->owned, text) ? split(o, text, length, ret_argv, ret_argc)
                                     : cli_no_memory(RUN_REFUSED);
}
