/* SPDX-License-Identifier: MIT */
/*
 * A sweep of one record file, in phases, because each makes the next possible:
 *
 *   1 kill      every cgroup and every process, then wait until they are empty and gone
 *   2 cgroups   removed with a deadline
 *   3 paths     longest first, so that a directory comes after what is in it
 *   4 ids       last: while the slice's file exists nobody else's processes get these ids
 *
 * Nothing is believed. A cgroup is opened without following symlinks and must be on a cgroup file system and be called
 * "uds-…"; a process must have the start time that the record has, and not be older than the owner where that is known; which paths go is sweep-path.c's to say. What is done
 * is cleared from the file at once, so that a sweep that is killed in the middle is continued by the next.
 */

#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "cgtree.h"
#include "cleanup.h"
#include "ids.h"
#include "kernel.h"
#include "record.h"
#include "without.h"

enum {
    MAX_SLOTS = 65536,
    KILL_MS = 800,
    REMOVE_MS = 600,
    HANG_UP_MS = 200
};

struct table {
    int fd;
    size_t n;
    struct sbxi_record *records;
    bool *mine; /* checked, not yet done */
};

static void say(const struct sbxi_sweep *s, const char *what, const struct sbxi_record *r, int err)
{
    if (!s->log)
        return;
    if (r->kind == SBXI_RECORD_PROCESS || r->kind == SBXI_RECORD_IDS)
        fprintf(s->log, "%s: %s %llu", what, r->kind == SBXI_RECORD_IDS ? "id slice" : "process",
                (unsigned long long)r->number);
    else
        fprintf(s->log, "%s: %s", what, r->path);
    fprintf(s->log, err ? ": %s\n" : "\n", strerror(err));
}

static void done(struct sbxi_sweep *s, struct table *t, size_t i, int r)
{
    if (r < 0 && r != -EPERM) {
        s->remain++;
        say(s, "not removed", &t->records[i], -r);
        return;
    }
    if (r < 0) {
        s->refused++;
        say(s, "refused", &t->records[i], -r);
    }
    if (r > 0) {
        s->removed++;
        say(s, "removed", &t->records[i], 0);
    }
    static const struct sbxi_record empty;
    t->mine[i] = false;
    if (pwrite(t->fd, &empty, sizeof empty, (off_t)(i * sizeof empty)) < 0)
        s->remain++;
}

/* A pidfd of exactly the process that was registered, or -1: it is gone. The start time is read after the pidfd was
 * opened: if it still matches, the pid did not change hands before. */
static int open_process(const struct sbxi_record *r)
{
    uint64_t start;
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, (pid_t)r->number, 0);
    if (fd < 0 || sbxi_record_start_time((pid_t)r->number, &start) < 0 || start != r->start)
        return -1;
    return sbxi_take_fd(&fd);
}

/* The init of a sandbox without a pid namespace, and without a cgroup, is the only one to know who belongs to it: it
 * sees that its owner is gone and ends them, if it gets the time. All share one delay. */
static void kill_processes(const struct table *t, const int *fds)
{
    int left_ms = HANG_UP_MS;
    for (size_t i = 0; i < t->n; i++) {
        if (!t->mine[i] || t->records[i].kind != SBXI_RECORD_PROCESS || fds[i] < 0)
            continue;
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        for (; left_ms > 0 && poll(&p, 1, 10) == 0; left_ms -= 10)
            continue;
        syscall(SYS_pidfd_send_signal, fds[i], SIGKILL, NULL, 0);
    }
}

static void kill_everything(struct sbxi_sweep *s, struct table *t, int *fds)
{
    for (size_t i = 0; i < t->n; i++) {
        fds[i] = -1;
        if (!t->mine[i] || t->records[i].kind != SBXI_RECORD_CGROUP)
            continue;
        fds[i] = sbxi_cgtree_open(t->records[i].path, false);
        if (fds[i] >= 0)
            sbxi_cgtree_kill(fds[i]);
        else if (fds[i] == -ENOENT)
            done(s, t, i, 0);
        else
            done(s, t, i, fds[i]);
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->mine[i] && t->records[i].kind == SBXI_RECORD_PROCESS) {
            if (t->records[i].start < s->since)
                done(s, t, i, -EPERM);
            else
                fds[i] = open_process(&t->records[i]);
        }
    kill_processes(t, fds);
}

static void wait_for_processes(struct sbxi_sweep *s, struct table *t, const int *fds)
{
    for (size_t i = 0; i < t->n; i++) {
        if (!t->mine[i] || t->records[i].kind != SBXI_RECORD_PROCESS)
            continue;
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        if (fds[i] < 0)
            done(s, t, i, 0);
        else
            done(s, t, i, poll(&p, 1, KILL_MS) == 1 ? 1 : -ETIMEDOUT);
    }
}

