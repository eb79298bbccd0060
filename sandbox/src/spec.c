/* SPDX-License-Identifier: MIT */
/*
 * Is this spec possible, as a whole and for this caller? Everything that can be said before anything is made is said
 * here: a contradiction, a right that is missing, a feature that the kernel does not have and nobody agreed to do
 * without.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "environment.h"
#include "error.h"
#include "layers.h"
#include "plan.h"
#include "without.h"

#define STACK_MIN 16384

int sbxi_name_check(const char *name, struct sbx_error *error)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (!*name || strlen(name) > 48 || name[strspn(name, valid)])
        return sbxi_error(error, EINVAL, "sandbox: name: use 1 to 48 of letters, digits, _ and -");
    return 0;
}

static int check_name(sbx_plan *plan, const char *name, struct sbx_error *error)
{
    uint32_t number = 0;
    if (!name) {
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return sbxi_error(error, EIO, "sandbox: name: no random number");
        return asprintf(&plan->name, "run-%08x", number) < 0 ? -ENOMEM : 0;
    }
    int r = sbxi_name_check(name, error);
    if (r < 0)
        return r;
    plan->name = strdup(name);
    return plan->name ? 0 : -ENOMEM;
}

static int
check_hostname(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (spec->hostname && !spec->bwrap && !(plan->isolate & SBX_NS_UTS))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: hostname: it needs a uts namespace of its own; isolate uts, "
                          "leave out --share-uts",
                          plan->name);
    return 0;
}

/* What of @path is behind its next name, if that is @name; NULL: it is another. */
static const char *behind_name(const char *path, const char *name)
{
    size_t length = strlen(name);
    while (*path == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0')))
        path++;
    return strncmp(path, name, length) == 0 && (path[length] == '/' || path[length] == '\0')
               ? path + length
               : NULL;
}

static bool is_of_each_process(const char *path)
{
    const char *in_proc = behind_name(path, "proc");
    return in_proc && (behind_name(in_proc, "self") || behind_name(in_proc, "thread-self"));
}

static int check_root(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    bool mount = plan->isolate & SBX_NS_MOUNT;
    if (!mount && (spec->root != SBX_ROOT_HOST_RO || spec->nbinds || spec->nmounts ||
                   (spec->masks && *spec->masks)))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: isolate: a root of its own, mounts and masks need a mount "
                          "namespace; isolate mount, leave out --share-mount",
                          plan->name);
    if (!mount && spec->chroot)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: chroot: there is no root of its own to enter; isolate "
                          "mount, leave out --share-mount",
                          plan->name);
    if (spec->root == SBX_ROOT_JAIL && (!spec->jail || !spec->jail[0]))
        return sbxi_error(error, EINVAL, "sandbox %s: jail: name at least one file", plan->name);
    for (size_t i = 0; spec->root == SBX_ROOT_JAIL && spec->jail[i]; i++)
        if (spec->jail[i][0] != '/' && spec->jail[i][0] != '@')
            return sbxi_error(error, EINVAL, "sandbox %s: jail: %s: use an absolute path",
                              plan->name, spec->jail[i]);
    for (size_t i = 0; i < spec->nbinds; i++) {
        const struct sbx_bind *bind = &spec->binds[i];
        if (bind->source[0] != '/' || bind->target[0] != '/')
            return sbxi_error(error, EINVAL, "sandbox %s: bind: %s: use absolute paths", plan->name,
                              bind->source[0] != '/' ? bind->source : bind->target);
        if (!bind->optional && access(bind->source, F_OK) < 0)
            return sbxi_error(error, errno, "sandbox %s: bind: %s: %s; name an existing path",
                              plan->name, bind->source, strerror(errno));
    }
    for (size_t i = 0; spec->masks && spec->masks[i]; i++)
        if (spec->masks[i][0] != '/' || !spec->masks[i][strspn(spec->masks[i], "/.")])
            return sbxi_error(error, EINVAL, "sandbox %s: mask: %s: use an absolute path below /",
                              plan->name, spec->masks[i]);
    for (size_t i = 0; spec->masks && spec->masks[i]; i++)
        if (is_of_each_process(spec->masks[i]))
            return sbxi_error(error, EINVAL,
                              "sandbox %s: mask: %s: is another path in each process, and cannot "
                              "be hidden",
                              plan->name, spec->masks[i]);
    if (spec->chdir && spec->chdir[0] != '/')
        return sbxi_error(error, EINVAL, "sandbox %s: chdir: %s: use an absolute path", plan->name,
                          spec->chdir);
    int r = sbxi_layers_check(plan, spec, error);
    if (r == 0)
        r = sbxi_secrets_check(plan, spec, error);
    return r < 0 ? r : sbxi_mounts_check(plan, spec, error);
}

