/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CONTROL_H
#define SBXI_CONTROL_H

#include <stdint.h>

#include "record.h"

/*
 * Between owner and uds-cleaner, over SOCK_SEQPACKET: one request, one answer (int32_t: 0 or -errno), in turn.
 * uds-cleaner is started with fd 3 = control, fd 4 = the locked record file, argv[1] = the run directory,
 * argv[2] = the record's name below <run>/records.
 */

#define SBXI_CONTROL_FD     3
#define SBXI_CONTROL_RECORD 4

enum sbxi_control_op {
    SBXI_CONTROL_ADD = 1,
    SBXI_CONTROL_REMOVE,
    SBXI_CONTROL_END, /* the owner is done and waits for the exit of the cleaner */
};

struct sbxi_control {
    uint32_t op;
    uint32_t n;
    struct sbxi_record records[8];
};

#endif
