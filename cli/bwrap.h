/* SPDX-License-Identifier: MIT */
#ifndef CLI_BWRAP_H
#define CLI_BWRAP_H

#include "mount-options.h"

/*
 * bubblewrap's command line as a spec. Options act in order, as bubblewrap's do; those about the environment act on our
 * own, which is the payload's.
 */
struct bwrap_options {
    struct sbx_spec spec;
    struct mount_options mounts;
    struct run_list filters, joins, locks, keep,
        owned; /* sbx_filter, sbx_join, const char *, int, void * */
    bool unshare_user, unshare_user_try, unshare_cgroup_try;
    bool caps_given;
    int userns, pidns, info, status, userns_block, seccomp; /* descriptors, -1 = none */
    bool stacked;                                           /* --add-seccomp-fd was used */
    const char *cwd[3];                                     /* ours, $HOME */
    char directory[4096];
};

enum bwrap_parsed {
    BWRAP_RUN = 0,
    BWRAP_BAD, /* said what */
    BWRAP_HELP,
    BWRAP_VERSION,
    BWRAP_NO_COMMAND,
};

enum bwrap_parsed bwrap_parse(struct bwrap_options *options, int argc, const char **argv);
void bwrap_options_free(struct bwrap_options *options);

/* ---- between the files that read the command line ---- */

/* bwrap-rules.c */
void bwrap_begin_caps(struct sbx_spec *spec);
enum bwrap_parsed bwrap_finish(struct bwrap_options *options);
#define bwrap_bad(...) (bwrap_say(3, __VA_ARGS__), BWRAP_BAD)

/* "bwrap: …" on stderr, in one write; with --level-prefix as syslog's level @level says. */
void bwrap_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bwrap_set_level_prefix(void);

#endif
