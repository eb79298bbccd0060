/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CONTROL_H
#define SUPERVISOR_CONTROL_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisor.pb-c.h"

/* What the router may ask of the supervisor. See control.c. */

/*
 * The table that the router's ids are looked up in. Both return -ENOENT for an id that is not in
 * it.
 */
struct control_table {
    int (*stats)(uint32_t id, struct sbx_stats *ret, void *arg);
    int (*start)(uint32_t id, void *arg); /* 0, -EALREADY, -EAGAIN, -EPERM */
};

/* So much may happen per second, and so much at once. */
struct control_bucket {
    uint64_t rate, burst;
    uint64_t tokens; /* in thousandths */
    uint64_t filled_ms;
};

struct control {
    Uds__Supervisor__Supervisor_Service service; /* first: methods get its address */
    const struct control_table *table;
    void *arg;
    struct control_bucket questions, starts;
};

void control_init(struct control *control, const struct control_table *table, void *arg);

/* One event at @now_ms: true, or false when it is one too many. */
bool control_bucket_take(struct control_bucket *bucket, uint64_t now_ms);

#endif
