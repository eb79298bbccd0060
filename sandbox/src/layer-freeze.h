/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LAYER_FREEZE_H
#define SBXI_LAYER_FREEZE_H

#include <stdbool.h>

#include <sys/types.h>

#include "upper.h"

/*
 * An upper directory to ourselves: locked against starts where nobody has it, and otherwise its sandbox frozen. A guard
 * process thaws that if we die; the mark DIR.uds/frozen says, should both be killed, that the next one has to.
 */
struct sbxi_layer_hold {
    struct sbx_group *group; /* NULL: none is frozen */
    bool thaw;
    int guard; /* a pidfd; -1 = there is none */
    int guard_fd;
};
#define SBXI_LAYER_HOLD_INIT        \
    {                               \
        .guard = -1, .guard_fd = -1 \
    }

/* @live: do not freeze. @alone: -EBUSY if a sandbox runs on it. */
int sbxi_layer_hold(struct sbxi_layer_hold *hold,
                    struct sbxi_upper *upper,
                    const char *run_dir,
                    bool live,
                    bool alone,
                    struct sbx_error *error);
void sbxi_layer_release(struct sbxi_layer_hold *hold, const struct sbxi_upper *upper);

#endif
