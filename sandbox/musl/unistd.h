/* SPDX-License-Identifier: MIT */
/* What musl 1.2 lacks of glibc's <unistd.h>. */
#ifndef SBXI_MUSL_UNISTD_H
#define SBXI_MUSL_UNISTD_H

#include_next <unistd.h>

#include <linux/close_range.h>
#include <sys/syscall.h>

static inline int close_range(unsigned first, unsigned last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

#endif
