/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of the cleaner. What holds at every line:
 *
 *   - the record file is locked by one open file description that owner and cleaner share, so it is free exactly when
 *     both are dead;
 *   - the file is locked before it has its name in <run>/records, so nobody ever sees it free while we live;
 *   - what is written there is written before it is made, and by us: no cleaner needs to have run for it;
 *   - a cleaner that dies alone is started again over the same file before the next thing is made.
 *
 * The run directory is ours, writable by nobody else; otherwise whoever could write there could have root remove things.
 */

#include "cleaner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "admin.h"
#include "child-process.h"
#include "cleaner-spawn.h"
#include "cleanup.h"
#include "control.h"
#include "error.h"
#include "helper.h"
#include "ids.h"
#include "rundir.h"
#include "slots.h"
#include "sweep.h"
#include "without.h"

enum {
    END_MS = 3000,
    LAG_BYTES = 12 << 10 /* of the kernel's, which makes it twice that: some 32 messages */
};

struct held_ids {
    uint32_t slice;
    int fd;
};

struct sbx_cleaner {
    char run_dir[PATH_MAX];
    char record_name[64];
    int run_dirfd, record, control;
    struct sbxi_slots slots; /* of the record */
    pid_t pid;
    int pidfd;
    bool is_new; /* perhaps it is not uds-cleaner yet */
    struct sbxi_spawned *spawned;
    struct held_ids *ids;
    size_t nids;
};

