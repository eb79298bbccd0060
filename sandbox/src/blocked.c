/* SPDX-License-Identifier: MIT */
/* See blocked.h. */

#include "blocked.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "cleanup.h"

static const struct {
    const char *knob;
    long value; /* that refuses */
    const char *advice;
} knobs[] = {
    {"user/max_user_namespaces", 0,
     "; user namespaces are switched off here (sysctl user.max_user_namespaces is 0): have root "
     "raise it"},
    {"kernel/unprivileged_userns_clone", 0,
     "; user namespaces are root's alone here (sysctl kernel.unprivileged_userns_clone is 0): have "
     "root set it to 1"},
    {"kernel/apparmor_restrict_unprivileged_userns", 1,
     "; AppArmor leaves user namespaces of programs without a profile no rights (sysctl "
     "kernel.apparmor_restrict_unprivileged_userns is 1): have root set it to 0, or load a profile "
     "for this program that has \"userns,\""},
};

/* -1: there is no such knob. */
static long read_knob(const char *sysctl, const char *name)
{
    char path[PATH_MAX];
    long value;
    snprintf(path, sizeof path, "%s/%s", sysctl, name);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    return file && fscanf(file, "%ld", &value) == 1 ? value : -1;
}

const char *sbxi_blocked_advice(const char *sysctl, int err)
{
    if (err != EPERM && err != EACCES && err != ENOSPC && err != EUSERS)
        return "";
    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++)
        if (read_knob(sysctl, knobs[i].knob) == knobs[i].value)
            return knobs[i].advice;
    return "";
}
