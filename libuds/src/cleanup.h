/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CLEANUP_H
#define UDSI_CLEANUP_H

/*
 * Scope-bound ownership. A variable marked with one of these owns what it holds until it is taken out; every early
 * return then releases it. Not mixed with forward goto in one function.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <uds/conn.h>
#include <uds/msg.h>
#include <uds/snapshot.h>

/* "unused": a variable that only holds something until the scope ends is used, which clang does not see. */
#define UDSI_CLEANUP(function) __attribute__((cleanup(function), unused))

/* close(2) is never retried: after EINTR the number may already be somebody else's. errno survives. */
static inline void udsi_close(int fd)
{
    if (fd < 0)
        return;
    int saved = errno;
    (void)close(fd);
    errno = saved;
}

static inline void udsi_closep(int *fd)
{
    udsi_close(*fd);
}

static inline void udsi_freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void udsi_msg_unrefp(uds_msg **msg)
{
    (void)uds_msg_unref(*msg);
}

static inline void udsi_conn_unrefp(uds_conn **conn)
{
    (void)uds_conn_unref(*conn);
}

static inline void udsi_snapshot_freep(uds_snapshot **snapshot)
{
    (void)uds_snapshot_free(*snapshot);
}

#define _cleanup_close_    UDSI_CLEANUP(udsi_closep)
#define _cleanup_free_     UDSI_CLEANUP(udsi_freep)
#define _cleanup_msg_      UDSI_CLEANUP(udsi_msg_unrefp)
#define _cleanup_conn_     UDSI_CLEANUP(udsi_conn_unrefp)
#define _cleanup_snapshot_ UDSI_CLEANUP(udsi_snapshot_freep)

/* Move an fd out of a variable that owns it. */
static inline int udsi_take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Move a pointer out of a variable that owns it. */
#define UDSI_TAKE(pointer)                      \
    (__extension__({                            \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    }))

#endif