/* Locked under a name that a sweep takes for garbage, then renamed; a sweep that came in between makes the rename fail. */
static int make_record(int records, char name[64])
{
    for (int attempt = 0; attempt < 16; attempt++) {
        uint32_t salt;
        char temporary[80];
        if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
            return -EIO;
        snprintf(name, 64, "%d-%08x.record", (int)getpid(), salt);
        snprintf(temporary, sizeof temporary, "%s.new", name);
        _cleanup_close_ int fd =
            openat(records, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        if (renameat2(records, temporary, records, name, RENAME_NOREPLACE) == 0)
            return sbxi_take_fd(&fd);
        if (errno != ENOENT && errno != EEXIST)
            return -errno;
    }
    return -EAGAIN;
}

static void reap(sbx_cleaner *c)
{
    if (c->pidfd >= 0)
        (void)sbxi_reap(c->pidfd, NULL);
    c->pid = -1;
    c->spawned = sbxi_spawned_free(c->spawned);
    sbxi_closep(&c->pidfd);
    sbxi_closep(&c->control);
}

/* What waits to be closed is few, and no cleaner that was stopped has us wait for good. */
static void bound_queue(int control)
{
    static const int lag = LAG_BYTES;
    static const struct timeval patience = {.tv_sec = END_MS / 1000};
    setsockopt(control, SOL_SOCKET, SO_SNDBUF, &lag, sizeof lag);
    setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static int start(sbx_cleaner *c, struct sbx_error *error)
{
    char path[PATH_MAX];
    _cleanup_close_ int helper = sbxi_helper_open("uds-cleaner", path, error);
    if (helper < 0)
        return helper;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return sbxi_error(error, errno, "cleaner: socketpair: %s", strerror(errno));
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    bound_queue(ours);
    int r = sbxi_cleaner_spawn(&c->spawned, helper, c->run_dir, c->record_name, theirs, c->record,
                               &c->pid, &c->pidfd);
    if (r < 0)
        return sbxi_error(error, -r, "cleaner: %s: cannot be started: %s%s", path, strerror(-r),
                          r == -ENOSYS ? "; clone3 is hidden from this process: see the "
                                         "container's seccomp profile, or --seccomp none of the "
                                         "sandbox that this is in"
                                       : "");
    c->control = sbxi_take_fd(&ours);
    c->is_new = true;
    return 0;
}

/* 0: it runs, or, if not @sure, it is about to. -ESRCH: it did. Or why it never did. */
static int look(sbx_cleaner *c, bool sure)
{
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
    if (c->is_new && !sure && poll(&p, 1, 0) == 0)
        return 0;
    /* Its execve ends that wait, or its end: so only then can be seen whether it lives. */
    int r = c->is_new ? sbxi_spawned_wait(c->spawned) : 0;
    c->is_new = false;
    return r < 0 ? r : poll(&p, 1, 0) == 0 ? 0 : -ESRCH;
}

/* If it is gone, another takes over the file, which says all that it knew. */
static int revive(sbx_cleaner *c, bool sure)
{
    int r = c->pid > 0 ? look(c, sure) : -ESRCH;
    if (r == 0)
        return 0;
    reap(c);
    if (r == -ESRCH)
        r = start(c, NULL) < 0 ? -EPIPE : look(c, sure);
    if (r < 0)
        reap(c);
    return r == -ESRCH ? -EPIPE : r;
}

int sbx_cleaner_new(sbx_cleaner **ret, const char *run_dir, struct sbx_error *error)
{
    sbx_cleaner *c = calloc(1, sizeof *c);
    if (!c)
        return sbxi_error(error, ENOMEM, "cleaner: out of memory");
    c->run_dirfd = c->record = c->control = c->pidfd = -1;
    _cleanup_close_ int records = -1;
    int r = c->run_dirfd = sbxi_rundir_open(c->run_dir, run_dir, true, error);
    if (r >= 0)
        r = sbx_gc(c->run_dir, NULL, error);
    if (r >= 0) {
        r = records = sbxi_rundir_open_sub(c->run_dirfd, "records", true);
        if (r >= 0)
            r = c->slots.fd = c->record = make_record(records, c->record_name);
        if (r < 0)
            sbxi_error(error, -r, "cleaner: %s/records: no record can be made: %s", c->run_dir,
                       strerror(-r));
    }
    if (r >= 0)
        r = start(c, error);
    if (r < 0) {
        if (c->record >= 0)
            unlinkat(records, c->record_name, 0);
        sbx_cleaner_forget(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* All but the process. */
static void close_others(sbx_cleaner *c)
{
    sbxi_closep(&c->control);
    sbxi_closep(&c->record);
    sbxi_closep(&c->run_dirfd);
    sbxi_slots_deinit(&c->slots);
    for (size_t i = 0; i < c->nids; i++)
        close(c->ids[i].fd);
    free(c->ids);
    c->ids = NULL;
    c->nids = 0;
}

sbx_cleaner *sbx_cleaner_forget(sbx_cleaner *c)
{
    if (!c)
        return NULL;
    close_others(c);
    sbxi_closep(&c->pidfd);
    sbxi_spawned_free(c->spawned);
    free(c);
    return NULL;
}

/* The cleaner is gone for good (killed again and again): do its work here. */
static void sweep_here(sbx_cleaner *c)
{
    struct sbxi_sweep sweep = {
        .run_dir = c->run_dir, .run_dirfd = c->run_dirfd, .mode = SBXI_SWEEP_END};
    if (sbxi_sweep_file(&sweep, c->record) < 0 || sweep.remain)
        return;
    _cleanup_close_ int records = sbxi_rundir_open_sub(c->run_dirfd, "records", true);
    if (records >= 0)
        sbxi_record_unlink(records, c->record_name);
}

static void kill_it(const sbx_cleaner *c)
{
    if (c->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
}

static void kill_and_reap(sbx_cleaner *c)
{
    kill_it(c);
    reap(c);
}

/* Nothing is written down, so there is nothing that it could do; by now it may not even have begun. It dies while we close. */
static int dismiss(sbx_cleaner *c)
{
    _cleanup_close_ int records = sbxi_rundir_open_sub(c->run_dirfd, "records", true);
    if (c->slots.used > 0 || records < 0 || sbxi_record_unlink(records, c->record_name) < 0)
        return -EBUSY;
    kill_it(c);
    close_others(c);
    reap(c);
    return 0;
}

sbx_cleaner *sbx_cleaner_free(sbx_cleaner *c)
{
    if (!c)
        return NULL;
    if (dismiss(c) == 0)
        return sbx_cleaner_forget(c);
    if (revive(c, true) < 0 || send(c->control, "", 1, MSG_NOSIGNAL) < 0) {
        kill_and_reap(c);
        sweep_here(c);
        return sbx_cleaner_forget(c);
    }
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
    if (c->pidfd >= 0 && poll(&p, 1, END_MS) == 0) {
        kill_and_reap(c); /* stopped, or busy still with what it closes */
        sweep_here(c);
    }
    reap(c);
    return sbx_cleaner_forget(c);
}

pid_t sbx_cleaner_get_pid(const sbx_cleaner *c)
{
    return c->pid;
}

const char *sbxi_cleaner_get_run_dir(const sbx_cleaner *c)
{
    return c->run_dir;
}

const char *sbxi_cleaner_get_record_name(const sbx_cleaner *c)
{
    return c->record_name;
}

int sbxi_cleaner_add(sbx_cleaner *c, const struct sbxi_record *records, size_t n)
{
    /* It has an execve before it: that is waited for when there is a process to be killed, not for what lies on a disk. */
    bool sure = n > 0 && records[0].kind == SBXI_RECORD_PROCESS;
    int r = sbxi_slots_add(&c->slots, records, n);
    SBXI_BOUNDARY("launcher");
    if (r == 0 && (r = revive(c, sure)) < 0)
        sbxi_slots_remove(&c->slots, records, n);
    return r;
}

int sbxi_cleaner_remove(sbx_cleaner *c, const struct sbxi_record *records, size_t n)
{
    return sbxi_slots_remove(&c->slots, records, n);
}

/* Who closes last waits: so it closes when we have. */
void sbxi_cleaner_close(sbx_cleaner *c, const int *fds, size_t n)
{
    static const char hold = SBXI_CONTROL_HOLD, now = SBXI_CONTROL_CLOSE;
    bool holds = c->control >= 0 && sbxi_send_fds(c->control, &hold, sizeof hold, fds, n) == 0;
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    if (holds) /* if this does not go, the next will do for both */
        (void)sbxi_send_fds(c->control, &now, sizeof now, NULL, 0);
}

/* The parent without symlinks: the sweep follows none. */
static int path_record(struct sbxi_record *ret, const char *path)
{
    char parent[PATH_MAX], real[PATH_MAX], whole[PATH_MAX + NAME_MAX + 2];
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || !slash[1] || (size_t)(slash - path) >= sizeof parent)
        return -EINVAL;
    snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (!realpath(parent, real)) /* not made yet, or gone already: as it is said */
        return sbxi_record_set_path(ret, SBXI_RECORD_PATH, path);
    snprintf(whole, sizeof whole, "%s/%s", strcmp(real, "/") ? real : "", slash + 1);
    return sbxi_record_set_path(ret, SBXI_RECORD_PATH, whole);
}

int sbx_cleaner_add_path(sbx_cleaner *c, const char *path)
{
    struct sbxi_record record;
    int r = path_record(&record, path);
    return r < 0 ? r : sbxi_cleaner_add(c, &record, 1);
}

int sbx_cleaner_remove_path(sbx_cleaner *c, const char *path)
{
    struct sbxi_record record;
    int r = path_record(&record, path);
    return r < 0 ? r : sbxi_cleaner_remove(c, &record, 1);
}

int sbx_cleaner_add_process(sbx_cleaner *c, pid_t pid, int pidfd)
{
    uint64_t start_time;
    int r = sbxi_record_start_time(pid, &start_time);
    if (r < 0)
        return r;
    /* Still the process that the pidfd means: so that was its start time, not a successor's. */
    if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
        return -errno;
    struct sbxi_record record;
    sbxi_record_set_number(&record, SBXI_RECORD_PROCESS, (uint64_t)pid, start_time);
    return sbxi_cleaner_add(c, &record, 1);
}

int sbx_cleaner_remove_process(sbx_cleaner *c, pid_t pid)
{
    struct sbxi_record record;
    sbxi_record_set_number(&record, SBXI_RECORD_PROCESS, (uint64_t)pid, 1);
    return sbxi_cleaner_remove(c, &record, 1);
}

/* Does any record, locked or not, name the slice? Torn reads are fine: a slot is written by one pwrite. */
static int is_recorded(uint32_t slice, void *userdata)
{
    const sbx_cleaner *c = userdata;
    int fd = sbxi_rundir_open_sub(c->run_dirfd, "records", true);
    _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return -EIO;
    const struct dirent *e;
    while ((e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_close_ int file =
            openat(dirfd(dir), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (file < 0 || sbxi_sweep_check_file(file) < 0)
            continue;
        struct sbxi_record record;
        while (read(file, &record, sizeof record) == (ssize_t)sizeof record)
            if (sbxi_record_check(&record) == 0 && record.kind == SBXI_RECORD_IDS &&
                record.number == slice)
                return 1;
    }
    return 0;
}

int sbxi_cleaner_take_ids_near(sbx_cleaner *c,
                               uint32_t wanted,
                               uint32_t *ret_first,
                               struct sbx_error *error)
{
    uint32_t hint = wanted >= SBXI_IDS_FIRST ? (wanted - SBXI_IDS_FIRST) / SBXI_IDS_COUNT
                                             : (uint32_t)getpid() + (uint32_t)c->nids;
    if (geteuid() != 0)
        return sbxi_error(error, EPERM,
                          "id range: only root can map a range of host ids; run it as root");
    struct held_ids *grown = reallocarray(c->ids, c->nids + 1, sizeof *grown);
    if (!grown)
        return sbxi_error(error, ENOMEM, "id range: out of memory");
    c->ids = grown;
    uint32_t slice = 0;
    _cleanup_close_ int home = sbxi_ids_home();
    _cleanup_close_ int fd = -1;
    int r = home;
    if (r >= 0)
        r = sbxi_ids_take(home, c->run_dir, hint, is_recorded, c, &slice, &fd);
    if (r < 0)
        return sbxi_error(error, -r, "id range: /run/uds/ids: no slice can be taken: %s",
                          strerror(-r));
    struct sbxi_record record;
    sbxi_record_set_number(&record, SBXI_RECORD_IDS, slice, 0);
    r = sbxi_cleaner_add(c, &record, 1);
    if (r < 0) {
        sbxi_ids_drop(home, slice, true);
        return sbxi_error(error, -r, "id range: uds-cleaner does not run, or takes no record: %s",
                          strerror(-r));
    }
    c->ids[c->nids++] = (struct held_ids){.slice = slice, .fd = sbxi_take_fd(&fd)};
    *ret_first = SBXI_IDS_FIRST + slice * SBXI_IDS_COUNT;
    return 0;
}

int sbx_cleaner_take_ids(sbx_cleaner *c,
                         uint32_t *ret_first,
                         uint32_t *ret_count,
                         struct sbx_error *error)
{
    int r = sbxi_cleaner_take_ids_near(c, 0, ret_first, error);
    if (r == 0)
        *ret_count = SBXI_IDS_COUNT;
    return r;
}

int sbx_cleaner_release_ids(sbx_cleaner *c, uint32_t first)
{
    uint32_t slice = (first - SBXI_IDS_FIRST) / SBXI_IDS_COUNT;
    for (size_t i = 0; i < c->nids; i++) {
        if (c->ids[i].slice != slice)
            continue;
        struct sbxi_record record;
        sbxi_record_set_number(&record, SBXI_RECORD_IDS, slice, 0);
        _cleanup_close_ int home = sbxi_ids_home();
        int r = home < 0 ? home : sbxi_ids_drop(home, slice, true);
        if (r >= 0)
            r = sbxi_cleaner_remove(c, &record, 1);
        close(c->ids[i].fd);
        c->ids[i] = c->ids[--c->nids];
        return r;
    }
    return -ENOENT;
}
