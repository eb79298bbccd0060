/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_BACKLOG_H
#define ROUTER_BACKLOG_H

#include <stddef.h>
#include <stdint.h>

#include <uds/snapshot.h>

#include "quota.h"

/* On whose account the bytes stand that wait in one peer's send queue. */
struct backlog {
    struct account *receiver; /* borrowed from the peer */
    struct backlog_item *items;
    size_t first, count, size; /* ring */
    uint64_t queued_total;     /* bytes that ever went into the queue */
};

void backlog_init(struct backlog *backlog, struct account *receiver, uint64_t queued_now);
/** backlog_deinit() - releases every charge. */
void backlog_deinit(struct backlog *backlog);
/** backlog_admit() - charge a message before it is queued. 0, -EDQUOT, -ENOMEM. */
int backlog_admit(struct backlog *backlog, struct account *sender, uint64_t bytes, uint64_t fds);
/** backlog_queued() - the admitted message went into the queue and made it @grown bytes longer. */
void backlog_queued(struct backlog *backlog, uint64_t grown);
/** backlog_refused() - it did not. */
void backlog_refused(struct backlog *backlog);
/** backlog_own() - frames of our own went into the queue. */
void backlog_own(struct backlog *backlog, uint64_t grown);
/** backlog_settle() - @queued_now bytes are left in the queue: release the charges of those that are gone. */
void backlog_settle(struct backlog *backlog, uint64_t queued_now);

void backlog_serialise(const struct backlog *backlog, uds_snapshot *s);
/** backlog_restore() - charges again what was charged; @backlog->receiver is set. */
int backlog_restore(struct backlog *backlog, struct quota *quota, uds_snapshot *s);

#endif
