/* SPDX-License-Identifier: MIT */
/*
 * Records: made by the owner of a cleaner, kept in files that outlive crashes, read back by whoever sweeps. A record
 * from a file is as good as a stranger's word, so sbxi_record_check() accepts only what our own setters write; what a
 * record names is checked again by the sweep, at the moment it acts.
 */

#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ids.h"

static bool path_is_plain(const char *path)
{
    size_t len = strlen(path);
    if (path[0] != '/' || len < 2 || path[len - 1] == '/')
        return false;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
        if (p[0] != '/')
            continue;
        if (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || !p[2])))
            return false;
        if (p[1] == '.' && p[2] == '.' && (p[3] == '/' || !p[3]))
            return false;
    }
    return true;
}

static bool kind_has_path(uint32_t kind)
{
    return kind == SBXI_RECORD_CGROUP || kind == SBXI_RECORD_LEAF || kind == SBXI_RECORD_PATH;
}

static bool name_fits(uint32_t kind, const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    if (kind == SBXI_RECORD_CGROUP)
        return strncmp(name, "uds-", 4) == 0 && strncmp(name, "uds-self-", 9) != 0;
    if (kind == SBXI_RECORD_LEAF)
        return strncmp(name, "uds-self-", 9) == 0;
    return true;
}

int sbxi_record_set_path(struct sbxi_record *ret, enum sbxi_record_kind kind, const char *path)
{
    struct sbxi_record r = {.magic = SBXI_RECORD_MAGIC, .kind = kind};
    size_t len = strlen(path);
    if (len >= sizeof r.path)
        return -ENAMETOOLONG;
    memcpy(r.path, path, len + 1);
    if (!kind_has_path(kind) || !path_is_plain(r.path) || !name_fits(kind, r.path))
        return -EINVAL;
    *ret = r;
    return 0;
}

void sbxi_record_set_number(struct sbxi_record *ret,
                            enum sbxi_record_kind kind,
                            uint64_t number,
                            uint64_t start)
{
    *ret = (struct sbxi_record){
        .magic = SBXI_RECORD_MAGIC, .kind = kind, .number = number, .start = start};
}

static bool all_zero(const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

static bool numbers_fit(const struct sbxi_record *r)
{
    switch (r->kind) {
    case SBXI_RECORD_PROCESS: /* never 0, 1 or a process group */
        return r->number > 1 && r->number <= INT32_MAX && r->start > 0;
    case SBXI_RECORD_IDS:
        return r->number < SBXI_IDS_SLICES && r->start == 0;
    default:
        return r->number == 0 && r->start == 0;
    }
}

int sbxi_record_check(const struct sbxi_record *r)
{
    if (r->magic != SBXI_RECORD_MAGIC || !all_zero(r->reserved, sizeof r->reserved))
        return -EBADMSG;
    if (r->kind == SBXI_RECORD_FREE || r->kind > SBXI_RECORD_IDS || !numbers_fit(r))
        return -EBADMSG;
    if (!kind_has_path(r->kind))
        return all_zero(r->path, sizeof r->path) ? 0 : -EBADMSG;
    size_t len = strnlen(r->path, sizeof r->path);
    if (len == sizeof r->path || !all_zero(r->path + len, sizeof r->path - len))
        return -EBADMSG;
    return path_is_plain(r->path) && name_fits(r->kind, r->path) ? 0 : -EBADMSG;
}

int sbxi_record_start_time(pid_t pid, uint64_t *ret)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    /* The command's name, field 2, may hold anything, also ") "; what follows the last ')' is ours to count. */
    char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p)
        return -ESRCH;
    char *end;
    errno = 0;
    unsigned long long start = strtoull(p + 1, &end, 10);
    if (errno || end == p + 1 || start == 0)
        return -ESRCH;
    *ret = start;
    return 0;
}

void sbxi_record_socket_name(char ret[80], const char *name)
{
    size_t length = strlen(name), end = sizeof ".record" - 1;
    snprintf(ret, 80, "%.*s.sock", (int)(length > end ? length - end : 0), name);
}

/* The socket first: without its record nobody would look for it. */
int sbxi_record_unlink(int records, const char *name)
{
    char sock[80];
    sbxi_record_socket_name(sock, name);
    if (unlinkat(records, sock, 0) < 0 && errno != ENOENT)
        return -errno;
    return unlinkat(records, name, 0) < 0 ? -errno : 0;
}
