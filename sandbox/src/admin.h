/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ADMIN_H
#define SBXI_ADMIN_H

#include <sbx/admin.h>
#include <stdint.h>

#include "steps.h"

/*
 * On the admin socket (SEQPACKET): a request, its answer, in turn. Fixed in size; of what is to be run only descriptors
 * pass: SBXI_ADMIN_EXEC comes with a parcel, to which the launcher adds the blob.
 */
enum sbxi_admin_op {
    SBXI_ADMIN_LIST = 1, /* the last added before number @value, 0 = of all; ENOENT: none */
    SBXI_ADMIN_EXEC,     /* in the one whose init is @value */
    SBXI_ADMIN_START,    /* what a struct sbxi_admin_start says; ENOENT: not known here */
    SBXI_ADMIN_LIMITS    /* its limits, of the one whose init is @value: the rest says nothing */
};

struct sbxi_admin_request {
    uint32_t op;
    uint32_t reserved; /* 0 */
    int64_t value;
};

/* With a parcel: something in a sandbox made as @entry says. Without: the sandbox that is declared so. */
struct sbxi_admin_start {
    struct sbxi_admin_request request;
    char entry[64], name[64], hostname[72]; /* "" = not said */
    uint32_t limited;                       /* are there limits */
    uint32_t reserved;                      /* 0 */
    struct sbx_limits limits;
};

struct sbxi_admin_answer {
    int32_t err; /* positive errno, 0 = done */
    char text[200];
    struct sbx_listed listed; /* LIST */
    int64_t number;           /* of that one: what to ask for the next with */
};

/* The descriptors that a session is asked for with, in the order of enum sbxi_session_fd. */
struct sbxi_parcel {
    int fds[SBXI_SESSION_MOST];
    size_t n;
};

/* session.c: asks the init of @s; nothing of @parcel is taken. */
int sbxi_session_start(sbx *s, const struct sbxi_parcel *parcel, struct sbx_error *error);
/* A session that nobody was asked for yet, and what to ask with, the caller's to close. */
int sbxi_session_new(sbx_session **ret,
                     struct sbxi_parcel *ret_parcel,
                     const struct sbx_exec *exec,
                     const char *name,
                     struct sbx_error *error);
void sbxi_parcel_close(struct sbxi_parcel *parcel);

/*
 * admin-client.c: asks the owner of the sandbox whose cgroup is called @group to change its limits, who alone can make it a
 * place where it has none yet. -ENOENT: no owner answers to that.
 */
int sbxi_admin_set_limits(const char *run_dir,
                          const char *group,
                          const struct sbx_limits *limits,
                          struct sbx_error *error);

/* fds.c: a record with descriptors. 0, -errno. */
int sbxi_send_fds(int sock, const void *record, size_t size, const int *fds, size_t nfds);

/* admin.c */
void sbxi_admin_forget(sbx *s);

#endif
