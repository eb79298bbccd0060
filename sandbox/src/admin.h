/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ADMIN_H
#define SBXI_ADMIN_H

#include <sbx/exec.h>
#include <stdint.h>

#include "steps.h"

/*
 * On the admin socket (SEQPACKET): a request, its answer, in turn. Fixed in size; of what is to be run only descriptors
 * pass, SBXI_ADMIN_EXEC with the session's but for the blob, which the launcher adds.
 */
enum sbxi_admin_op {
    SBXI_ADMIN_LIST = 1, /* the sandbox at @value, in any order; ENOENT after the last */
    SBXI_ADMIN_EXEC      /* in the one whose init is @value */
};

struct sbxi_admin_request {
    uint32_t op;
    uint32_t reserved; /* 0 */
    int64_t value;
};

struct sbxi_admin_answer {
    int32_t err; /* positive errno, 0 = done */
    char text[200];
    struct sbx_listed listed; /* LIST */
};

enum { /* the descriptors of SBXI_ADMIN_EXEC, in their order */
    SBXI_ADMIN_CONTROL,
    SBXI_ADMIN_REQUEST,
    SBXI_ADMIN_STDIO,
    SBXI_ADMIN_FDS = SBXI_ADMIN_STDIO + 3
};

/* session.c: asks the init of @s; nothing of @fds is taken. */
int sbxi_session_start(sbx *s, const int fds[SBXI_ADMIN_FDS], struct sbx_error *error);
/* A session that nobody was asked for yet, and the descriptors to ask with, the caller's to close. */
int sbxi_session_new(sbx_session **ret,
                     int ret_fds[SBXI_ADMIN_FDS],
                     const struct sbx_exec *exec,
                     const char *name,
                     struct sbx_error *error);
void sbxi_session_close_fds(int fds[SBXI_ADMIN_FDS]);

/* fds.c: a record with descriptors. 0, -errno. */
int sbxi_send_fds(int sock, const void *record, size_t size, const int *fds, size_t nfds);

/* admin.c */
void sbxi_admin_forget(sbx *s);

#endif
