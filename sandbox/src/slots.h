/* SPDX-License-Identifier: MIT */
#ifndef SBXI_SLOTS_H
#define SBXI_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

/*
 * A record file as its owner writes it: an array of slots, each empty or one record. A slot is written by one pwrite(2)
 * within a page, so whoever reads the file after the owner was killed finds it whole or not at all. Of what is written
 * only a digest stays in memory: the file is for those who come later, not for us.
 */
struct sbxi_slots {
    int fd;            /* borrowed */
    uint64_t *digests; /* of each slot; 0 = empty */
    size_t n, used;
};

/* All of @records or none. Errors: -ENOSPC too many, or no room on the disk; -ENOMEM; -errno of pwrite(2). */
int sbxi_slots_add(struct sbxi_slots *slots, const struct sbxi_record *records, size_t n);
/* What is not there needs no removing. Errors: -errno of pwrite(2). */
int sbxi_slots_remove(struct sbxi_slots *slots, const struct sbxi_record *records, size_t n);
/* Not the file. */
void sbxi_slots_deinit(struct sbxi_slots *slots);

#endif
