/* SPDX-License-Identifier: MIT */
/* Names of capabilities, in the order of their numbers (linux/capability.h). */

#include <errno.h>
#include <sbx/sandbox.h>
#include <string.h>
#include <strings.h>

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

int sbx_cap_parse(const char *text, unsigned *ret_bit)
{
    if (strncasecmp(text, "cap_", 4) == 0)
        text += 4;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *ret_bit = i;
            return 0;
        }
    return -EINVAL;
}
