/* SPDX-License-Identifier: MIT */
#ifndef SBXI_JAIL_FOLLOW_H
#define SBXI_JAIL_FOLLOW_H

#include <limits.h>

/*
 * Walks @path on the host. @fn hears of each symbolic link on the way, so that the path can be made to exist elsewhere as it
 * does here; @ret is where it ends. 0, -errno, or what @fn returned below 0.
 */
int sbxi_jail_follow(const char *path,
                     int (*fn)(const char *link, const char *target, void *userdata),
                     void *userdata,
                     char ret[PATH_MAX]);

#endif
