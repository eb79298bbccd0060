/* SPDX-License-Identifier: MIT */
/*
 * A time namespace cannot be part of the clone: whoever is in it fixes its offsets. It is made for children to come, then
 * the offsets are written, then the payload is forked into it. PID 1 itself stays in the launcher's; it looks at no clock.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/stat.h>

#include "init.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define SECOND INT64_C(1000000000)

/* The kernel wants 0 ≤ nanoseconds < 1 s beside seconds of any sign. */
static int print_offset(char *ret, size_t size, const char *clock, int64_t ns)
{
    int64_t rest = ns % SECOND;
    if (rest < 0)
        rest += SECOND;
    return snprintf(ret, size, "%s %lld %lld\n", clock, (long long)((ns - rest) / SECOND),
                    (long long)rest);
}

static int write_offsets(const struct init *init, const char *text, size_t length)
{
    int fd = openat(init->proc, "self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write(fd, text, length) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int init_act_time(struct init *init, const struct sbxi_step *step)
{
    char text[128];
    struct stat st;
    if (init->seen)
        return 0;
    if (unshare(CLONE_NEWTIME) < 0)
        return errno == EINVAL ? -ENOENT : -errno;
    int n = print_offset(text, sizeof text, "monotonic", (int64_t)step->args[0]);
    n += print_offset(text + n, sizeof text - (size_t)n, "boottime", (int64_t)step->args[1]);
    /* The file of a process that is not dumpable belongs to the namespace's root, which one of one id does not have. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int r = write_offsets(init, text, (size_t)n);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (r < 0)
        return init_fail(init, -r, "/proc/self/timens_offsets");
    if (fstatat(init->proc, "self/ns/time_for_children", &st, 0) == 0)
        init->time_ns = (uint64_t)st.st_ino;
    return 0;
}
