/* SPDX-License-Identifier: MIT */
/* What bubblewrap's options mean together: which exclude or need each other, and the spec that they make. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/syscall.h>

#include "bwrap.h"

/* root's capabilities are the payload's unless they are dropped. */
void bwrap_begin_caps(struct sbx_spec *spec)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (getuid() == 0 && syscall(SYS_capget, &header, data) == 0)
        spec->caps = data[0].effective | (uint64_t)data[1].effective << 32;
}

static bool user_namespaces_work(void)
{
    unsigned long most = 1;
    FILE *file = fopen("/proc/sys/user/max_user_namespaces", "re");
    if (file != NULL) {
        if (fscanf(file, "%lu", &most) != 1)
            most = 1;
        (void)fclose(file);
    }
    return most > 0 && access("/proc/self/ns/user", F_OK) == 0;
}

static enum bwrap_parsed check_user(struct bwrap_options *o)
{
    const struct sbx_spec *spec = &o->spec;
    if (o->userns_block >= 0 && !o->unshare_user)
        return bwrap_bad("--userns-block-fd requires --unshare-user");
    if (o->userns_block >= 0 && o->info < 0)
        return bwrap_bad("--userns-block-fd requires --info-fd");
    if (o->userns >= 0 && o->unshare_user)
        return bwrap_bad("--userns not compatible --unshare-user");
    if (o->userns >= 0 && o->unshare_user_try)
        return bwrap_bad("--userns not compatible --unshare-user-try");
    if (spec->disable_userns && !o->unshare_user)
        return bwrap_bad("--disable-userns requires --unshare-user");
    if (spec->disable_userns && o->userns_block >= 0)
        return bwrap_bad("--disable-userns is not compatible with --userns-block-fd");
    if ((getuid() != 0 && o->userns < 0) || (o->unshare_user_try && user_namespaces_work()))
        o->unshare_user = true;
    if (!o->unshare_user && o->userns < 0 && spec->uid != UINT32_MAX && spec->uid != getuid())
        return bwrap_bad("Specifying --uid requires --unshare-user or --userns");
    if (!o->unshare_user && o->userns < 0 && spec->gid != UINT32_MAX && spec->gid != getgid())
        return bwrap_bad("Specifying --gid requires --unshare-user or --userns");
    return BWRAP_RUN;
}

static enum bwrap_parsed check_rest(const struct bwrap_options *o)
{
    const struct sbx_spec *spec = &o->spec;
    if (!(spec->isolate & SBX_NS_UTS) && spec->hostname != NULL)
        return bwrap_bad("Specifying --hostname requires --unshare-uts");
    if (spec->as_pid1 && !(spec->isolate & SBX_NS_PID))
        return bwrap_bad("Specifying --as-pid-1 requires --unshare-pid");
    if (spec->as_pid1 && o->locks.count > 0)
        return bwrap_bad("Specifying --as-pid-1 and --lock-file is not permitted");
    if ((spec->isolate & SBX_NS_CGROUP) && access("/proc/self/ns/cgroup", F_OK) < 0)
        return bwrap_bad(
            "Cannot create new cgroup namespace because the kernel does not support it");
    return BWRAP_RUN;
}

static bool add_join(struct bwrap_options *o, enum sbx_ns ns, int fd)
{
    struct sbx_join join = {.ns = ns, .fd = fd};
    return fd < 0 || list_push(&o->joins, &join, sizeof join);
}

enum bwrap_parsed bwrap_finish(struct bwrap_options *o)
{
    struct sbx_spec *spec = &o->spec;
    enum bwrap_parsed r = check_user(o);
    if (r == BWRAP_RUN)
        r = check_rest(o);
    if (r != BWRAP_RUN)
        return r;
    if (!add_join(o, SBX_NS_USER, o->userns) || !add_join(o, SBX_NS_PID, o->pidns))
        return bwrap_bad("out of memory");
    if (o->unshare_user)
        spec->isolate |= SBX_NS_USER;
    if (o->unshare_cgroup_try && access("/proc/self/ns/cgroup", F_OK) == 0)
        spec->isolate |= SBX_NS_CGROUP;
    spec->foreign_maps = o->userns_block >= 0;
    spec->keep_caps = getuid() == 0 && !o->caps_given;
    size_t n = 0;
    if (getcwd(o->directory, sizeof o->directory) != NULL)
        o->cwd[n++] = o->directory;
    if (getenv("HOME") != NULL)
        o->cwd[n++] = getenv("HOME");
    spec->cwd = o->cwd;
    spec->env = (const char *const *)environ;
    spec->mounts = o->mounts.mounts.items;
    spec->nmounts = o->mounts.mounts.count;
    spec->filters = o->filters.items;
    spec->nfilters = o->filters.count;
    spec->joins = o->joins.items;
    spec->njoins = o->joins.count;
    spec->lock_files = o->locks.items;
    return BWRAP_RUN;
}
