/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_PLACE_H
#define UDS_TEST_PLACE_H

#include <uds/addr.h>

/* A directory of the test's own, and the address of a socket file in it. */
struct place {
    char dir[32];
    char path[UDS_ADDR_PATH_MAX];
    struct uds_addr addr;
};

/* The directory, and "s" in it as address. @scheme: "unix", "seqpacket", "dgram". */
void place_make(struct place *place, const char *scheme);

/* Another name in it. */
void place_at(struct place *place, const char *scheme, const char *name);

/* Removes the directory, which must be empty. */
void place_clear(const struct place *place);

/*
 * Many processes race for the address: one must get it, the others -EADDRINUSE. @take: 0 it is ours, until the process is
 * killed. @check runs while the winner has it. The file that he leaves is removed.
 */
void place_race(const struct place *place,
                int (*take)(const struct uds_addr *addr),
                void (*check)(const struct uds_addr *addr));

#endif
