/* SPDX-License-Identifier: MIT */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <sbx/listen.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "life-options.h"
#include "mount-options.h"

/* The command line of `uds run` as a spec, and what holds its strings. */

/* Exit codes of our own; all others are the command's. timeout(1), env(1) and shells use 124 to 127. */
enum run_exit {
    RUN_OOM = 120,
    RUN_REFUSED = 121,
    RUN_EXEC_FAILED = 122,
    RUN_TIMEOUT = 123,
};

/* --listen: a number that is reserved until the socket is there, which is once a cleaner runs. */
struct run_listen {
    const char *address;
    int fd;
    sbx_listen *socket;
};

/* Of confine-options.h. */
struct confine_options {
    struct run_list ro, rw;        /* const char * */
    struct run_list connect, bind; /* uint16_t */
    struct run_list filters;       /* sbx_filter */
};

struct run_options {
    struct sbx_spec spec;
    struct confine_options confine;
    bool dry_run, stats, json;
    const char *other_root; /* than a jail: host or empty, if that was said */
    uint32_t shared;        /* namespaces for which that was said */
    const char *run_dir;
    char name[49];                            /* made from the command if none is given */
    char program[4096];                       /* the command's file, for a jail */
    const char *base, *upper;                 /* of layers; "" = tmpfs */
    char **profile_argv;                      /* what --profile would have run */
    struct run_list secrets, secret_fds;      /* sbx_named_fd; int, those of them that are ours */
    struct run_list secret_sources;           /* const char *: said in words */
    size_t secret_bytes;                      /* of those that are ours */
    struct run_list jail, masks, env, layers; /* const char * */
    struct run_list rlimits, fds, joins,
        owned;               /* sbx_rlimit, sbx_named_fd, sbx_join; strings to free */
    struct run_list listens; /* struct run_listen; in fds as well */
    struct mount_options mounts;
    struct life_options life;
};

/* CLI_OK, or what to exit with after saying what is wrong; *@ret_help: --help was asked for. */
int run_options_parse(struct run_options *options, int argc, char **argv, bool *ret_help);
void run_options_free(struct run_options *options);

/* ---- between the files that read the command line ---- */

/* run-command.c: *@command as the sandbox will find it, a name made from it, and the program for a jail. CLI_OK or
 * what to exit with after saying what is wrong. */
int run_command_find(struct run_options *options, char **command);
/* join-option.c */
int run_add_join(struct run_options *options, const char *text);
/* listen-option.c: NAME=ADDRESS; then all of them, 0 or -errno with @error; for --dry-run. */
int run_add_listen(struct run_options *options, const char *text);
int run_listen_open(const struct run_options *options,
                    sbx_cleaner *cleaner,
                    struct sbx_error *error);
void run_listen_print(const struct run_options *options, FILE *out);
/* The sockets: before their cleaner ends. */
void run_listen_close(const struct run_options *options);
void run_listen_free(struct run_options *options);
/* A string that lives as long as the options; NULL: @text is NULL or no memory, it is freed. */
char *run_own(struct run_options *options, char *text);
int run_push_text(struct run_list *list, const char *text);

#endif
