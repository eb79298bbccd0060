/* SPDX-License-Identifier: MIT */
/* See user.h. */
#include "user.h"

#include <pwd.h>
#include <stdio.h>

void sbxi_user_name(uid_t uid, char ret[SBXI_USER_NAME])
{
    const struct passwd *user = getpwuid(uid);
    if (user)
        snprintf(ret, SBXI_USER_NAME, "%s", user->pw_name);
    else
        snprintf(ret, SBXI_USER_NAME, "%u", uid);
}
