/* SPDX-License-Identifier: MIT */
/* What musl 1.2.3 lacks of glibc's <sys/stat.h>. */
#ifndef SBXI_MUSL_SYS_STAT_H
#define SBXI_MUSL_SYS_STAT_H

#include_next <sys/stat.h>

#ifndef STATX_MNT_ID
#include <unistd.h>

#include <linux/stat.h>
#include <sys/syscall.h>

static inline int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *ret)
{
    return (int)syscall(SYS_statx, dirfd, path, flags, mask, ret);
}
#endif

#endif
