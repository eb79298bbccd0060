/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_IDENTITY_H
#define ROUTER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/snapshot.h>

/* Host ids that sandboxes of a broker that root started are made of, and nobody else. */
#define SANDBOX_UID_FIRST 0x70000000u
#define SANDBOX_UID_LAST  0x7ffeffffu

/* Who a peer is. Fixed before the first rule is read, never changed afterwards. */
struct identity {
    bool is_sandbox;
    uint32_t sandbox_id; /* sandboxes */
    uint32_t generation; /* sandboxes: the start that this link belongs to */
    bool uid_known;      /* host peers: false when the kernel could not map it for us */
    bool gid_known;
    uid_t uid;
    gid_t gid;
    size_t ngroups;
    gid_t *groups; /* owned */
    char name[96]; /* "sandbox:NAME", "uid:N": what SENDER says */
};

/** identity_sandbox() - from the launch record; no question is put to the socket. */
void identity_sandbox(struct identity *ret, uint32_t id, uint32_t generation, const char *name);
/** identity_host() - from SO_PEER* of a socket that a host listener accepted. -errno of uds_cred_from_socket(), -ENOMEM. */
int identity_host(struct identity *ret, int fd);
void identity_deinit(struct identity *identity);
/** identity_in_group() - primary or supplementary. */
bool identity_in_group(const struct identity *identity, gid_t gid);

void identity_serialise(const struct identity *identity, uds_snapshot *s);
void identity_restore(struct identity *ret, uds_snapshot *s);

#endif
