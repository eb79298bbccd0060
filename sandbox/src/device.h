/* SPDX-License-Identifier: MIT */
#ifndef SBXI_DEVICE_H
#define SBXI_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Block devices as limits name them. Only a whole disk has a queue to limit, so a partition stands for its disk; a file
 * stands for the disk that its file system lies on.
 */

/* @text: "254:0", the path of a block device, or of any file. -ENODEV: its file system lies on no block device. */
int sbxi_device_find(const char *text, uint32_t *ret_major, uint32_t *ret_minor);
/* Is BFQ, the one scheduler that knows weights, in charge of this disk? @root: "" or a test's. */
bool sbxi_device_has_bfq(const char *root, uint32_t major, uint32_t minor);
/* The same of any disk. */
bool sbxi_device_any_has_bfq(const char *root);

#endif
