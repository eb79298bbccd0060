/* SPDX-License-Identifier: MIT */
#ifndef SBXI_NODES_H
#define SBXI_NODES_H

#include <stdint.h>

#include <sys/types.h>

struct sbxi_device {
    const char *name; /* NULL: the last is before */
    unsigned major, minor;
};
/* Those of a /dev. */
extern const struct sbxi_device sbxi_devices[];

/*
 * A tmpfs of @size bytes with a node for each of them, and @root's directory: a mount attached nowhere, or -errno, EPERM above
 * all where nodes may not be made.
 */
int sbxi_nodes_make(uint64_t size, uid_t root);

#endif
