/* SPDX-License-Identifier: MIT */
#ifndef SBXI_USER_H
#define SBXI_USER_H

#include <sys/types.h>

enum {
    SBXI_USER_NAME = 64
};

/*
 * What this machine calls a user, by whatever its C library asks (/etc/nsswitch.conf); the number where nobody knows him.
 * user.c calls that library; ask/user.c asks another program to, where another C library is linked.
 */
void sbxi_user_name(uid_t uid, char ret[SBXI_USER_NAME]);

#endif
