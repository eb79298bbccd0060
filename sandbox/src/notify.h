/* SPDX-License-Identifier: MIT */
#ifndef SBXI_NOTIFY_H
#define SBXI_NOTIFY_H

#include <sbx/notify.h>
#include <stdbool.h>
#include <stdint.h>

#include "notify-message.h"

/* The launcher's side of a sandbox's NOTIFY_SOCKET. All zero but @channel = -1: it has none. */
struct sbxi_notified {
    int channel; /* from PID 1; -1 = none, or it has misbehaved */
    struct sbx_notify told;
    sbx_fdstore *store;             /* borrowed; NULL = none */
    uint64_t ready_ms, watchdog_ms; /* what was asked, 0 = not */
    uint64_t ready_at, watchdog_at; /* ms, monotonic; 0 = never */
};

enum sbxi_late {
    SBXI_IN_TIME = 0,
    SBXI_NOT_READY,
    SBXI_NOT_ALIVE
};

struct sbx_plan;
/* The channel to PID 1, whose end is *@ret_far; nothing if the plan has none. 0 or -errno. */
int sbxi_notified_open(struct sbxi_notified *n, const struct sbx_plan *plan, int *ret_far);
/* A bounded number of messages, none behind one of which something was refused. False: there may be more at once. */
bool sbxi_notified_receive(struct sbxi_notified *n, uint64_t now_ms);
/* The payload runs: its time to get ready begins. */
void sbxi_notified_begin(struct sbxi_notified *n, uint64_t now_ms);
enum sbxi_late sbxi_notified_is_late(const struct sbxi_notified *n, uint64_t now_ms);
/* When that could change; 0 = never. */
uint64_t sbxi_notified_deadline(const struct sbxi_notified *n);

/* It was stopped since @since_ms, by us. */
void sbxi_notified_thaw(struct sbxi_notified *n, uint64_t since_ms, uint64_t now_ms);

/* fdstore.c: takes @fd, or says why not (then it stays the caller's). @name: checked. */
const char *sbxi_fdstore_add(sbx_fdstore *store, const char *name, int fd, bool poll);
/* How many went. */
size_t sbxi_fdstore_remove(sbx_fdstore *store, const char *name);
unsigned sbxi_fdstore_get_max(const sbx_fdstore *store);

#endif
