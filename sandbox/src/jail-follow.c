/* SPDX-License-Identifier: MIT */
/* See jail-follow.h. */

#include "jail-follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

int sbxi_jail_follow(const char *path,
                     int (*fn)(const char *link, const char *target, void *userdata),
                     void *userdata,
                     char ret[PATH_MAX])
{
    char rest[PATH_MAX], next[PATH_MAX * 2 + 2], target[PATH_MAX];
    struct stat st;
    size_t length = 0;
    int hops = 0;
    if (strlen(path) >= sizeof rest)
        return -ENAMETOOLONG;
    strcpy(rest, path);
    ret[0] = '\0';
    for (char *p = rest + strspn(rest, "/"); *p;) {
        size_t part = strcspn(p, "/");
        char *after = p + part + strspn(p + part, "/");
        if (part == 1 && p[0] == '.') {
            p = after;
            continue;
        }
        if (part == 2 && p[0] == '.' && p[1] == '.') {
            while (length > 0 && ret[--length] != '/')
                continue;
            ret[length] = '\0';
            p = after;
            continue;
        }
        if (length + part + 2 > PATH_MAX)
            return -ENAMETOOLONG;
        ret[length] = '/';
        memcpy(ret + length + 1, p, part);
        ret[length + 1 + part] = '\0';
        if (lstat(ret, &st) < 0)
            return -errno;
        if (!S_ISLNK(st.st_mode)) {
            length += part + 1;
            p = after;
            continue;
        }
        ssize_t n = readlink(ret, target, sizeof target - 1);
        if (n <= 0 || ++hops > 40)
            return n <= 0 ? -errno : -ELOOP;
        target[n] = '\0';
        int r = fn(ret, target, userdata);
        if (r < 0)
            return r;
        if (target[0] == '/')
            length = 0;
        ret[length] = '\0';
        if (snprintf(next, sizeof next, "%s/%s", target, after) >= PATH_MAX)
            return -ENAMETOOLONG;
        strcpy(rest, next);
        p = rest + strspn(rest, "/");
    }
    if (!length)
        return -EINVAL;
    return 0;
}