const struct sbx_named_fd *sbxi_passed_get(const struct sbxi_passed *passed, size_t i)
{
    return i < passed->nfds                      ? &passed->fds[i]
           : i < passed->nfds + passed->nenv_fds ? &passed->env_fds[i - passed->nfds]
                                                 : NULL;
}

int sbxi_passed_check(const struct sbxi_passed *passed, const char *name, struct sbx_error *error)
{
    const struct sbx_named_fd *fd;
    if (passed->nfds > SBXI_MAX_NAMED || passed->nenv_fds > SBXI_MAX_NAMED - passed->nfds)
        return sbxi_error(error, E2BIG, "sandbox %s: fds: at most %d can be passed", name,
                          SBXI_MAX_NAMED);
    for (size_t i = 0; (fd = sbxi_passed_get(passed, i)); i++) {
        if (!fd->name || !*fd->name || fd->name[strcspn(fd->name, ":=\n")])
            return sbxi_error(error, EINVAL,
                              "sandbox %s: fd: its name must be without : and =", name);
        if (fcntl(fd->fd, F_GETFD) < 0)
            return sbxi_error(error, EBADF, "sandbox %s: fd: %s: descriptor %d is not open", name,
                              fd->name, fd->fd);
    }
    return 0;
}

/* Who has a directory of the host has all of the host: /proc/self/fd/0/.. leads up to its root. Nobody reads or writes one, so
 * that here it is a slip; by --fd it is meant. */
int sbxi_stdio_check(const int stdio[3], bool any, const char *name, struct sbx_error *error)
{
    struct stat st;
    for (int i = 0; i < 3; i++) {
        if (stdio[i] < 0)
            continue;
        if (fstat(stdio[i], &st) < 0)
            return sbxi_error(error, errno, "sandbox %s: stdio: descriptor %d is not open", name,
                              stdio[i]);
        if (!any && S_ISDIR(st.st_mode))
            return sbxi_error(error, EISDIR,
                              "sandbox %s: stdio: descriptor %d is a directory, through which all "
                              "of the host can be reached; bind it",
                              name, i);
    }
    return 0;
}

static int check_fds(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const struct sbxi_passed passed = {
        .fds = spec->fds, .nfds = spec->nfds, .env_fds = spec->env_fds, .nenv_fds = spec->nenv_fds};
    const struct sbx_named_fd *fd;
    int r = sbxi_passed_check(&passed, plan->name, error);
    if (r < 0)
        return r;
    for (size_t i = 0; (fd = sbxi_passed_get(&passed, i)); i++) {
        plan->targets[plan->npassed] = 3 + (int32_t)plan->npassed;
        plan->passed[plan->npassed++] = fd->fd;
    }
    /* One that is not open now could be one of ours by the time it is passed. */
    if ((r = sbxi_stdio_check(spec->stdio, spec->bwrap, plan->name, error)) < 0)
        return r;
    memcpy(plan->stdio, spec->stdio, sizeof plan->stdio);
    return 0;
}

static int check_filters(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    for (size_t i = 0; i < spec->nfilters; i++)
        if (spec->filters[i].length == 0 || spec->filters[i].length % 8 ||
            spec->filters[i].length > 8 * 4096)
            return sbxi_error(error, EINVAL,
                              "sandbox %s: seccomp: a filter has 1 to 4096 instructions of 8 bytes",
                              plan->name);
    return 0;
}

/* What no program gets as far as its first instruction with, and says nothing about. */
static int check_rlimits(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    for (size_t i = 0; i < spec->nrlimits; i++) {
        const struct sbx_rlimit *limit = &spec->rlimits[i];
        if (limit->soft > limit->hard)
            return sbxi_error(error, EINVAL, "sandbox %s: rlimit: the soft limit is above the hard",
                              plan->name);
        if (limit->resource == RLIMIT_STACK && limit->soft < STACK_MIN)
            return sbxi_error(error, EINVAL,
                              "sandbox %s: rlimit stack: %llu bytes: no program starts with less "
                              "than 16K, and most need 128K",
                              plan->name, (unsigned long long)limit->soft);
        if (limit->resource == RLIMIT_CPU && limit->soft == 0)
            return sbxi_error(error, EINVAL,
                              "sandbox %s: rlimit cpu: 0 seconds: it would be killed when it "
                              "starts; use 1 or more",
                              plan->name);
    }
    return 0;
}

