/* SPDX-License-Identifier: MIT */
/*
 * Where our own programs are: found from the file that this code is in, so that what was installed may be moved as a whole. That is
 * the shared library, or the program that has the static one. Never searched for in PATH or by argv[0]: the caller's
 * environment does not choose what runs as PID 1 of a sandbox. Nor does whoever may write beside somebody else's
 * program, in /tmp for example: a program that is found, and its directory, may be written by root, by us, and by those who
 * may write this code or its directory, since they need no other way. So a group may write where it may write all of the
 * installation, as root:staff may in /usr/local on some distributions, or a user's own group in a tree built under umask 002.
 * Directories further up are not judged: they are the code's as well, or were chosen when this was built.
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

/* Where this code is: the file, and its directory. */
struct origin {
    const char *file;
    char directory[PATH_MAX];
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
    /* By the link and not by what it says: that may be gone, or of another mount namespace. */
    ret->file = library ? library : "/proc/self/exe";
    ret->library = library;
    return 0;
}

/* Why what is @st must not be used, or NULL. */
static const char *distrust(const struct stat *st, const struct origin *origin)
{
    const char *const code[] = {origin->file, origin->directory};
    bool owner = st->st_uid == 0 || st->st_uid == geteuid();
    bool group = !(st->st_mode & S_IWGRP) || st->st_gid == 0;
    for (size_t i = 0; i < 2 && !(owner && group); i++) {
        struct stat by;
        if (stat(code[i], &by) < 0)
            continue;
        owner = owner || st->st_uid == by.st_uid;
        group = group || ((by.st_mode & S_IWGRP) && st->st_gid == by.st_gid);
    }
    if (!owner)
        return "it belongs to another user: chown it to root";
    if (st->st_mode & S_IWOTH)
        return "everybody may write it: chmod o-w";
    return group ? NULL : "a group may write it that may not write what asks for it: chmod g-w";
}

/* -EACCES: it is there, and @error says why it is not taken. */
static int try_open(const struct origin *origin,
                    const char *directory,
                    const char *name,
                    char ret_path[PATH_MAX],
                    struct sbx_error *error)
{
    char path[PATH_MAX];
    struct stat st, above;
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (n >= (int)sizeof path)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || stat(directory, &above) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return sbxi_error(error, EACCES, "%s: %s: is no regular file", name, path);
    const char *why = distrust(&st, origin);
    if (why)
        return sbxi_error(error, EACCES, "%s: %s is not taken: %s", name, path, why);
    why = distrust(&above, origin);
    if (why)
        return sbxi_error(error, EACCES, "%s: %s is not taken: its directory: %s", name, path, why);
    if (ret_path)
        memcpy(ret_path, path, (size_t)n + 1);
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
    struct sbx_error refusal = {0};
    char directory[2 * PATH_MAX];
    for (size_t i = 0; i < 3; i++) {
        if (!places[i])
            continue;
        snprintf(directory, sizeof directory, "%s%s", i < 2 ? origin.directory : "", places[i]);
        int fd = try_open(&origin, directory, name, ret_path, &refusal);
        if (fd >= 0)
            return fd;
    }
    if (refusal.err)
        return sbxi_error(error, refusal.err, "%s", refusal.text);
    const char *beside = origin.library ? "" : origin.directory;
    return sbxi_error(error, ENOENT, "%s: not found in %s%s%s%s or %s; install it there", name,
                      beside, *beside ? ", " : "", origin.directory, places[1], UDS_LIBEXECDIR);
}
