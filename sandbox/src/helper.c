/* SPDX-License-Identifier: MIT */
/*
 * Where our own programs are: found from the file that this code is in, so that what was installed may be moved as a whole. That is
 * the shared library, or the program that has the static one. Never searched for in PATH or by argv[0]: the caller's
 * environment does not choose what runs as PID 1 of a sandbox. Nor does whoever may write beside somebody else's
 * program, in /tmp for example: what is found belongs to root, to us, or to whom the code itself belongs.
 */

#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <dlfcn.h>
#include <link.h>
#endif

#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"

/* Where this code is: the directory, and whose the file is. */
struct origin {
    char directory[PATH_MAX];
    uid_t owner;
    bool library;
};

/* The shared library that this is a part of; the program itself has no name among the objects. */
static const char *find_library(void)
{
#ifdef __GLIBC__
    static const char here;
    Dl_info info;
    void *map;
    if (dladdr1(&here, &info, &map, RTLD_DL_LINKMAP)) {
        const struct link_map *object = map;
        if (object->l_name && object->l_name[0] == '/') /* not what depends on the directory */
            return object->l_name;
    }
#endif
    return NULL;
}

static int find_origin(struct origin *ret)
{
    const char *library = find_library();
    struct stat st;
    /* By the link and not by what it says: that may be gone, or of another mount namespace. */
    if (stat(library ? library : "/proc/self/exe", &st) < 0)
        return -errno;
    if (library && !realpath(library, ret->directory))
        return -errno;
    if (!library) {
        ssize_t n = readlink("/proc/self/exe", ret->directory, sizeof ret->directory - 1);
        if (n < 0)
            return -errno;
        ret->directory[n] = '\0';
    }
    char *slash = strrchr(ret->directory, '/');
    if (slash)
        *slash = '\0';
    ret->owner = st.st_uid;
    ret->library = library;
    return 0;
}

static bool is_trusted(int fd, const struct origin *origin)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & S_IWOTH) &&
           (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == origin->owner);
}

static int try_open(const struct origin *origin, const char *path, char ret_path[PATH_MAX])
{
    size_t len = strlen(path);
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (!is_trusted(fd, origin))
        return -EACCES;
    if (ret_path)
        memcpy(ret_path, path, len + 1);
    return sbxi_take_fd(&fd);
}

int sbx_find_program(const char *name, char *ret_path, struct sbx_error *error)
{
    int fd = sbxi_helper_open(name, ret_path, error);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int sbxi_helper_open(const char *name, char ret_path[PATH_MAX], struct sbx_error *error)
{
    struct origin origin;
    int r = find_origin(&origin);
    if (r < 0)
        return sbxi_error(error, -r, "%s: cannot tell where this program is: /proc/self/exe: %s",
                          name, strerror(-r));
    /* Of a program also what lies beside it: a build tree. */
    static const char *const of_program[] = {"", "/../libexec/uds", UDS_LIBEXECDIR};
    static const char *const of_library[] = {NULL, "/" UDS_LIBEXECDIR_FROM_LIBRARY, UDS_LIBEXECDIR};
    const char *const *places = origin.library ? of_library : of_program;
    bool refused = false;
    char path[2 * PATH_MAX];
    for (size_t i = 0; i < 3; i++) {
        if (!places[i])
            continue;
        snprintf(path, sizeof path, "%s%s/%s", i < 2 ? origin.directory : "", places[i], name);
        int fd = try_open(&origin, path, ret_path);
        if (fd >= 0)
            return fd;
        refused = refused || fd == -EACCES;
    }
    const char *beside = origin.library ? "" : origin.directory;
    return sbxi_error(error, refused ? EACCES : ENOENT,
                      "%s: not found in %s%s%s%s or %s%s; install it there", name, beside,
                      *beside ? ", " : "", origin.directory, places[1], UDS_LIBEXECDIR,
                      refused ? " as a file of root's or ours that nobody else can write to" : "");
}
