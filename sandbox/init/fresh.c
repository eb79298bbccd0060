/* SPDX-License-Identifier: MIT */
/*
 * The file system that was attached last, by its descriptor. What the plan puts directly into one that we have just made
 * (the nodes of /dev, the covers in /proc) needs no walk from the root: there is no link in it, and nobody else has
 * been there. A walk costs four system calls for each of forty such places.
 *
 * It becomes our working directory where mounts are made in it: mount(2) does in one call what takes four to eight by the
 * new mount API, each step of which makes a file.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>

#include "init.h"

void init_set_fresh(struct init *init, const char *path, int fd)
{
    if (init->fresh >= 0)
        close(init->fresh);
    init->fresh = fd;
    init->fresh_path = path;
    init->inside = false;
    init->masked[0] = init->masked[1] = NULL;
}

int init_fresh(const struct init *init, const struct sbxi_step *step, const char **ret_name)
{
    const char *path = init_a(init, step), *slash = strrchr(path, '/');
    if (!(step->flags & SBXI_F_BELOW) || init->fresh < 0 || !slash || !slash[1])
        return -1;
    size_t length = (size_t)(slash - path);
    if (strncmp(path, init->fresh_path, length) != 0 || init->fresh_path[length] != '\0')
        return -1; /* another has been attached since */
    *ret_name = slash + 1;
    return init->fresh;
}

int init_attach_fresh(int tree, int fresh, const char *name)
{
    return move_mount(tree, "", fresh, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int init_make_fresh(int fresh, const char *name, bool directory)
{
    int fd = -1;
    if (directory ? mkdirat(fresh, name, 0755) < 0
                  : (fd = openat(fresh, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444)) < 0)
        return errno == EEXIST ? 0 : -errno;
    if (fd >= 0)
        close(fd);
    return 0;
}

int init_mount_fresh(struct init *init,
                     const char *source,
                     const char *name,
                     const char *type,
                     unsigned long flags,
                     const char *options)
{
    if (!init->inside && fchdir(init->fresh) < 0)
        return -errno;
    init->inside = true;
    return mount(source, name, type, flags, options) < 0 ? -errno : 0;
}

int init_leave_fresh(struct init *init)
{
    init->inside = false;
    return chdir("/") < 0 ? -errno : 0;
}
