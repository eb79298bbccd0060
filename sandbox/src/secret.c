/* SPDX-License-Identifier: MIT */
/*
 * Secrets: files of the payload's own on a read-only tmpfs at /run/secrets, which goes with the sandbox; never part of an
 * argument or of the environment, which others can read.
 *
 * What is to be in them is read by init, at each start. A descriptor is used up by that, but for sealed memory, which init
 * reads from its beginning: so one plan starts any number of sandboxes, and none of them can change what the next one gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <sbx/secret.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "plan.h"

#define FOLLOWS_NONE   "a symbolic link is on the way, and root follows none: name the file itself"

#define PLACE          "/run/secrets"
#define FILE_          "file:"
#define ENV_           "env:"
#define LENGTH(prefix) (sizeof(prefix) - 1)

static const char *path_of(const char *source)
{
    return strncmp(source, FILE_, LENGTH(FILE_)) == 0 ? source + LENGTH(FILE_) : NULL;
}

static const char *variable_of(const char *source)
{
    return strncmp(source, ENV_, LENGTH(ENV_)) == 0 ? source + LENGTH(ENV_) : NULL;
}

static int refuse(const char **ret_why, const char *why)
{
    if (why && ret_why)
        *ret_why = why;
    return why ? -EINVAL : 0;
}

int sbx_secret_check_name(const char *name, const char **ret_why)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);
    bool good = length > 0 && length <= 64 && name[0] != '.' && strspn(name, valid) == length;
    return refuse(ret_why, good ? NULL
                                : "is no name for a secret; 1 to 64 letters, digits, '.', '_' and "
                                  "'-', no '.' first");
}

int sbx_secret_check_source(const char *source, const char **ret_why)
{
    const char *path = path_of(source), *variable = variable_of(source), *why = NULL;
    if (path && path[0] != '/')
        why = "names no absolute path; file:/PATH";
    else if (variable && (!*variable || strchr(variable, '=')))
        why = "names no variable; env:VARIABLE";
    else if (!path && !variable)
        why = "does not say where the secret is; file:/PATH or env:VARIABLE";
    return refuse(ret_why, why);
}

/* ---- from a file ---- */

static const char *
judge(const struct stat *st, uid_t us, mode_t forbidden, const char *others, const char *group)
{
    if (st->st_uid != us && st->st_uid != 0)
        return "it belongs to another user: chown it to yourself or to root";
    if (st->st_mode & forbidden & S_IRWXO)
        return others;
    return st->st_mode & forbidden & S_IRWXG ? group : NULL;
}

/*
 * The directory of @path, opened. Whoever can put another file of root's there, by a link or a new name, would have it handed
 * over; so what is opened then is looked for in this directory, and not by its path once more.
 */
static int open_directory(const char *path, struct sbx_error *error)
{
    _cleanup_free_ char *directory = strdup(path);
    struct stat st;
    if (!directory)
        return -ENOMEM;
    strrchr(directory, '/')[directory == strrchr(directory, '/') ? 1 : 0] = '\0';
    _cleanup_close_ int fd =
        sbxi_openat2(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS);
    if (fd < 0 || fstat(fd, &st) < 0)
        return sbxi_error(error, errno, "secret: directory %.400s: %s", directory,
                          errno == ELOOP ? FOLLOWS_NONE : strerror(errno));
    bool sticky = (st.st_mode & S_ISVTX) && st.st_uid == 0;
    const char *why =
        sticky ? NULL
               : judge(&st, 0, S_IWGRP | S_IWOTH, "everybody may write in it: chmod go-w",
                       "its group may write in it: chmod g-w");
    if (why)
        return sbxi_error(error, EACCES, "secret: directory %.400s: %s", directory, why);
    return sbxi_take_fd(&fd);
}

