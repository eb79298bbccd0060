/* SPDX-License-Identifier: MIT */
/*
 * Where our own programs are: beside the executable (build tree), in ../libexec/uds from it (a relocated
 * installation), in the directory fixed at build time. Never searched for in PATH or by argv[0]: the caller's
 * environment does not choose what runs as PID 1 of a sandbox.
 */

#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"

static int try_open(const char *path, char ret_path[PATH_MAX])
{
    size_t len = strlen(path);
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ret_path)
        memcpy(ret_path, path, len + 1);
    return fd;
}

int sbxi_helper_open(const char *name, char ret_path[PATH_MAX], struct sbx_error *error)
{
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return sbxi_error(error, errno, "%s: cannot tell where this program is: /proc/self/exe: %s",
                          name, strerror(errno));
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    static const char *const places[] = {"", "/../libexec/uds"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s/%s", self, places[i], name);
        int fd = try_open(path, ret_path);
        if (fd >= 0)
            return fd;
    }
    snprintf(path, sizeof path, "%s/%s", UDS_LIBEXECDIR, name);
    int fd = try_open(path, ret_path);
    if (fd >= 0)
        return fd;
    return sbxi_error(
        error, ENOENT,
        "%s: not found in %s, %s/../libexec/uds or %s; install it beside this program", name, self,
        self, UDS_LIBEXECDIR);
}
