/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CLEANUP_H
#define SBXI_CLEANUP_H

/*
 * Cleanup attributes of the sandbox library. A variable that owns says so where it is declared; ownership leaves by
 * sbxi_take_fd() or sbxi_take_ptr(). close() is never retried: after EINTR Linux has closed the fd already.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void sbxi_closep(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

static inline void sbxi_freep(void *pointer)
{
    void **p = pointer;
    free(*p);
    *p = NULL;
}

static inline void sbxi_fclosep(FILE **file)
{
    if (*file)
        fclose(*file);
    *file = NULL;
}

static inline void sbxi_closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
    *dir = NULL;
}

#define _cleanup_close_    __attribute__((cleanup(sbxi_closep)))
#define _cleanup_free_     __attribute__((cleanup(sbxi_freep)))
#define _cleanup_fclose_   __attribute__((cleanup(sbxi_fclosep)))
#define _cleanup_closedir_ __attribute__((cleanup(sbxi_closedirp)))

static inline int sbxi_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void *sbxi_take_ptr_(void *pointer)
{
    void **p = pointer, *taken = *p;
    *p = NULL;
    return taken;
}
#define sbxi_take_ptr(pointer) ((__typeof__(*(pointer)))sbxi_take_ptr_(pointer))

#endif