static int open_file(const char *path, struct sbx_error *error)
{
    bool root = geteuid() == 0;
    struct stat st;
    const char *name = strrchr(path, '/') + 1;
    _cleanup_close_ int directory = root ? open_directory(path, error) : AT_FDCWD;
    if (root && directory < 0)
        return directory;
    /* O_NONBLOCK: a FIFO in the file's place must not make us wait. */
    const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    _cleanup_close_ int fd = root ? sbxi_openat2(directory, *name ? name : ".", (uint64_t)flags, 0,
                                                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                                  : open(path, flags);
    if (fd < 0)
        return sbxi_error(error, errno, "secret: file:%.400s: %s", path,
                          errno == ELOOP ? FOLLOWS_NONE : strerror(errno));
    if (fstat(fd, &st) < 0)
        return sbxi_error(error, errno, "secret: file:%.400s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return sbxi_error(error, EINVAL, "secret: file:%.400s: is no regular file", path);
    const char *why =
        judge(&st, geteuid(), S_IRWXO | S_IWGRP,
              "it is everybody's to read or write: chmod o=", "its group may write it: chmod g-w");
    if (why)
        return sbxi_error(error, EACCES, "secret: file:%.400s: %s", path, why);
    return sbxi_take_fd(&fd);
}

/* As many bytes as there are, at most @room; or -errno. */
static ssize_t read_all(int fd, char *to, size_t room)
{
    size_t length = 0;
    ssize_t n = 1;
    while (length < room && n != 0) {
        n = read(fd, to + length, room - length);
        if (n < 0 && errno != EINTR)
            return -errno;
        length += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)length;
}

static int hold(const char *source,
                const char *bytes,
                size_t size,
                size_t limit_bytes,
                int *ret_fd,
                struct sbx_error *error)
{
    if (size > limit_bytes)
        return sbxi_error(error, EFBIG,
                          "secret: %.400s: too large; all of a sandbox may have %u bytes together",
                          source, SBX_SECRETS_MAX_BYTES);
    int r = uds_memfd_new(bytes, size, ret_fd);
    return r < 0 ? sbxi_error(error, -r, "secret: %.400s: %s", source, strerror(-r)) : 0;
}

static int open_path(
    const char *source, size_t limit_bytes, int *ret_fd, size_t *ret_size, struct sbx_error *error)
{
    _cleanup_close_ int file = open_file(path_of(source), error);
    if (file < 0)
        return file;
    _cleanup_free_ char *bytes = malloc(limit_bytes + 1);
    if (!bytes)
        return -ENOMEM;
    ssize_t size = read_all(file, bytes, limit_bytes + 1);
    int r = size < 0
                ? sbxi_error(error, (int)-size, "secret: %.400s: %s", source, strerror((int)-size))
                : hold(source, bytes, (size_t)size, limit_bytes, ret_fd, error);
    explicit_bzero(bytes, limit_bytes + 1);
    if (r == 0)
        *ret_size = (size_t)size;
    return r;
}

int sbx_secret_open(
    const char *source, size_t limit_bytes, int *ret_fd, size_t *ret_size, struct sbx_error *error)
{
    const char *why, *value;
    size_t size = 0;
    int r = sbx_secret_check_source(source, &why);
    if (r < 0)
        return sbxi_error(error, -r, "secret: it %s", why);
    if (path_of(source)) {
        r = open_path(source, limit_bytes, ret_fd, &size, error);
    } else if ((value = getenv(variable_of(source)))) {
        size = strlen(value);
        r = hold(source, value, size, limit_bytes, ret_fd, error);
    } else {
        return sbxi_error(error, ENOENT, "secret: %.400s: there is no such variable here", source);
    }
    if (r == 0 && ret_size)
        *ret_size = size;
    return r;
}

void sbx_secret_forget(const char *source)
{
    const char *variable = variable_of(source);
    char *value = variable ? getenv(variable) : NULL;
    if (!value)
        return;
    explicit_bzero(value, strlen(value)); /* /proc/PID/environ shows it else, while we live */
    (void)unsetenv(variable);
}

/* ---- in a plan ---- */

int sbxi_secrets_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const char *why;
    if (spec->nsecrets > SBX_SECRETS_MAX)
        return sbxi_error(error, E2BIG, "sandbox %s: secrets: more than %u", plan->name,
                          SBX_SECRETS_MAX);
    if (spec->nsecrets && !(plan->isolate & SBX_NS_MOUNT))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: secrets: they need a mount namespace; isolate mount, leave "
                          "out --share-mount",
                          plan->name);
    for (size_t i = 0; i < spec->nsecrets; i++) {
        const struct sbx_named_fd *secret = &spec->secrets[i];
        if (sbx_secret_check_name(secret->name, &why) < 0)
            return sbxi_error(error, EINVAL, "sandbox %s: secrets: %.100s: %s", plan->name,
                              secret->name, why);
        for (size_t j = 0; j < i; j++)
            if (strcmp(secret->name, spec->secrets[j].name) == 0)
                return sbxi_error(error, EINVAL, "sandbox %s: secrets: %s: two have this name",
                                  plan->name, secret->name);
        if (fcntl(secret->fd, F_GETFD) < 0)
            return sbxi_error(error, EBADF, "sandbox %s: secrets: %s: descriptor %d is not open",
                              plan->name, secret->name, secret->fd);
    }
    return 0;
}

void sbxi_plan_secrets(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec)
{
    char target[sizeof PLACE + 1 + 64];
    if (spec->nsecrets == 0)
        return;
    /* Its files take whole pages, of 64 KiB where pages are largest. */
    sbxi_plan_tmpfs(later, PLACE, 0700, SBX_SECRETS_MAX_BYTES + spec->nsecrets * 65536,
                    SBXI_F_OWNED);
    for (size_t i = 0; i < spec->nsecrets; i++) {
        int fd = spec->secrets[i].fd, seals = fcntl(fd, F_GET_SEALS);
        snprintf(target, sizeof target, PLACE "/%s", spec->secrets[i].name);
        int32_t slot = sbxi_plan_give(plan, fd);
        struct sbxi_plan_step *step = sbxi_plan_add(later, SBXI_FILE, target, NULL);
        step->slot = slot;
        step->flags = (uint32_t)SBXI_F_OWNED;
        if (seals > 0 && (seals & F_SEAL_WRITE))
            step->flags |= (uint32_t)SBXI_F_WHOLE;
        step->args[0] = 0400;
    }
    sbxi_plan_add(later, SBXI_SEAL, PLACE, NULL);
}
