/* SPDX-License-Identifier: MIT */
/* See slots.h. */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_SLOTS = 65536
};

/* FNV-1a. The records are the owner's own: nobody gains by two that collide. */
static uint64_t digest_of(const struct sbxi_record *record)
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    const uint64_t head[2] = {record->kind, record->number};
    const unsigned char *bytes = (const unsigned char *)head;
    for (size_t i = 0; i < sizeof head; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    for (const char *p = record->path; *p; p++)
        digest = (digest ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    return digest ? digest : 1;
}

static int write_slot(struct sbxi_slots *slots, size_t i, const struct sbxi_record *record)
{
    ssize_t n;
    do
        n = pwrite(slots->fd, record, sizeof *record, (off_t)(i * sizeof *record));
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *record)
        return 0;
    if (n < 0)
        return -errno;
    /* A file that does not end with a slot would be believed by nobody. */
    if (i + 1 == slots->n)
        (void)!ftruncate(slots->fd, (off_t)(i * sizeof *record));
    return -ENOSPC;
}

static int put(struct sbxi_slots *slots, const struct sbxi_record *record)
{
    size_t i = 0;
    while (i < slots->n && slots->digests[i])
        i++;
    if (i == MAX_SLOTS)
        return -ENOSPC;
    if (i == slots->n) {
        uint64_t *grown = reallocarray(slots->digests, i + 1, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        slots->digests = grown;
        slots->digests[slots->n++] = 0;
    }
    int r = write_slot(slots, i, record);
    if (r < 0)
        return r;
    slots->digests[i] = digest_of(record);
    slots->used++;
    return 0;
}

/* The newest first: it is what is removed most often. */
static int forget(struct sbxi_slots *slots, const struct sbxi_record *record)
{
    static const struct sbxi_record empty;
    uint64_t digest = digest_of(record);
    for (size_t i = slots->n; i-- > 0;) {
        if (slots->digests[i] != digest)
            continue;
        int r = write_slot(slots, i, &empty);
        if (r < 0)
            return r;
        slots->digests[i] = 0;
        slots->used--;
        return 0;
    }
    return 0;
}

int sbxi_slots_add(struct sbxi_slots *slots, const struct sbxi_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = sbxi_record_check(&records[i]);
        if (r >= 0)
            r = put(slots, &records[i]);
        if (r < 0) {
            sbxi_slots_remove(slots, records, i);
            return r;
        }
    }
    return 0;
}

int sbxi_slots_remove(struct sbxi_slots *slots, const struct sbxi_record *records, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        int one = forget(slots, &records[i]);
        if (one < 0)
            r = one;
    }
    return r;
}

void sbxi_slots_deinit(struct sbxi_slots *slots)
{
    free(slots->digests);
    slots->digests = NULL;
    slots->n = slots->used = 0;
}
