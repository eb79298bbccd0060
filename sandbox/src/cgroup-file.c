/* SPDX-License-Identifier: MIT */
/*
 * Control files of a cgroup: tiny texts that the kernel makes up on read and interprets on write. One write(2) is one
 * command, so there is nothing to retry; a read returns a whole state.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cleanup.h"
#include "error.h"

int sbxi_control_write(int dirfd, const char *file, const char *text)
{
    _cleanup_close_ int fd = openat(dirfd, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int sbxi_control_write_u64(int dirfd, const char *file, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return sbxi_control_write(dirfd, file, text);
}

int sbxi_control_read(int dirfd, const char *file, char *ret, size_t size)
{
    _cleanup_close_ int fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    while (len < size - 1) {
        ssize_t n = read(fd, ret + len, size - 1 - len);
        if (n < 0)
            return -errno;
        len += (size_t)n;
        if (n == 0 || len < size / 2) /* short of that: the end, for no line is so long */
            break;
    }
    ret[len] = '\0';
    return 0;
}

static int parse(const char *text, uint64_t *ret)
{
    if (strncmp(text, "max", 3) == 0) {
        *ret = UINT64_MAX;
        return 0;
    }
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text)
        return -EINVAL;
    *ret = value;
    return 0;
}

int sbxi_control_read_u64(int dirfd, const char *file, uint64_t *ret)
{
    char text[64];
    int r = sbxi_control_read(dirfd, file, text, sizeof text);
    return r < 0 ? r : parse(text, ret);
}

void sbxi_control_get(int dirfd, const char *file, uint64_t *ret)
{
    uint64_t value;
    if (sbxi_control_read_u64(dirfd, file, &value) >= 0)
        *ret = value;
}

void sbxi_control_get_keys(int dirfd,
                           const char *file,
                           const struct sbxi_counter *counters,
                           size_t n)
{
    char text[4096];
    uint64_t value;
    if (sbxi_control_read(dirfd, file, text, sizeof text) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (sbxi_control_key(text, counters[i].key, &value) >= 0)
            *counters[i].value = value;
}

void sbxi_control_get_key(int dirfd, const char *file, const char *key, uint64_t *ret)
{
    const struct sbxi_counter counter = {key, ret};
    sbxi_control_get_keys(dirfd, file, &counter, 1);
}

int sbxi_control_key(const char *text, const char *key, uint64_t *ret)
{
    size_t len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return parse(line + len + 1, ret);
    }
    return -ENOENT;
}

bool sbxi_control_has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = text; (p = strstr(p, word)); p += len) {
        bool begins = p == text || strchr(" ,\n", p[-1]);
        if (begins && (p[len] == '\0' || strchr(" ,\n", p[len])))
            return true;
    }
    return false;
}

int sbxi_control_error(struct sbx_error *error,
                       int err,
                       const char *backend,
                       const struct sbxi_hierarchy *h,
                       const char *file,
                       const char *value)
{
    const char *own = strcmp(h->own, "/") ? h->own : "";
    if (err == ENOENT)
        return sbxi_error(
            error, EOPNOTSUPP,
            "cgroup: %s: this kernel's %s backend (%s) has no such control; drop that "
            "limit",
            file, backend, h->mount);
    if (err == EROFS)
        return sbxi_error(error, err,
                          "cgroup: %s%s/%s (%s): %s; this container's cgroups are mounted "
                          "read-only: have them mounted writable",
                          h->mount, own, file, backend, strerror(err));
    if (err == EACCES || err == EPERM)
        return sbxi_error(
            error, err,
            "cgroup: %s%s/%s (%s): %s; run as root, or have this cgroup delegated to uid %u",
            h->mount, own, file, backend, strerror(err), (unsigned)geteuid());
    return sbxi_error(error, err, "cgroup: %s = %s (%s, below %s%s): %s", file, value, backend,
                      h->mount, own, strerror(err));
}

int sbxi_control_put(const struct sbxi_hierarchy *h,
                     const char *backend,
                     int dirfd,
                     const char *file,
                     const char *text,
                     struct sbx_error *error)
{
    int r = sbxi_control_write(dirfd, file, text);
    return r < 0 ? sbxi_control_error(error, -r, backend, h, file, text) : 0;
}

int sbxi_control_put_u64(const struct sbxi_hierarchy *h,
                         const char *backend,
                         int dirfd,
                         const char *file,
                         uint64_t value,
                         struct sbx_error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return sbxi_control_put(h, backend, dirfd, file, text, error);
}
