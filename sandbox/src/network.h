/* SPDX-License-Identifier: MIT */
#ifndef SBXI_NETWORK_H
#define SBXI_NETWORK_H

#include <sbx/sandbox.h>

#include <sys/types.h>

/* What a running sandbox has of a network outside of it. */
struct sbxi_network {
    int route;     /* a netlink socket where the other end of its veth is; -1 = it has none */
    char link[16]; /* that end's name */
    pid_t pasta;   /* 0 = none, or reaped */
    int pasta_fd;  /* its pidfd; -1 = none */
};
#define SBXI_NETWORK_NONE           \
    {                               \
        .route = -1, .pasta_fd = -1 \
    }

struct sbx;

/* While the sandbox's first process waits: its network, ready to be used. What was made goes by sbxi_network_end(). */
int sbxi_network_start(struct sbx *s, const sbx_plan *plan, struct sbx_error *error);
void sbxi_network_end(struct sbx *s);

/* veth.c */
int sbxi_veth_start(struct sbx *s, const sbx_plan *plan, int netns, struct sbx_error *error);
void sbxi_veth_end(struct sbxi_network *network);

/* pasta.c */
int sbxi_pasta_check(const sbx_plan *plan, struct sbx_error *error);
int sbxi_pasta_start(
    struct sbx *s, const sbx_plan *plan, int userns, int netns, struct sbx_error *error);
void sbxi_pasta_end(struct sbx *s);

#endif
