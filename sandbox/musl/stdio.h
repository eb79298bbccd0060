/* SPDX-License-Identifier: MIT */
/* What musl 1.2 lacks of glibc's <stdio.h>. */
#ifndef SBXI_MUSL_STDIO_H
#define SBXI_MUSL_STDIO_H

#include_next <stdio.h>

#ifndef RENAME_NOREPLACE
#include <unistd.h>

#include <sys/syscall.h>

#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)

static inline int
renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
}
#endif

#endif
