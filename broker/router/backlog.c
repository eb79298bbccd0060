/* SPDX-License-Identifier: MIT */
/*
 * A send queue is first in, first out, so its contents are known from two numbers: how many bytes ever went in, and how
 * many are in it now. Each record says where in that stream its message ends and who is charged for it; whatever lies
 * before (total - now) has left. Consecutive messages of one sender without fds share a record, so a busy publisher
 * costs one record and no allocation.
 *
 * A record whose message is admitted but not yet queued is open: end == 0. At most the last one is.
 */
#include "backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct backlog_item {
    struct account *sender; /* a reference */
    uint64_t end;           /* position in the stream; 0 = open */
    uint64_t bytes, fds;
};

static struct backlog_item *at(const struct backlog *backlog, size_t i)
{
    return &backlog->items[(backlog->first + i) & (backlog->size - 1)];
}

void backlog_init(struct backlog *backlog, struct account *receiver, uint64_t queued_now)
{
    *backlog = (struct backlog){.receiver = receiver, .queued_total = queued_now};
}

static void release(struct backlog *backlog, struct backlog_item *item)
{
    queue_release(backlog->receiver, item->sender, item->bytes, item->fds);
    account_unref(item->sender);
}

void backlog_deinit(struct backlog *backlog)
{
    for (size_t i = 0; i < backlog->count; i++)
        release(backlog, at(backlog, i));
    free(backlog->items);
    *backlog = (struct backlog){0};
}

static int grow(struct backlog *backlog)
{
    size_t size = backlog->size == 0 ? 4 : backlog->size * 2;
    struct backlog_item *items = calloc(size, sizeof(*items));
    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < backlog->count; i++)
        items[i] = *at(backlog, i);
    free(backlog->items);
    backlog->items = items;
    backlog->first = 0;
    backlog->size = size;
    return 0;
}

int backlog_admit(struct backlog *backlog, struct account *sender, uint64_t bytes, uint64_t fds)
{
    if (backlog->count == backlog->size) {
        int r = grow(backlog);
        if (r < 0)
            return r;
    }
    /* What has left nothing behind may be as large as it likes: one message always fits. */
    int r = queue_charge(backlog->receiver, sender, bytes, fds,
                         backlog->receiver->used[QUOTA_QUEUED_BYTES] == 0);
    if (r < 0)
        return r;
    *at(backlog, backlog->count++) = (struct backlog_item){account_ref(sender), 0, bytes, fds};
    return 0;
}

void backlog_queued(struct backlog *backlog, uint64_t grown)
{
    backlog->queued_total += grown;
    struct backlog_item *item = at(backlog, backlog->count - 1);
    item->end = backlog->queued_total;
    if (backlog->count < 2)
        return;
    struct backlog_item *before = at(backlog, backlog->count - 2);
    if (before->sender != item->sender || before->fds > 0 || item->fds > 0 ||
        before->bytes >= (64u << 10))
        return;
    before->bytes += item->bytes;
    before->end = item->end;
    account_unref(item->sender);
    backlog->count--;
}

void backlog_refused(struct backlog *backlog)
{
    release(backlog, at(backlog, --backlog->count));
}

void backlog_own(struct backlog *backlog, uint64_t grown)
{
    backlog->queued_total += grown;
}

void backlog_settle(struct backlog *backlog, uint64_t queued_now)
{
    uint64_t gone = backlog->queued_total - queued_now;
    while (backlog->count > 0 && at(backlog, 0)->end != 0 && at(backlog, 0)->end <= gone) {
        release(backlog, at(backlog, 0));
        backlog->first = (backlog->first + 1) & (backlog->size - 1);
        backlog->count--;
    }
}

void backlog_serialise(const struct backlog *backlog, uds_snapshot *s)
{
    uds_snapshot_put_u64(s, backlog->queued_total);
    uds_snapshot_put_u32(s, (uint32_t)backlog->count);
    for (size_t i = 0; i < backlog->count; i++) {
        const struct backlog_item *item = at(backlog, i);
        account_serialise(item->sender, s);
        uds_snapshot_put_u64(s, item->end);
        uds_snapshot_put_u64(s, item->bytes);
        uds_snapshot_put_u64(s, item->fds);
    }
}

static int restore_item(struct backlog *backlog, struct quota *quota, uds_snapshot *s)
{
    struct account *sender = NULL;
    int r = backlog->count == backlog->size ? grow(backlog) : 0;
    if (r == 0)
        r = account_restore(quota, s, &sender);
    if (r < 0)
        return r;
    struct backlog_item item = {.sender = sender, .end = uds_snapshot_get_u64(s)};
    item.bytes = uds_snapshot_get_u64(s);
    item.fds = uds_snapshot_get_u64(s);
    r = uds_snapshot_error(s);
    if (r == 0)
        r = queue_charge(backlog->receiver, sender, item.bytes, item.fds, true);
    if (r < 0) {
        account_unref(sender);
        return r;
    }
    *at(backlog, backlog->count++) = item;
    return 0;
}

int backlog_restore(struct backlog *backlog, struct quota *quota, uds_snapshot *s)
{
    int r = 0;
    backlog->queued_total = uds_snapshot_get_u64(s);
    for (uint32_t count = uds_snapshot_get_u32(s); r == 0 && count > 0; count--)
        r = restore_item(backlog, quota, s);
    return r;
}
