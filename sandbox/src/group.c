/* SPDX-License-Identifier: MIT */
/*
 * Named groups. <run>/groups/NAME holds one record a directory, in the form of a cleaner's record and checked like one; it
 * is written before the first directory is made and goes after the last, so that whatever is interrupted can be deleted.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/group.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "admin.h"
#include "cgroup.h"
#include "cgtree.h"
#include "cleanup.h"
#include "demand.h"
#include "error.h"
#include "group-find.h"
#include "holder.h"
#include "record.h"
#include "rundir.h"
#include "scope.h"
#include "sweep.h"

enum {
    REMOVE_MS = 1000,
    KILL_MS = 2000
};

struct sbx_group {
    char name[96];
    char run_dir[PATH_MAX];
    enum sbx_group_kind kind;
    sbxi_cgroup *cgroup;
};

/*
 * Held by who makes or deletes a group: deleted halfway, its directories would have no name any more; and who waited may
 * find that the name is another group's by now. -ENOENT: the file has been deleted.
 */
static int lock(int fd)
{
    struct stat st;
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink > 0 ? 0 : -ENOENT;
}

/* The valid cgroup records of a file, at most one a hierarchy. Returns how many, -errno. */
static int read_records(int fd, struct sbxi_record records[SBXI_CGROUP_HIERARCHIES])
{
    int n = 0, r = sbxi_sweep_check_file(fd);
    if (r < 0)
        return r;
    while (n < SBXI_CGROUP_HIERARCHIES &&
           read(fd, &records[n], sizeof records[n]) == (ssize_t)sizeof records[n])
        if (sbxi_record_check(&records[n]) == 0 && records[n].kind == SBXI_RECORD_CGROUP)
            n++;
    return n;
}

static int note(const struct sbxi_record *records, size_t n, void *arg)
{
    const int *fd = arg;
    ssize_t len = pwrite(*fd, records, n * sizeof *records, 0);
    return len < 0 ? -errno : len == (ssize_t)(n * sizeof *records) ? 0 : -ENOSPC;
}

/* On a systemd host, where we live in a cgroup that is not ours to divide: in a scope that a holder keeps. */
static pid_t hold_scope(struct sbxi_cgroup_layout *layout, const char *name, int *ret_leash)
{
    char path[512], unit[80];
    struct sbxi_cgroup_layout probed;
    if (!layout->hierarchies[0].shared || !sbxi_scope_is_possible())
        return -1;
    snprintf(unit, sizeof unit, "group-%.64s", name);
    pid_t holder = sbxi_holder_new(ret_leash);
    if (holder <= 0)
        return -1;
    if (sbxi_scope_enter(unit, &holder, 1, path, sizeof path, NULL) < 0 ||
        sbxi_cgroup_probe(&probed, NULL, path, NULL) < 0) {
        sbxi_holder_free(holder, ret_leash);
        return -1;
    }
    *layout = probed;
    return holder;
}

/* Behind the directories, so that whoever deletes the group ends it. */
static int note_holder(int fd, pid_t holder)
{
    struct sbxi_record record;
    uint64_t start;
    int r = sbxi_record_start_time(holder, &start);
    if (r < 0)
        return r;
    sbxi_record_set_number(&record, SBXI_RECORD_PROCESS, (uint64_t)holder, start);
    off_t end = lseek(fd, 0, SEEK_END);
    ssize_t n = end < 0 ? -1 : pwrite(fd, &record, sizeof record, end);
    return n == (ssize_t)sizeof record ? 0 : n < 0 ? -errno : -ENOSPC;
}

