/* SPDX-License-Identifier: MIT */
/*
 * Id maps, written from outside while the child waits. A range is the slice of host ids that the cleaner has locked for
 * this sandbox; one id is the caller's own, for which the kernel first wants setgroups(2) denied.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "blocked.h"
#include "cleanup.h"
#include "error.h"
#include "running.h"
#include "without.h"

__attribute__((format(printf, 3, 4))) static int
write_proc(pid_t pid, const char *file, const char *format, ...)
{
    char path[64], text[64];
    va_list ap;
    va_start(ap, format);
    int length = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, (size_t)length) == length ? 0 : -errno;
}

static const char *advise(int err)
{
    const char *knob = sbxi_blocked_advice("/proc/sys", err);
    /* Else its files' capabilities could be forged for the parent's root. */
    if (!*knob && err == EPERM && geteuid() == 0)
        return "; root's own id is mapped only for who has CAP_SETFCAP, which containers often "
               "lack: "
               "run it as another user, or with that capability";
    return knob;
}

int sbxi_map_ids(const sbx_plan *plan, pid_t pid, uint32_t first, struct sbx_error *error)
{
    const char *file = "uid_map";
    uid_t uid = SBXI_WITHOUT("map") ? 0 : plan->uid;
    int r;
    if (plan->subids.count)
        return sbxi_subids_map(&plan->subids, pid, plan->name, error);
    first = SBXI_WITHOUT("map") ? 0 : first;
    if (plan->range) {
        r = write_proc(pid, file, "0 %u 65536\n", first);
        if (r == 0)
            r = write_proc(pid, file = "gid_map", "0 %u 65536\n", first);
    } else {
        r = write_proc(pid, file = "setgroups", "deny");
        if (r == 0)
            r = write_proc(pid, file = "uid_map", "%u %u 1\n", uid, geteuid());
        if (r == 0)
            r = write_proc(pid, file = "gid_map", "%u %u 1\n", plan->gid, getegid());
    }
    if (r < 0)
        return sbxi_error(error, -r, "sandbox %s: user namespace: %s: %s%s", plan->name, file,
                          strerror(-r), advise(-r));
    return 0;
}
