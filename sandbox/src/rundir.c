/* SPDX-License-Identifier: MIT */
/*
 * The run directory and what may be in it. Ours and writable by nobody else, otherwise whoever could write there could
 * have root remove things; checked by fd, after opening, each time.
 */

#include "rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"
#include "sweep.h"

static void default_run_dir(char ret[PATH_MAX])
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        snprintf(ret, PATH_MAX, "/run/uds");
    else if (runtime && runtime[0] == '/')
        snprintf(ret, PATH_MAX, "%s/uds", runtime);
    else
        snprintf(ret, PATH_MAX, "/tmp/uds-%u", (unsigned)geteuid());
}

int sbxi_rundir_resolve(char ret[PATH_MAX], const char *run_dir)
{
    char path[PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
    if (run_dir)
        snprintf(path, sizeof path, "%s", run_dir);
    else
        default_run_dir(path);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (path[0] != '/' || !slash[1])
        return -EINVAL;
    *slash = '\0';
    if (!realpath(parent[0] ? parent : "/", real))
        return -errno;
    int n = snprintf(ret, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "",
                     path + (slash - parent) + 1);
    return n >= 512 ? -ENAMETOOLONG : 0;
}

int sbxi_rundir_open(char ret_path[PATH_MAX],
                     const char *run_dir,
                     bool make,
                     struct sbx_error *error)
{
    int r = sbxi_rundir_resolve(ret_path, run_dir);
    if (r == -ENOENT && !make)
        return r;
    char usual[PATH_MAX];
    default_run_dir(usual);
    if (r < 0)
        return sbxi_error(error, -r,
                          "run directory: %s: %s; name an absolute path whose parent exists%s",
                          run_dir ? run_dir : usual, strerror(-r),
                          run_dir ? "" : ", by --run-dir or XDG_RUNTIME_DIR");
    mode_t mode = geteuid() == 0 ? 0755 : 0700;
    bool made = make && mkdir(ret_path, mode) == 0;
    if (make && !made && errno != EEXIST)
        return sbxi_error(error, errno,
                          "run directory: %s: cannot be made: %s; name another by --run-dir",
                          ret_path, strerror(errno));
    if (made) /* whatever our caller's umask is: others connect to what lies there */
        (void)chmod(ret_path, mode);
    int fd = sbxi_sweep_open_dir(ret_path);
    if (fd == -ENOENT && !make)
        return fd;
    if (fd == -EPERM)
        return sbxi_error(error, EPERM,
                          "run directory: %s: not owned by uid %u, or writable by others: refused; "
                          "name another by --run-dir, or chown and chmod go-w it",
                          ret_path, (unsigned)geteuid());
    if (fd < 0)
        return sbxi_error(error, -fd, "run directory: %s: %s", ret_path, strerror(-fd));
    return fd;
}

int sbxi_rundir_open_sub(int run_dirfd, const char *name, bool make)
{
    if (make && mkdirat(run_dirfd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd =
        openat(run_dirfd, name, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return -EPERM;
    return sbxi_take_fd(&fd);
}
