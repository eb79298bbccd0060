/* SPDX-License-Identifier: MIT */
#ifndef SBXI_SUBIDS_H
#define SBXI_SUBIDS_H

#include <stdint.h>

#include <sys/types.h>

struct sbx_error;

/*
 * Ids that an ordinary user may map beside their own, as root has written it down in /etc/subuid and /etc/subgid. The
 * kernel knows nothing of those files: newuidmap(1) and newgidmap(1), which are setuid, read them and write the maps.
 */
struct sbxi_subids {
    uint32_t uid, gid; /* the first of each on the host */
    uint32_t count;    /* of both; 0 = none */
};

/* Those of the caller. -ENOENT with what is missing and who can add it. */
int sbxi_subids_find(struct sbxi_subids *ret, const char *sandbox, struct sbx_error *error);
/* 0 of @pid's user namespace is the caller's own id, 1 and up are @subids. */
int sbxi_subids_map(const struct sbxi_subids *subids,
                    pid_t pid,
                    const char *sandbox,
                    struct sbx_error *error);

/* The longest range of @name, or of the number @id, in the text of such a file; 0 = none. */
uint32_t sbxi_subids_parse(char *text, const char *name, uint32_t id, uint32_t *ret_first);

#endif
