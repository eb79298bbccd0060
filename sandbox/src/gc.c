/* SPDX-License-Identifier: MIT */
/*
 * Sweeping what owners and cleaners left that were killed together. A record is swept by whoever gets its lock; the lock
 * is free only if both are dead. Files that are not ours in every respect are refused with a line in the log and stay.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"
#include "record.h"
#include "rundir.h"
#include "sweep.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Half-made records, "….record.new", were locked by nobody or by a maker between two calls; both are told by the lock. */
static int sweep_one(struct sbxi_sweep *s, int records, const char *name)
{
    _cleanup_close_ int fd = openat(records, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = sbxi_sweep_check_file(fd);
    if (r < 0)
        return r;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0; /* somebody lives */
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
        return sbxi_record_unlink(records, name);
    return unlinkat(records, name, 0) < 0 ? -errno : 0;
}

static int sweep_all(const char *run_dir, int run_dirfd, int records, FILE *log)
{
    int copy = openat(records, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return -errno;
    int total = 0;
    const struct dirent *e;
    while ((e = readdir(dir))) {
        if (e->d_name[0] == '.' || ends_with(e->d_name, ".sock")) /* goes with its record */
            continue;
        struct sbxi_sweep s = {
            .run_dir = run_dir, .run_dirfd = run_dirfd, .mode = SBXI_SWEEP_GC, .log = log};
        int r = sweep_one(&s, records, e->d_name);
        if (r < 0 && log)
            fprintf(log, "refused: %s/records/%s: %s\n", run_dir, e->d_name, strerror(-r));
        total += (int)s.removed;
    }
    return total;
}

int sbx_gc(const char *run_dir, FILE *log, struct sbx_error *error)
{
    char path[PATH_MAX];
    _cleanup_close_ int run_dirfd = sbxi_rundir_open(path, run_dir, false, error);
    if (run_dirfd < 0)
        return run_dirfd == -ENOENT ? 0 : run_dirfd;
    _cleanup_close_ int records = sbxi_rundir_open_sub(run_dirfd, "records", false);
    if (records == -ENOENT)
        return 0;
    int r = records < 0 ? records : sweep_all(path, run_dirfd, records, log);
    if (r == -EPERM)
        return sbxi_error(
            error, EPERM,
            "gc: %s/records: not owned by uid %u, or writable by others: refused; look "
            "at it and remove it",
            path, (unsigned)geteuid());
    if (r < 0)
        return sbxi_error(error, -r, "gc: %s/records: %s", path, strerror(-r));
    return r;
}
