/* SPDX-License-Identifier: MIT */
/*
 * Sweeping what owners and cleaners left that were killed together. A record is swept by whoever gets its lock; the lock
 * is free only if both are dead. Files that are not ours in every respect are refused with a line in the log and stay.
 *
 * For a moment it can be held although the owner is gone: by its cleaner at work, by a child that it was just about to make
 * something of. Who starts something does not wait for that; who asks for a sweep wants to know that all is gone.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "record.h"
#include "rundir.h"
#include "sweep.h"

enum {
    AGAIN_MS = 10,
    MOST_HOLDERS = 8 /* that are named */
};

struct gc {
    const char *run_dir;
    int run_dirfd, records;
    FILE *log;
    int removed;
    char **held; /* names of records that somebody has locked whose owner is gone */
    size_t nheld;
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Of "PID-SALT.record". An owner in another pid namespace looks gone, too: that costs time, and nothing else. */
static bool owner_is_gone(const char *name)
{
    char path[32], text[1024];
    char *end;
    long pid = strtol(name, &end, 10);
    if (*end != '-' || pid <= 0 || pid > INT32_MAX)
        return false;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *state = strrchr(text, ')');
    return n < 0 || (state && (state[2] == 'Z' || state[2] == 'X'));
}

/* Half-made records, "….record.new", were locked by nobody or by a maker between two calls; both are told by the lock.
 * -EBUSY: somebody holds it whose owner is gone. */
static int sweep_one(struct gc *gc, struct sbxi_sweep *s, const char *name)
{
    _cleanup_close_ int fd =
        openat(gc->records, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = sbxi_sweep_check_file(fd);
    if (r < 0)
        return r;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return owner_is_gone(name) ? -EBUSY : 0;
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_nlink == 0)
        return 0; /* somebody else swept it while we came */
    if (ends_with(name, ".record"))
        r = sbxi_sweep_file(s, fd);
    if (r < 0)
        return r;
    if (s->remain > 0)
        return 0;
    if (ends_with(name, ".record"))
        return sbxi_record_unlink(gc->records, name);
    return unlinkat(gc->records, name, 0) < 0 ? -errno : 0;
}

/* False: it is held still. */
static bool sweep_name(struct gc *gc, const char *name)
{
    struct sbxi_sweep s = {
        .run_dir = gc->run_dir, .run_dirfd = gc->run_dirfd, .mode = SBXI_SWEEP_GC, .log = gc->log};
    int r = sweep_one(gc, &s, name);
    gc->removed += (int)s.removed;
    if (r < 0 && r != -EBUSY && gc->log)
        fprintf(gc->log, "refused: %s/records/%s: %s\n", gc->run_dir, name, strerror(-r));
    return r != -EBUSY;
}

static int remember(struct gc *gc, const char *name)
{
    char **held = reallocarray(gc->held, gc->nheld + 1, sizeof *held);
    if (!held)
        return -ENOMEM;
    gc->held = held;
    if (!(held[gc->nheld] = strdup(name)))
        return -ENOMEM;
    gc->nheld++;
    return 0;
}

static int sweep_all(struct gc *gc)
{
    int r = 0, copy = openat(gc->records, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return -errno;
    const struct dirent *e;
    while (r == 0 && (e = readdir(dir)))
        if (e->d_name[0] != '.' && !ends_with(e->d_name, ".sock") && /* goes with its record */
            !sweep_name(gc, e->d_name))
            r = remember(gc, e->d_name);
    return r;
}

static void sweep_held(struct gc *gc, int timeout_ms)
{
    uint64_t until = sbxi_now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
    while (gc->nheld > 0 && sbxi_now_ms() < until) {
        size_t kept = 0;
        poll(NULL, 0, AGAIN_MS);
        for (size_t i = 0; i < gc->nheld; i++)
            if (sweep_name(gc, gc->held[i]))
                free(gc->held[i]);
            else
                gc->held[kept++] = gc->held[i];
        gc->nheld = kept;
    }
}

/* ---- who holds one ---- */

static bool has_open(const char *pid, const struct stat *record)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    _cleanup_closedir_ DIR *dir = opendir(path);
    const struct dirent *e;
    struct stat st;
    while (dir && (e = readdir(dir)))
        if (fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && st.st_dev == record->st_dev &&
            st.st_ino == record->st_ino)
            return true;
    return false;
}

static void say_holders(const struct gc *gc, const char *name)
{
    struct stat record;
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    const struct dirent *e;
    int found = 0;
    if (fstatat(gc->records, name, &record, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    fprintf(gc->log, "held: %s/records/%s: its launcher is gone, and it is still open in",
            gc->run_dir, name);
    while (proc && found < MOST_HOLDERS && (e = readdir(proc)))
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && has_open(e->d_name, &record))
            fprintf(gc->log, "%s %s", found++ ? "," : " process", e->d_name);
    fputs(found ? ": end it, and ask again\n"
                : " a process that we may not look at: wait for its end, and ask again\n",
          gc->log);
}

static int
gc_with(const char *run_dir, int timeout_ms, FILE *log, unsigned *ret_held, struct sbx_error *error)
{
    char path[PATH_MAX];
    _cleanup_close_ int run_dirfd = sbxi_rundir_open(path, run_dir, false, error);
    if (run_dirfd < 0)
        return run_dirfd == -ENOENT ? 0 : run_dirfd;
    _cleanup_close_ int records = sbxi_rundir_open_sub(run_dirfd, "records", false);
    if (records == -ENOENT)
        return 0;
    struct gc gc = {.run_dir = path, .run_dirfd = run_dirfd, .records = records, .log = log};
    int r = records < 0 ? records : sweep_all(&gc);
    sweep_held(&gc, timeout_ms);
    for (size_t i = 0; i < gc.nheld; i++) {
        if (log && timeout_ms > 0)
            say_holders(&gc, gc.held[i]);
        free(gc.held[i]);
    }
    free(gc.held);
    *ret_held = (unsigned)gc.nheld;
    if (r == -EPERM)
        return sbxi_error(
            error, EPERM,
            "gc: %s/records: not owned by uid %u, or writable by others: refused; look "
            "at it and remove it",
            path, (unsigned)geteuid());
    if (r < 0)
        return sbxi_error(error, -r, "gc: %s/records: %s", path, strerror(-r));
    return gc.removed;
}

int sbx_gc(const char *run_dir, FILE *log, struct sbx_error *error)
{
    unsigned held;
    return gc_with(run_dir, 0, log, &held, error);
}

int sbx_gc_wait(
    const char *run_dir, int timeout_ms, FILE *log, unsigned *ret_held, struct sbx_error *error)
{
    unsigned held = 0;
    int r = gc_with(run_dir, timeout_ms, log, &held, error);
    if (r >= 0)
        *ret_held = held;
    return r;
}
