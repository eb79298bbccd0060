/* SPDX-License-Identifier: MIT */
/*
 * Trust: may we act on what this file says?
 *
 * A stack file says what root starts, so whoever can write it is root. The file is opened first and
 * judged by its descriptor, never by its path: between a stat and an open it could be another file.
 * It must be a regular file, owned by the caller or by root, and writable by nobody else. When root
 * reads it, the directory in which it really lies is judged too, because whoever may write there
 * may put another file in its place; a sticky directory (/tmp) does not allow that for files of
 * others.
 */
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "error.h"

const char *trust_judge(uid_t owner, mode_t mode, uid_t us)
{
    if (owner != us && owner != 0)
        return "it belongs to another user: chown it to yourself or to root";
    if (S_ISDIR(mode) && (mode & S_ISVTX))
        return NULL;
    if (mode & S_IWOTH)
        return S_ISDIR(mode) ? "everybody may write in it: chmod go-w"
                             : "everybody may write it: chmod go-w";
    if (mode & S_IWGRP)
        return S_ISDIR(mode) ? "its group may write in it: chmod go-w"
                             : "its group may write it: chmod go-w";
    return NULL;
}

/* The directory that holds @fd's file now, whatever symbolic links led there. */
static int judge_directory_of(int fd, const char *path, struct sbx_error *error)
{
    char link[64], real[4096], *slash;
    const char *wrong;
    struct stat st;
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, real, sizeof(real) - 1);
    if (n <= 0 || real[0] != '/')
        return error_set(error, EACCES,
                         "stack file: %.400s: cannot tell its directory: mount /proc", path);
    real[n] = 0;
    slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = 0;
    if (stat(real, &st) < 0)
        return error_set(error, errno, "stack file: directory %.400s: %s", real, strerror(errno));
    wrong = trust_judge(st.st_uid, st.st_mode, geteuid());
    if (wrong)
        return error_set(error, EACCES, "stack file: refused: directory %.400s: %s", real, wrong);
    return 0;
}

static int judge_file(int fd, const char *path, struct sbx_error *error)
{
    const char *wrong;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_set(error, errno, "stack file: %.400s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(error, EINVAL, "stack file: %.400s: is no regular file", path);
    wrong = trust_judge(st.st_uid, st.st_mode, geteuid());
    if (wrong)
        return error_set(error, EACCES, "stack file: refused: %.400s: %s", path, wrong);
    return geteuid() == 0 ? judge_directory_of(fd, path, error) : 0;
}

int trust_open(const char *path, int *ret_fd, struct sbx_error *error)
{
    /* O_NONBLOCK: a FIFO in the file's place must not make us wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

    if (fd < 0)
        return error_set(error, errno, "stack file: %.400s: %s", path, strerror(errno));
    r = judge_file(fd, path, error);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int trust_directory(const char *path, struct sbx_error *error)
{
    uid_t us = geteuid();
    struct stat st;
    int fd;

    if (mkdir(path, us == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
        return error_set(error, errno, "run directory: %.400s: %s: name another with --run-dir",
                         path, strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = errno;

        if (fd >= 0)
            close(fd);
        return error_set(error, err, "run directory: %.400s: %s: name another with --run-dir", path,
                         err == ENOTDIR || err == ELOOP ? "is no directory" : strerror(err));
    }
    close(fd);
    if (st.st_uid != us)
        return error_set(
            error, EACCES,
            "run directory: %.400s: belongs to uid %u, we are %u: name another with --run-dir",
            path, (unsigned)st.st_uid, (unsigned)us);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return error_set(
            error, EACCES,
            "run directory: %.400s: others may write in it: chmod go-w, or name another "
            "with --run-dir",
            path);
    return 0;
}