static int phase_kill(struct sbxi_sweep *s, struct table *t)
{
    _cleanup_free_ int *fds = calloc(t->n, sizeof *fds);
    if (!fds)
        return -ENOMEM;
    kill_everything(s, t, fds);
    wait_for_processes(s, t, fds);
    for (size_t i = 0; i < t->n; i++)
        if (t->records[i].kind != SBXI_RECORD_CGROUP && fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    sbxi_cgtree_kill_all(fds, t->n, KILL_MS);
    for (size_t i = 0; i < t->n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return 0;
}

static int phase_cgroups(struct sbxi_sweep *s, struct table *t)
{
    _cleanup_free_ const char **paths = calloc(t->n, sizeof *paths);
    if (!paths)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->mine[i] && t->records[i].kind == SBXI_RECORD_CGROUP)
            paths[n++] = t->records[i].path;
    sbxi_cgtree_remove_all(paths, n, false, REMOVE_MS);
    for (size_t i = 0; i < t->n; i++)
        if (t->mine[i] && t->records[i].kind == SBXI_RECORD_CGROUP) {
            int r = sbxi_cgtree_remove(t->records[i].path, false);
            done(s, t, i, r < 0 ? r : 1);
        }
    return 0;
}

/* True if @fd's only child is @name. */
static bool only_child(int fd, const char *name)
{
    int copy = openat(fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && strcmp(e->d_name, name) != 0)
            return false;
    return dir != NULL;
}

static void write_control(int dirfd, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        return; /* what matters is whether the leaf can be removed in the end */
}

/* The v2 leaf that owners (and we) moved into, shared by all owners in one cgroup: the last one out removes it. The
 * group above takes processes again only when it distributes no controller any more, and turning that off would lift
 * the limits of other owners' sandboxes. */
static int remove_leaf(const char *path)
{
    char parent[SBXI_RECORD_PATH_MAX], pid[32];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    *slash = '\0';
    _cleanup_close_ int fd = sbxi_cgtree_open(parent, false);
    _cleanup_close_ int leaf = sbxi_cgtree_open(path, false);
    if (fd < 0 || leaf < 0)
        return fd == -ENOENT || leaf == -ENOENT ? 0 : fd < 0 ? fd : leaf;
    if (!only_child(fd, slash + 1))
        return 0;
    static const char *const off[] = {"-cpuset", "-cpu", "-memory", "-pids", "-io"};
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        write_control(fd, "cgroup.subtree_control", off[i]);
    int procs = openat(leaf, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_fclose_ FILE *file = procs < 0 ? NULL : fdopen(procs, "r");
    while (file && fgets(pid, sizeof pid, file))
        write_control(fd, "cgroup.procs", pid);
    int r = sbxi_cgtree_remove(path, false);
    return r < 0 ? r : 1;
}

static int by_length(const void *a, const void *b, void *userdata)
{
    const struct sbxi_record *records = userdata;
    size_t x = strlen(records[*(const size_t *)a].path);
    size_t y = strlen(records[*(const size_t *)b].path);
    return (x < y) - (x > y);
}

static int phase_paths(struct sbxi_sweep *s, struct table *t)
{
    _cleanup_free_ size_t *order = calloc(t->n, sizeof *order);
    if (!order)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->mine[i] && t->records[i].kind == SBXI_RECORD_PATH)
            order[n++] = i;
    qsort_r(order, n, sizeof *order, by_length, t->records);
    for (size_t i = 0; i < n; i++)
        done(s, t, order[i], sbxi_sweep_path(s, t->records[order[i]].path));
    return 0;
}

static void phase_rest(struct sbxi_sweep *s, struct table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (!t->mine[i] || t->records[i].kind != SBXI_RECORD_IDS)
            continue;
        int r = -EBUSY; /* while something remains, it may run under these ids */
        if (!s->remain) {
            _cleanup_close_ int home = sbxi_ids_home();
            r = home < 0 ? home
                         : sbxi_ids_drop(home, (uint32_t)t->records[i].number,
                                         s->mode == SBXI_SWEEP_END);
            r = r == -EBUSY ? 0 : r < 0 ? r : 1; /* locked by its next taker already */
        }
        done(s, t, i, r);
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->mine[i] && t->records[i].kind == SBXI_RECORD_LEAF)
            done(s, t, i, remove_leaf(t->records[i].path));
}

int sbxi_sweep_check_file(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    bool fine = S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
                st.st_size % (off_t)sizeof(struct sbxi_record) == 0 &&
                st.st_size <= (off_t)(MAX_SLOTS * sizeof(struct sbxi_record));
    return fine ? 0 : -EPERM;
}

int sbxi_sweep_open_dir(const char *path)
{
    _cleanup_close_ int fd = open(path, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return -EPERM;
    return sbxi_take_fd(&fd);
}

static void check_slots(struct sbxi_sweep *s, struct table *t)
{
    static const struct sbxi_record empty;
    for (size_t i = 0; i < t->n; i++) {
        if (memcmp(&t->records[i], &empty, sizeof empty) == 0)
            continue;
        t->mine[i] = sbxi_record_check(&t->records[i]) == 0;
        if (t->mine[i])
            continue;
        s->refused++;
        if (s->log)
            fprintf(s->log,
                    "refused: slot %zu of a record is malformed, nothing is done about it\n", i);
    }
}

int sbxi_sweep_file(struct sbxi_sweep *s, int fd)
{
    s->removed = s->remain = s->refused = 0;
    int r = sbxi_sweep_check_file(fd);
    struct stat st;
    if (r < 0 || fstat(fd, &st) < 0)
        return r < 0 ? r : -errno;
    struct table t = {.fd = fd, .n = (size_t)st.st_size / sizeof(struct sbxi_record)};
    if (t.n == 0)
        return 0;
    _cleanup_free_ struct sbxi_record *records = calloc(t.n, sizeof *records);
    _cleanup_free_ bool *mine = calloc(t.n, sizeof *mine);
    if (!records || !mine)
        return -ENOMEM;
    t.records = records;
    t.mine = mine;
    ssize_t n = pread(fd, records, t.n * sizeof *records, 0);
    if (n < 0)
        return -errno;
    check_slots(s, &t);
    SBXI_BOUNDARY("cleaner");
    r = phase_kill(s, &t);
    SBXI_BOUNDARY("cleaner");
    if (r >= 0)
        r = phase_cgroups(s, &t);
    SBXI_BOUNDARY("cleaner");
    if (r >= 0)
        r = phase_paths(s, &t);
    SBXI_BOUNDARY("cleaner");
    if (r >= 0)
        phase_rest(s, &t);
    return r;
}
