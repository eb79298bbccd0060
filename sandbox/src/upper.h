/* SPDX-License-Identifier: MIT */
#ifndef SBXI_UPPER_H
#define SBXI_UPPER_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An upper directory, and what is ours beside it:
 *
 *   DIR              what sandboxes have written, under host ids of their own
 *   DIR.uds/lock     locked by PID 1 of the sandbox that writes there: one at a time
 *   DIR.uds/verb     locked by whoever looks at it or changes it (uds layer), and by a start for a moment
 *   DIR.uds/info     "key=value" strings, each with its NUL: ids, layer…, sandbox, run-dir
 *   DIR.uds/work     OverlayFS's
 *
 * DIR is a payload's: hostile. DIR.uds is ours alone, and nothing in a sandbox leads to it.
 */
#define SBXI_UPPER_OWN_IDS \
    UINT32_MAX /* "first" of a sandbox without a range: ids are as on the host */

struct sbxi_upper {
    char path[PATH_MAX]; /* as it was named; "" = none is open */
    int parent, home, dir, lock, verb;
    bool empty;     /* nothing in it: its ids can be chosen */
    bool has_ids;   /* it says whose they are: */
    uint32_t first; /* host id of 0 inside */
    char *info;
    size_t info_length;
};
#define SBXI_UPPER_INIT                                             \
    {                                                               \
        .parent = -1, .home = -1, .dir = -1, .lock = -1, .verb = -1 \
    }

/* @make: made where it is missing. -EXDEV: a mount point, nothing can be beside it; -EPERM: DIR.uds is not ours alone. */
int sbxi_upper_open(struct sbxi_upper *upper, const char *path, bool make, struct sbx_error *error);
void sbxi_upper_close(struct sbxi_upper *upper);
/* -EBUSY: a sandbox uses it (@error names it), or a verb does. */
int sbxi_upper_lock(struct sbxi_upper *upper, struct sbx_error *error);
/* What is said under @key, after @previous (NULL: the first); NULL: nothing more. Borrowed. */
const char *sbxi_upper_get(const struct sbxi_upper *upper, const char *key, const char *previous);

/* The directories become those of the ids that begin at @first; -EBUSY: what is in it has other ids. */
int sbxi_upper_claim(struct sbxi_upper *upper, uint32_t first, struct sbx_error *error);
/*
 * upper-shift.c: what is in it gets the ids that begin at @first, if they were others of a range. As long as that takes; to
 * be ended after info says so.
 */
int sbxi_upper_shift(struct sbxi_upper *upper, uint32_t first, struct sbx_error *error);
void sbxi_upper_end_shift(const struct sbxi_upper *upper);
/* Writes info: @layers are NUL-terminated strings, the highest first; @sandbox as sbx_group_open() takes it, or "". */
int sbxi_upper_note(struct sbxi_upper *upper,
                    const char *layers,
                    size_t nlayers,
                    const char *sandbox,
                    const char *run_dir);
/* A part for init, see enum sbxi_upper_part. @mount: in what was opened as SBXI_UPPER_MOUNT. -errno or a descriptor. */
int sbxi_upper_open_part(const struct sbxi_upper *upper, unsigned part, int mount);

#endif