int sbx_group_new(sbx_group **ret,
                  const char *run_dir,
                  const char *name,
                  const struct sbx_limits *limits,
                  const char *parent,
                  uint32_t degrade,
                  uint32_t *ret_degraded,
                  struct sbx_error *error)
{
    struct sbxi_cgroup_layout layout;
    int r = sbxi_limits_check(limits, error), leash = -1;
    if (r < 0)
        return r;
    if (!sbxi_group_is_name(name))
        return sbxi_error(error, EINVAL, "group %s: a name is 1 to 48 letters, digits, _ and -",
                          name);
    _cleanup_free_ sbx_group *group = calloc(1, sizeof *group);
    if (!group)
        return sbxi_error(error, ENOMEM, "group %s: out of memory", name);
    _cleanup_close_ int groups =
        sbxi_group_open_dir(run_dir, "groups", true, group->run_dir, error);
    if (groups < 0)
        return groups;
    _cleanup_close_ int fd =
        openat(groups, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sbxi_error(error, errno, "group %s: %s", name,
                          errno == EEXIST ? "there is one already; delete it first"
                                          : strerror(errno));
    r = lock(fd);
    if (r < 0)
        return sbxi_error(error, -r, "group %s: somebody deletes it at the same time", name);
    pid_t holder = -1;
    r = sbxi_cgroup_probe(&layout, NULL, parent, error);
    if (r >= 0) {
        if (!parent)
            holder = hold_scope(&layout, name, &leash);
        layout.lasting = true;
        layout.note = note;
        layout.note_arg = &fd;
        /* A group without cgroup would be nothing at all. */
        r = sbxi_cgroup_new(&group->cgroup, &layout, name, limits, NULL,
                            degrade & ~(uint32_t)SBX_DEGRADE_CGROUP, ret_degraded, error);
    }
    if (r >= 0 &&
        !group->cgroup) /* a sandbox without limits would have gone without; why, is in @error */
        r = sbxi_cgroup_advise(&layout, error && error->err ? -error->err : -EOPNOTSUPP, error);
    if (r >= 0 && holder > 0 && (r = note_holder(fd, holder)) < 0) {
        sbxi_error(error, -r, "group %s: %s/groups/%s: %s", name, group->run_dir, name,
                   strerror(-r));
        sbxi_cgroup_free(group->cgroup);
    }
    if (r < 0) {
        sbxi_holder_free(holder, &leash);
        unlinkat(groups, name, 0);
        return r;
    }
    sbxi_holder_keep(&leash);
    snprintf(group->name, sizeof group->name, "%s", name);
    group->kind = SBX_GROUP_NAMED;
    *ret = sbxi_take_ptr(&group);
    return 0;
}

/* ---- open ---- */

struct search {
    const char *name;
    size_t found, n;
    struct sbxi_record records[SBXI_CGROUP_HIERARCHIES];
};

static int match(const struct sbxi_record *records, size_t n, void *arg)
{
    struct search *search = arg;
    const char *whole = sbxi_group_base(&records[0]) + 4;
    size_t len = sbxi_group_sandbox_name(sbxi_group_base(&records[0]));
    bool exact = strcmp(whole, search->name) == 0;
    if (!exact && (strlen(search->name) != len || strncmp(whole, search->name, len) != 0))
        return 0;
    memcpy(search->records, records, n * sizeof *records);
    search->n = n;
    search->found = exact ? 1 : search->found + 1;
    return exact;
}

static int
open_records(sbx_group *group, const struct sbxi_record *records, size_t n, struct sbx_error *error)
{
    struct sbxi_cgroup_layout layout;
    int r = sbxi_cgroup_probe(&layout, NULL, NULL, error);
    layout.lasting = group->kind == SBX_GROUP_NAMED;
    return r < 0 ? r : sbxi_cgroup_open(&group->cgroup, &layout, records, n, error);
}

static int open_sandbox(sbx_group *group, const char *run_dir, struct sbx_error *error)
{
    struct search search = {.name = group->name};
    int r = sbxi_group_each_sandbox(run_dir, match, &search, error);
    if (r < 0)
        return r;
    if (search.found == 0)
        return sbxi_error(
            error, ENOENT,
            "group %s: there is no such group, and no sandbox of that name has a cgroup; "
            "`uds cgroup ls` lists them",
            group->name);
    if (search.found > 1)
        return sbxi_error(error, EEXIST,
                          "group %s: %zu sandboxes of that name run; `uds cgroup ls` has their "
                          "whole names",
                          group->name, search.found);
    group->kind = SBX_GROUP_SANDBOX;
    return open_records(group, search.records, search.n, error);
}

int sbx_group_open(sbx_group **ret, const char *run_dir, const char *name, struct sbx_error *error)
{
    struct sbxi_record records[SBXI_CGROUP_HIERARCHIES];
    if (strlen(name) >= sizeof((sbx_group *)NULL)->name || strchr(name, '/') || name[0] == '.' ||
        !name[0])
        return sbxi_error(error, EINVAL, "group %s: a name is letters, digits, _ and -", name);
    _cleanup_free_ sbx_group *group = calloc(1, sizeof *group);
    if (!group)
        return sbxi_error(error, ENOMEM, "group %s: out of memory", name);
    snprintf(group->name, sizeof group->name, "%s", name);
    _cleanup_close_ int groups =
        sbxi_group_open_dir(run_dir, "groups", false, group->run_dir, error);
    if (groups < 0 && groups != -ENOENT)
        return groups;
    _cleanup_close_ int fd =
        groups < 0 ? -1 : openat(groups, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int r;
    if (fd < 0) {
        r = open_sandbox(group, run_dir, error);
    } else {
        group->kind = SBX_GROUP_NAMED;
        r = read_records(fd, records);
        r = r < 0 ? sbxi_error(error, -r, "group %s: %s/groups/%s: %s", name, group->run_dir, name,
                               strerror(-r))
                  : open_records(group, records, (size_t)r, error);
    }
    if (r < 0)
        return r;
    *ret = sbxi_take_ptr(&group);
    return 0;
}

sbx_group *sbx_group_free(sbx_group *group)
{
    if (group)
        sbxi_cgroup_close(group->cgroup);
    free(group);
    return NULL;
}

/* ---- what can be done with one ---- */

enum sbx_group_kind sbx_group_get_kind(const sbx_group *group)
{
    return group->kind;
}

const char *sbx_group_get_name(const sbx_group *group)
{
    return group->name;
}

const char *sbx_group_get_path(const sbx_group *group)
{
    return sbxi_cgroup_get_path(group->cgroup);
}

const char *sbx_group_get_backend(const sbx_group *group)
{
    return sbxi_cgroup_get_backend(group->cgroup);
}

static int refuse_sandbox(const sbx_group *group, const char *what, struct sbx_error *error)
{
    return group->kind == SBX_GROUP_NAMED
               ? 0
               : sbxi_error(error, EOPNOTSUPP,
                            "group %s: it is a running sandbox's: it cannot be %s", group->name,
                            what);
}

/*
 * From a login session, which is the system manager's, the kernel lets nobody but root go straight into what the user's
 * manager was given (nothing above both is the user's to write). From a scope of that manager's it does.
 */
static void enter_scope(const sbx_group *group)
{
    struct sbxi_cgroup_layout layout;
    char path[512], unit[128];
    pid_t self = getpid();
    snprintf(unit, sizeof unit, "join-%.58s", group->name);
    if (sbxi_scope_is_possible() && sbxi_cgroup_probe(&layout, NULL, NULL, NULL) >= 0 &&
        layout.hierarchies[0].shared)
        sbxi_scope_enter(unit, &self, 1, path, sizeof path, NULL);
}

int sbx_group_join(sbx_group *group, struct sbx_error *error)
{
    int r = refuse_sandbox(group, "joined", error);
    if (r < 0)
        return r;
    if (sbx_group_is_frozen(group))
        return sbxi_error(error, EBUSY,
                          "group %s: it is frozen, and so would be who joins it; thaw it",
                          group->name);
    r = sbxi_cgroup_join(group->cgroup, NULL);
    if (r == -EACCES)
        enter_scope(group);
    return r < 0 ? sbxi_cgroup_join(group->cgroup, error) : 0;
}

/* It may have a place by then where it had none. */
static int ask_owner(sbx_group *group, const struct sbx_limits *limits, struct sbx_error *error)
{
    sbx_group anew = *group;
    const char *name = strrchr(sbxi_cgroup_get_path(group->cgroup), '/') + 1;
    int r = sbxi_admin_set_limits(group->run_dir, name, limits, error);
    if (r == 0 && open_sandbox(&anew, group->run_dir, NULL) == 0) {
        sbxi_cgroup_close(group->cgroup);
        group->cgroup = anew.cgroup;
    }
    return r;
}

int sbx_group_set_limits(sbx_group *group, const struct sbx_limits *limits, struct sbx_error *error)
{
    int r = sbxi_limits_check(limits, error);
    if (r < 0)
        return r;
    struct sbx_limits own = *limits;
    if (group->kind == SBX_GROUP_SANDBOX && !sbxi_cgroup_has_places(group->cgroup, limits)) {
        r = ask_owner(group, limits, error);
        if (r != -ENOENT)
            return r;
    }
    if (group->kind == SBX_GROUP_SANDBOX && own.pids && own.pids != SBX_UNLIMITED)
        own.pids++; /* its init */
    return sbxi_cgroup_set_limits(group->cgroup, &own, error);
}

int sbx_group_get_limits(sbx_group *group, struct sbx_limits *ret)
{
    if (ret->size != sizeof *ret)
        return -EINVAL;
    if (!sbxi_cgroup_exists(group->cgroup))
        return -ENODEV;
    sbxi_cgroup_get_limits(group->cgroup, ret);
    if (group->kind == SBX_GROUP_SANDBOX && ret->pids && ret->pids != SBX_UNLIMITED)
        ret->pids--;
    return 0;
}

int sbx_group_get_stats(sbx_group *group, struct sbx_stats *ret)
{
    if (ret->size != sizeof *ret)
        return -EINVAL;
    return sbxi_cgroup_exists(group->cgroup) ? sbxi_cgroup_get_stats(group->cgroup, false, ret)
                                             : -ENODEV;
}

int sbx_group_get_pids(sbx_group *group, pid_t *ret, size_t max)
{
    return sbxi_cgroup_get_pids(group->cgroup, ret, max);
}

int sbx_group_freeze(sbx_group *group, bool frozen, struct sbx_error *error)
{
    int r = sbxi_cgroup_freeze(group->cgroup, frozen);
    if (r == -ETIMEDOUT)
        return sbxi_error(error, ETIMEDOUT,
                          "group %s: not everybody stopped within 2 s: one sits in the kernel; "
                          "thawed again",
                          group->name);
    return r < 0 ? sbxi_error(error, -r, "group %s: %s: %s", group->name,
                              frozen ? "freeze" : "thaw", strerror(-r))
                 : 0;
}

bool sbx_group_is_frozen(sbx_group *group)
{
    return sbxi_cgroup_is_frozen(group->cgroup) > 0;
}

int sbx_group_kill(sbx_group *group, struct sbx_error *error)
{
    int r = sbxi_cgroup_kill(group->cgroup);
    sbxi_cgroup_freeze(group->cgroup,
                       false); /* it was for who is dead now, not for who comes next */
    return r < 0 ? sbxi_error(error, -r, "group %s: kill: not everybody is gone: %s", group->name,
                              strerror(-r))
                 : 0;
}

/* ---- delete ---- */

static int remove_all(const char *name,
                      const struct sbxi_record *records,
                      size_t n,
                      bool kill,
                      struct sbx_error *error)
{
    const char *paths[SBXI_CGROUP_HIERARCHIES];
    int fds[SBXI_CGROUP_HIERARCHIES], r = 0;
    bool populated = false;
    for (size_t i = 0; i < n; i++) {
        paths[i] = records[i].path;
        fds[i] = sbxi_cgtree_open(paths[i], false);
        populated |= fds[i] >= 0 && sbxi_cgtree_is_populated(fds[i]) > 0;
    }
    if (populated && kill)
        r = sbxi_cgtree_kill_all(fds, n, KILL_MS);
    for (size_t i = 0; i < n; i++)
        sbxi_closep(&fds[i]);
    if (populated && !kill)
        return sbxi_error(error, EBUSY,
                          "group %s: processes live in it; end them, or kill them with it (--kill)",
                          name);
    if (r < 0)
        return sbxi_error(error, -r, "group %s: kill: not everybody is gone: %s", name,
                          strerror(-r));
    if (sbxi_cgtree_remove_all(paths, n, false, REMOVE_MS) > 0)
        return sbxi_error(error, EBUSY,
                          "group %s: it cannot be removed: somebody came back into it", name);
    return 0;
}

/* The process, if it still is the one that was noted. */
static void end_holder(int fd)
{
    struct sbxi_record record;
    siginfo_t info;
    uint64_t start;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return;
    while (read(fd, &record, sizeof record) == (ssize_t)sizeof record) {
        if (sbxi_record_check(&record) < 0 || record.kind != SBXI_RECORD_PROCESS)
            continue;
        _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)record.number, 0);
        if (pidfd >= 0 && sbxi_record_start_time((pid_t)record.number, &start) >= 0 &&
            start == record.start && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0)
            waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED); /* where it is our child */
    }
}

