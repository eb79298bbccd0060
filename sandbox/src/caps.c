/* SPDX-License-Identifier: MIT */
/* Capabilities: names, in the order of their numbers (linux/capability.h), and which a payload can have. */

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "error.h"
#include "plan.h"

static const char *const names[] = {
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
};

enum {
    COUNT = sizeof names / sizeof names[0]
};

int sbx_cap_parse(const char *text, unsigned *ret_bit)
{
    if (strncasecmp(text, "cap_", 4) == 0)
        text += 4;
    for (unsigned i = 0; i < COUNT; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *ret_bit = i;
            return 0;
        }
    return -EINVAL;
}

const char *sbx_cap_name(unsigned bit)
{
    return bit < COUNT ? names[bit] : NULL;
}

static uint64_t known(void)
{
    uint64_t all = 0;
    for (unsigned bit = 0; bit < COUNT; bit++)
        if (prctl(PR_CAPBSET_READ, (unsigned long)bit, 0, 0, 0) >= 0)
            all |= UINT64_C(1) << bit;
    return all;
}

static uint64_t own(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    (void)syscall(SYS_capget, &header, data);
    return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

void sbxi_caps_describe(uint64_t caps, char *ret, size_t size)
{
    size_t at = 0;
    snprintf(ret, size, "%s", caps == 0 ? "none" : caps == known() ? "all" : "");
    for (unsigned bit = 0; *ret == '\0' || at > 0; bit++) {
        if (bit == COUNT)
            return;
        if (caps >> bit & 1 && at < size)
            at += (size_t)snprintf(ret + at, size - at, "%s%s", at ? " " : "", names[bit]);
    }
}

/* In a user namespace of its own there are all. */
int sbxi_caps_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    bool all = spec->caps >> 63;
    bool user = (plan->isolate & SBX_NS_USER) || plan->joined_user;
    uint64_t have = user ? known() : own();
    if (spec->bwrap || !spec->caps)
        return 0;
    if (!user && !plan->privileged)
        return sbxi_error(
            error, EPERM,
            "sandbox %s: capabilities: without root they need a user namespace of its "
            "own; isolate user, leave out --share-user",
            plan->name);
    for (unsigned bit = 0; bit < 63 && !all; bit++)
        if (spec->caps & ~have & UINT64_C(1) << bit)
            return sbxi_error(error, EPERM,
                              "sandbox %s: capabilities: %s: it is not the launcher's to give",
                              plan->name, bit < COUNT ? names[bit] : "one without a name");
    plan->caps = spec->caps & have;
    return 0;
}
