/* SPDX-License-Identifier: MIT */
/*
 * Two kinds of peers. One that came over a sandbox's listener or launch link *is* that sandbox: SO_PEERCRED of a
 * socketpair shows whoever made it (the broker, uid 0: measured), so it is never asked. Any other is what SO_PEERCRED
 * and SO_PEERGROUPS said at connect(2).
 *
 * An id that the kernel could not map for us is "unknown" (idmap.c), and no rule matches it.
 */
#include "identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/cred.h>

#include "idmap.h"

void identity_sandbox(struct identity *ret, uint32_t id, uint32_t generation, const char *name)
{
    *ret = (struct identity){.is_sandbox = true, .sandbox_id = id, .generation = generation};
    snprintf(ret->name, sizeof(ret->name), "sandbox:%.80s", name);
}

int identity_host(struct identity *ret, int fd)
{
    struct uds_cred cred;
    int r = uds_cred_from_socket(fd, UDS_CRED_UID | UDS_CRED_GID | UDS_CRED_GROUPS, &cred);
    if (r < 0)
        return r;
    struct identity identity = {.uid = cred.uid, .gid = cred.gid};
    identity.uid_known =
        (cred.known & UDS_CRED_UID) != 0 && idmap_host(IDMAP_UID, cred.uid, &identity.uid);
    identity.gid_known =
        (cred.known & UDS_CRED_GID) != 0 && idmap_host(IDMAP_GID, cred.gid, &identity.gid);
    if ((cred.known & UDS_CRED_GROUPS) != 0 && cred.ngroups > 0) {
        identity.groups = calloc(cred.ngroups, sizeof(gid_t));
        if (identity.groups == NULL) {
            uds_cred_clear(&cred);
            return -ENOMEM;
        }
        for (size_t i = 0; i < cred.ngroups; i++) {
            if (idmap_host(IDMAP_GID, cred.groups[i], &identity.groups[identity.ngroups]))
                identity.ngroups++;
        }
    }
    uds_cred_clear(&cred);
    if (identity.uid_known)
        snprintf(identity.name, sizeof(identity.name), "uid:%u", identity.uid);
    else
        snprintf(identity.name, sizeof(identity.name), "uid:unknown");
    *ret = identity;
    return 0;
}

void identity_deinit(struct identity *identity)
{
    free(identity->groups);
    *identity = (struct identity){0};
}

bool identity_in_group(const struct identity *identity, gid_t gid)
{
    if (identity->gid_known && identity->gid == gid)
        return true;
    for (size_t i = 0; i < identity->ngroups; i++) {
        if (identity->groups[i] == gid)
            return true;
    }
    return false;
}

void identity_serialise(const struct identity *identity, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, identity->is_sandbox);
    uds_snapshot_put_u32(s, identity->sandbox_id);
    uds_snapshot_put_u32(s, identity->generation);
    uds_snapshot_put_u32(s, identity->uid_known);
    uds_snapshot_put_u32(s, identity->gid_known);
    uds_snapshot_put_u32(s, identity->uid);
    uds_snapshot_put_u32(s, identity->gid);
    uds_snapshot_put_bytes(s, identity->groups, identity->ngroups * sizeof(gid_t));
    uds_snapshot_put_string(s, identity->name);
}

void identity_restore(struct identity *ret, uds_snapshot *s)
{
    struct identity identity = {.is_sandbox = uds_snapshot_get_u32(s) != 0};
    identity.sandbox_id = uds_snapshot_get_u32(s);
    identity.generation = uds_snapshot_get_u32(s);
    identity.uid_known = uds_snapshot_get_u32(s) != 0;
    identity.gid_known = uds_snapshot_get_u32(s) != 0;
    identity.uid = uds_snapshot_get_u32(s);
    identity.gid = uds_snapshot_get_u32(s);
    size_t len = 0;
    const void *groups = uds_snapshot_get_bytes(s, &len);
    if (len > 0 && len % sizeof(gid_t) == 0 && (identity.groups = malloc(len)) != NULL) {
        memcpy(identity.groups, groups, len);
        identity.ngroups = len / sizeof(gid_t);
    } else if (len > 0) {
        uds_snapshot_fail(s);
    }
    char *name = uds_snapshot_get_string(s);
    snprintf(identity.name, sizeof(identity.name), "%s", name != NULL ? name : "");
    free(name);
    *ret = identity;
}
