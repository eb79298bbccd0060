/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PLACE_H
#define SUPERVISOR_PLACE_H

#include <sbx/sandbox.h>

#include <uds/listener.h>

/*
 * Where things live on the host: the run directory, this broker's directory in it, and in that one
 * directory per sandbox. See place.c.
 */

/* The default: /run/uds, $XDG_RUNTIME_DIR/uds or /tmp/uds-UID. -ENAMETOOLONG. */
int place_default_run_dir(char *buf, size_t size);

/* Make run_dir/broker-PID, 0700, registered with @cleaner. */
int place_make_instance(const char *run_dir,
                        sbx_cleaner *cleaner,
                        char *ret_path,
                        size_t size,
                        struct sbx_error *error);

/* One sandbox's listener directory: bound at /run/uds inside. */
struct place {
    char dir[512];
    char socket[560];
    uds_listener *listener;
    sbx_cleaner *cleaner; /* borrowed */
};

/* 0 or -errno with @error; place_clear() is right after both. */
int place_make(struct place *place,
               const char *instance,
               const char *name,
               sbx_cleaner *cleaner,
               struct sbx_error *error);
/*
 * The sandbox's host ids are not known before it runs: let everybody who can reach the socket in …
 */
int place_unlock(struct place *place, struct sbx_error *error);
/* … and from now on its payload alone. */
int place_lock(struct place *place, uid_t uid, gid_t gid, struct sbx_error *error);
void place_clear(struct place *place);

/* rmdir and unregister. */
void place_remove_directory(const char *path, sbx_cleaner *cleaner);

#endif