int sbx_group_delete_name(const char *run_dir, const char *name, bool kill, struct sbx_error *error)
{
    struct sbxi_record records[SBXI_CGROUP_HIERARCHIES];
    char path[PATH_MAX];
    _cleanup_close_ int groups = sbxi_group_open_dir(run_dir, "groups", false, path, error);
    if (groups < 0 && groups != -ENOENT)
        return groups;
    _cleanup_close_ int fd =
        groups < 0 || !sbxi_group_is_name(name)
            ? -1
            : openat(groups, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return sbxi_error(error, ENOENT,
                          "group %s: there is no such group; `uds cgroup ls` lists them; a "
                          "running sandbox's goes with it",
                          name);
    int r = lock(fd);
    if (r >= 0)
        r = read_records(fd, records);
    if (r < 0)
        return sbxi_error(error, -r, "group %s: %s/groups/%s: %s", name, path, name, strerror(-r));
    r = remove_all(name, records, (size_t)r, kill, error);
    if (r >= 0)
        end_holder(fd);
    if (r >= 0 && unlinkat(groups, name, 0) < 0)
        r = sbxi_error(error, errno, "group %s: %s/groups/%s: %s", name, path, name,
                       strerror(errno));
    return r;
}

int sbx_group_delete(sbx_group *group, bool kill, struct sbx_error *error)
{
    int r = refuse_sandbox(group, "deleted", error);
    return r < 0 ? r : sbx_group_delete_name(group->run_dir, group->name, kill, error);
}
