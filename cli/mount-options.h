/* SPDX-License-Identifier: MIT */
#ifndef CLI_MOUNT_OPTIONS_H
#define CLI_MOUNT_OPTIONS_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

#include "list.h"

/*
 * The options that say what a root is made of, in bubblewrap's words; `uds run` and bwrap read them alike. Each gets its
 * values as an array. --perms, --size and --overlay-src wait for the option that they modify.
 */
struct mount_options {
    bool bwrap;             /* a target without a slash in front is meant to have one */
    struct run_list mounts; /* struct sbx_mount */
    struct run_list layers; /* const char *: waiting for their overlay */
    struct run_list owned;  /* void *: to free */
    int mode;               /* waiting; -1 = none */
    uint64_t size;          /* waiting; 0 = none */
    char problem[4200];     /* why the last call failed */
};
/* Each in full: completion finds them here. */
#define MOUNT_OPTIONS_HELP                                                                        \
    "  --bind SRC DST       SRC of the host at DST inside; --ro-bind: read-only; --dev-bind:\n"   \
    "                       with devices; --bind-try, --ro-bind-try, --dev-bind-try: if SRC is\n" \
    "                       there; --bind-fd FD DST, --ro-bind-fd FD DST: what FD is\n"           \
    "  --remount-ro DST     the mount there becomes read-only\n"                                  \
    "  --overlay-src SRC    a layer, above those before it, of the next --tmp-overlay DST,\n"     \
    "                       --ro-overlay DST or --overlay UPPER WORK DST\n"                       \
    "  --proc DST, --dev DST, --tmpfs DST, --mqueue DST, --dir DST   new ones\n"                  \
    "  --file FD DST        what FD holds; --bind-data FD DST, --ro-bind-data FD DST: over\n"     \
    "                       what is there\n"                                                      \
    "  --symlink TEXT DST, --chmod MODE PATH\n"                                                   \
    "  --perms MODE, --size BYTES   of what the next option makes\n"
#define MOUNT_OPTIONS_INIT \
    {                      \
        .mode = -1         \
    }

/* How many values "bind", "tmpfs", … has; 0 = it is no such option. */
int mount_option_values(const char *name);
/* False: @problem says what is wrong. Call it for other options too, with @values NULL: they end what waits. */
bool mount_option(struct mount_options *options, const char *name, const char *const *values);
/* After the last option: does something still wait? */
bool mount_options_end(struct mount_options *options);
void mount_options_free(struct mount_options *options);
/* A descriptor's number: -1 with @problem set where it is none. */
int mount_option_fd(struct mount_options *options, const char *text);

#endif
