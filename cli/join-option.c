/* SPDX-License-Identifier: MIT */
/* --join NAMESPACE=WHERE of `uds run`: the descriptor of a namespace that exists already. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "run.h"
#include "value.h"
#include "verbs.h"

/* "fd:5", "/run/netns/blue", "1234". */
static int open_namespace(const char *name, const char *where)
{
    char path[PATH_MAX];
    unsigned long number;
    if (strncmp(where, "fd:", 3) == 0) {
        if (parse_number(where + 3, 0, INT_MAX, &number) < 0)
            return -EINVAL;
        int fd = fcntl((int)number, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
    }
    if (where[0] == '/')
        (void)snprintf(path, sizeof path, "%s", where);
    else if (parse_number(where, 1, INT_MAX, &number) == 0)
        (void)snprintf(path, sizeof path, "/proc/%lu/ns/%s", number,
                       strcmp(name, "mount") == 0 ? "mnt" : name);
    else
        return -EINVAL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int run_add_join(struct run_options *o, const char *text)
{
    char name[16] = "";
    const char *equals = strchr(text, '=');
    uint32_t bit = 0;
    if (equals && (size_t)(equals - text) < sizeof name)
        memcpy(name, text, (size_t)(equals - text));
    if (sbx_ns_parse(name, &bit) < 0 || bit == SBX_NS_ALL)
        return cli_usage("--join %s: is not NAMESPACE=PATH, =PID or =fd:N with a NAMESPACE of "
                         "user, mount, pid, net, ipc, uts, cgroup, time",
                         text);
    int fd = open_namespace(name, equals + 1);
    if (fd == -EINVAL)
        return cli_usage("--join %s: name it by an absolute path, a process's number or fd:N",
                         text);
    if (fd == -ENOENT && equals[1] != '/')
        return cli_usage("--join %s: there is no process %s", text, equals + 1);
    if (fd < 0)
        return cli_usage("--join %s: %s%s", text, strerror(-fd),
                         fd == -EACCES ? "; only root and its owner may look at its namespaces"
                                       : "");
    struct sbx_join join = {.ns = (enum sbx_ns)bit, .fd = fd};
    o->spec.isolate &= ~bit;
    return list_push(&o->joins, &join, sizeof join) ? CLI_OK : cli_no_memory(RUN_REFUSED);
}
