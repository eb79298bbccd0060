/* SPDX-License-Identifier: MIT */
/* See user.h. musl would know /etc/passwd alone. */
#include "user.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"

void sbxi_user_name(uid_t uid, char ret[SBXI_USER_NAME])
{
    char number[16], *parts[2];
    const char *argv[] = {SBXI_ANSWERER, "user", number, NULL};
    struct sbxi_answer answer;
    snprintf(number, sizeof number, "%u", uid);
    if (sbxi_ask(argv, &answer, parts, NULL) < 0) {
        snprintf(ret, SBXI_USER_NAME, "%s", number);
        return;
    }
    snprintf(ret, SBXI_USER_NAME, "%s", parts[0]);
    free(parts[0]);
    free(parts[1]);
}