static int check_limits(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const char *control;
    char value[256];
    if (spec->limits.cpu_weight > 10000)
        return sbxi_error(error, EINVAL, "sandbox %s: cpu_weight: use 1 to 10000", plan->name);
    if (spec->limits.memory_bytes && spec->limits.memory_bytes < SBX_MEMORY_MIN)
        return sbxi_error(error, EINVAL, "sandbox %s: memory: a process needs at least 1M",
                          plan->name);
    if (spec->waits && (spec->nfds || spec->nenv_fds || spec->terminal || spec->bwrap ||
                        plan->stdio[0] >= 0 || plan->stdio[1] >= 0 || plan->stdio[2] >= 0))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: waits: descriptors and a terminal are the payload's, which "
                          "is not there yet; leave them to who starts it",
                          plan->name);
    if (spec->waits)
        plan->style |= SBXI_S_WAITS;
    if (spec->no_cgroup && sbx_limits_get(&spec->limits, 0, &control, value, sizeof value))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: no-cgroup: %s: limits are set on its cgroup; leave out one "
                          "of the two",
                          plan->name, control);
    if (spec->no_cgroup && spec->cgroup_parent)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: no-cgroup: a parent is of no use to it; leave out one of "
                          "the two",
                          plan->name);
    if (spec->no_cgroup && !spec->bwrap && !(plan->isolate & SBX_NS_PID))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: no-cgroup: then only a pid namespace ends all of its "
                          "processes; isolate pid, leave out --share-pid",
                          plan->name);
    plan->no_cgroup = spec->no_cgroup;
    plan->counting = spec->counting;
    plan->limits = spec->limits;
    plan->timeout_ms = spec->timeout_ms;
    plan->grace_ms = spec->grace_ms;
    if (spec->seccomp == SBX_SECCOMP_FILE && !spec->seccomp_file)
        return sbxi_error(error, EINVAL, "sandbox %s: seccomp: name a file", plan->name);
    plan->seccomp = spec->bwrap ? SBX_SECCOMP_NONE : spec->seccomp;
    plan->assert_all = spec->assert_all;
    plan->degrade = spec->assert_all ? 0 : spec->degrade;
    if (spec->cgroup_parent && !(plan->cgroup_parent = strdup(spec->cgroup_parent)))
        return -ENOMEM;
    return 0;
}

int sbxi_spec_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    int r = check_name(plan, spec->name, error);
    if (r < 0)
        return r;
    if (!spec->argv || !spec->argv[0] || !spec->argv[0][0])
        return sbxi_error(error, EINVAL, "sandbox %s: command: there is none", plan->name);
    if (strchr(spec->argv[0], '/') && spec->argv[0][0] != '/' && !spec->bwrap)
        return sbxi_error(error, EINVAL, "sandbox %s: command: %s: use an absolute path",
                          plan->name, spec->argv[0]);
    const char *hostname = spec->hostname ? spec->hostname : plan->name;
    if (!*hostname || strlen(hostname) > 64)
        return sbxi_error(error, EINVAL, "sandbox %s: hostname: use 1 to 64 characters",
                          plan->name);
    r = spec->bwrap ? sbxi_bwrap_check(plan, spec, error) : sbxi_identity_check(plan, spec, error);
    if (r < 0 || (r = check_hostname(plan, spec, error)) < 0 ||
        (r = check_root(plan, spec, error)) < 0 || (r = sbxi_hide_check(plan, spec, error)) < 0 ||
        (r = check_fds(plan, spec, error)) < 0 || (r = check_limits(plan, spec, error)) < 0 ||
        (r = check_rlimits(plan, spec, error)) < 0 || (r = check_filters(plan, spec, error)) < 0 ||
        (r = sbxi_joins_check(plan, spec, error)) < 0 ||
        (r = sbxi_notify_check(plan, spec, error)) < 0 ||
        (r = sbxi_net_check(plan, spec, error)) < 0 || (r = sbxi_time_check(plan, spec, error)) < 0)
        return r;
    SBXI_WITHOUT_PLAN(plan);
    if (spec->bwrap)
        return 0;
    r = sbxi_caps_check(plan, spec, error);
    return r < 0 ? r : sbxi_landlock_check(plan, spec, error);
}
