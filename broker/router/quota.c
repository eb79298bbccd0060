/* SPDX-License-Identifier: MIT */
/*
 * Accounts: one per sandbox and one per host uid (all connections of a uid share it, so opening more gains nothing).
 * What a peer makes us hold is charged to its account by the object that holds it (struct charge), and released with
 * that object: there is no other way to lower a number.
 *
 * Queues are charged to who *receives*, because only the receiver can empty them; within a receiver's queue each
 * sender has a share: it may hold at most half of what the others leave. One sender gets 1/2, a second one still 1/4,
 * and so on: a flood harms the flooder. A queue that an account fills for itself may use everything.
 *
 * Invariant: used[k] of an account is the sum of all charges of kind k that name it; for the queue kinds, of all
 * shares. An account lives while something refers to it, and with a rate limit until its bucket is full again: who comes
 * back sooner finds it as empty as it was left.
 */
#include "quota.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router.h"

#define TOKEN                1000000u /* one message */
#define FULL_USEC            1000000u /* an empty bucket is full again */
#define UNFINISHED_BYTES_MIN (32u << 20)
#define UNFINISHED_FDS_MIN   64u
#define COPIED_FACTOR        4u           /* of queued_bytes */
#define COPIED_MIN           (128u << 20) /* half of it is one sender's: one file of the largest size */

struct quota_share {
    LIST_ENTRY(quota_share) link;
    struct account *sender;
    uint64_t bytes, fds, copied;
};

static const uint64_t host_defaults[QUOTA_KINDS] = {
    [QUOTA_CONNECTIONS] = 4096,    [QUOTA_SUBSCRIPTIONS] = 16384,
    [QUOTA_PENDING_CALLS] = 4096,  [QUOTA_QUEUED_BYTES] = 256u << 20,
    [QUOTA_QUEUED_FDS] = 2048,     [QUOTA_UNFINISHED_BYTES] = 256u << 20,
    [QUOTA_UNFINISHED_FDS] = 2048, [QUOTA_COPIED_BYTES] = 256u << 20,
};
static const uint64_t sandbox_defaults[QUOTA_KINDS] = {
    [QUOTA_CONNECTIONS] = 16,     [QUOTA_SUBSCRIPTIONS] = 1024,
    [QUOTA_PENDING_CALLS] = 1024, [QUOTA_QUEUED_BYTES] = 64u << 20,
    [QUOTA_QUEUED_FDS] = 512,     [QUOTA_UNFINISHED_BYTES] = 64u << 20,
    [QUOTA_UNFINISHED_FDS] = 512, [QUOTA_COPIED_BYTES] = 256u << 20,
};

const char *quota_name(enum quota_kind kind)
{
    static const char *const names[] = {"connections",  "subscriptions", "pending_calls",
                                        "queued_bytes", "queued_fds",    "queued_bytes",
                                        "queued_fds",   "copied_bytes"};
    return kind < QUOTA_KINDS ? names[kind] : "?";
}

/* A queue may be configured small; a few frames of the largest size can be on their way in nevertheless. */
static uint64_t unfinished(uint64_t queued, uint64_t least)
{
    return queued == 0 || queued > least ? queued : least;
}

static uint64_t copied(uint64_t queued)
{
    uint64_t n;
    if (queued == 0 || __builtin_mul_overflow(queued, COPIED_FACTOR, &n))
        return queued;
    return n > COPIED_MIN ? n : COPIED_MIN;
}

void quota_configure(struct quota *quota, const Uds__Supervisor__Quota *from)
{
    memcpy(quota->host, host_defaults, sizeof(host_defaults));
    memcpy(quota->sandbox, sandbox_defaults, sizeof(sandbox_defaults));
    quota->rate = 0;
    if (from == NULL)
        return;
    const uint64_t set[QUOTA_KINDS] = {from->connections,
                                       from->subscriptions,
                                       from->pending_calls,
                                       from->queued_bytes,
                                       from->queued_fds,
                                       unfinished(from->queued_bytes, UNFINISHED_BYTES_MIN),
                                       unfinished(from->queued_fds, UNFINISHED_FDS_MIN),
                                       copied(from->queued_bytes)};
    for (size_t i = 0; i < QUOTA_KINDS; i++) {
        if (set[i] != 0)
            quota->host[i] = quota->sandbox[i] = set[i];
    }
    quota->rate = from->messages_per_second;
}

uint64_t quota_limit(const struct account *account, enum quota_kind kind)
{
    const struct quota *quota = account->quota;
    uint64_t limit = account->is_sandbox ? quota->sandbox[kind] : quota->host[kind], share = 0;
    /* Whatever is configured: who fills the descriptor table shuts out everybody else. */
    if (kind == QUOTA_CONNECTIONS)
        share = quota->fds / 2;
    else if (kind == QUOTA_QUEUED_FDS || kind == QUOTA_UNFINISHED_FDS)
        share = quota->fds / 8;
    return share != 0 && limit > share ? share : limit;
}

static void account_free(struct account *account)
{
    table_take(&account->quota->accounts, account->key);
    free(account);
}

/* Those that rest have all been left before now; whose bucket is full again is as good as new. */
static void sweep(struct quota *quota, bool all)
{
    uint64_t now = router_now_usec();
    struct account *account = LIST_FIRST(&quota->resting), *next;
    for (; account != NULL; account = next) {
        next = LIST_NEXT(account, by_resting);
        if (!all && now - account->tokens_at_usec < FULL_USEC)
            continue;
        LIST_REMOVE(account, by_resting);
        account_free(account);
    }
}

void quota_deinit(struct quota *quota)
{
    sweep(quota, true);
    table_deinit(&quota->accounts);
}

int account_get(struct quota *quota, const struct identity *identity, struct account **ret)
{
    /* A uid that the kernel could not name shares one account with all others of that kind. */
    uint64_t key = identity->is_sandbox  ? (1ull << 32 | identity->sandbox_id)
                   : identity->uid_known ? identity->uid
                                         : (2ull << 32);
    struct account *account = table_get(&quota->accounts, key);
    if (account != NULL) {
        if (account->refs == 0)
            LIST_REMOVE(account, by_resting);
        *ret = account_ref(account);
        return 0;
    }
    sweep(quota, false);
    account = calloc(1, sizeof(*account));
    if (account == NULL)
        return -ENOMEM;
    account->quota = quota;
    account->key = key;
    account->refs = 1;
    account->is_sandbox = identity->is_sandbox;
    account->sandbox_id = identity->sandbox_id;
    snprintf(account->name, sizeof(account->name), "%s", identity->name);
    account->tokens = quota->rate * TOKEN;
    LIST_INIT(&account->shares);
    LIST_INIT(&account->peers);
    int r = table_put(&quota->accounts, key, account);
    if (r < 0) {
        free(account);
        return r;
    }
    *ret = account;
    return 0;
}

void account_serialise(const struct account *account, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, account->is_sandbox);
    uds_snapshot_put_u64(s, account->key);
    uds_snapshot_put_string(s, account->name);
    uds_snapshot_put_u64(s, account->tokens);
    uds_snapshot_put_u64(s, account->tokens_at_usec);
}

int account_restore(struct quota *quota, uds_snapshot *s, struct account **ret)
{
    struct identity identity = {.is_sandbox = uds_snapshot_get_u32(s) != 0};
    uint64_t key = uds_snapshot_get_u64(s);
    identity.sandbox_id = identity.uid = (uint32_t)key;
    identity.uid_known = key <= UINT32_MAX;
    char *name = uds_snapshot_get_string(s);
    uint64_t tokens = uds_snapshot_get_u64(s), at = uds_snapshot_get_u64(s);
    snprintf(identity.name, sizeof(identity.name), "%s", name != NULL ? name : "");
    free(name);
    int r = uds_snapshot_error(s);
    if (r == 0)
        r = account_get(quota, &identity, ret);
    if (r < 0)
        return r;
    (*ret)->tokens = tokens;
    (*ret)->tokens_at_usec = at;
    return 0;
}

struct account *account_ref(struct account *account)
{
    account->refs++;
    return account;
}

struct account *account_unref(struct account *account)
{
    if (account == NULL || --account->refs > 0)
        return NULL;
    if (account->tokens < account->quota->rate * TOKEN)
        LIST_INSERT_HEAD(&account->quota->resting, account, by_resting);
    else
        account_free(account);
    return NULL;
}

void charge_force(struct charge *charge, struct account *account, enum quota_kind kind, uint64_t n)
{
    account->used[kind] += n;
    *charge = (struct charge){account_ref(account), kind, n};
}

int charge_take(struct charge *charge, struct account *account, enum quota_kind kind, uint64_t n)
{
    uint64_t sum, limit = quota_limit(account, kind);
    if (__builtin_add_overflow(account->used[kind], n, &sum) || sum > limit)
        return -EDQUOT;
    charge_force(charge, account, kind, n);
    return 0;
}

void charge_release(struct charge *charge)
{
    if (charge->account == NULL)
        return;
    charge->account->used[charge->kind] -= charge->amount;
    account_unref(charge->account);
    *charge = (struct charge){0};
}

static struct quota_share *share_find(struct account *receiver, const struct account *sender)
{
    struct quota_share *share;
    LIST_FOREACH(share, &receiver->shares, link)
    {
        if (share->sender == sender)
            return share;
    }
    return NULL;
}

/* May a sender that holds @own take @n more of @limit, of which @used is in use by all? */
static bool fits(uint64_t limit, uint64_t used, uint64_t own, uint64_t n, bool whole)
{
    uint64_t others = used - own, mine;
    uint64_t room = limit > others ? limit - others : 0;
    if (__builtin_add_overflow(own, n, &mine))
        return false;
    return n == 0 || mine <= (whole ? room : room / 2);
}

static struct quota_share *share_new(struct account *receiver, struct account *sender)
{
    struct quota_share *share = calloc(1, sizeof(*share));
    if (share == NULL)
        return NULL;
    share->sender = account_ref(sender);
    account_ref(receiver);
    LIST_INSERT_HEAD(&receiver->shares, share, link);
    return share;
}

static void share_put(struct account *receiver, struct quota_share *share)
{
    if (share->bytes > 0 || share->fds > 0 || share->copied > 0)
        return;
    account_unref(share->sender);
    LIST_REMOVE(share, link);
    free(share);
    account_unref(receiver);
}

int queue_charge(
    struct account *receiver, struct account *sender, uint64_t bytes, uint64_t fds, bool force)
{
    struct quota_share *share = share_find(receiver, sender);
    bool whole = receiver == sender;
    if (!force &&
        (!fits(quota_limit(receiver, QUOTA_QUEUED_BYTES), receiver->used[QUOTA_QUEUED_BYTES],
               share != NULL ? share->bytes : 0, bytes, whole) ||
         !fits(quota_limit(receiver, QUOTA_QUEUED_FDS), receiver->used[QUOTA_QUEUED_FDS],
               share != NULL ? share->fds : 0, fds, whole)))
        return -EDQUOT;
    if (share == NULL && (share = share_new(receiver, sender)) == NULL)
        return -ENOMEM;
    share->bytes += bytes;
    share->fds += fds;
    receiver->used[QUOTA_QUEUED_BYTES] += bytes;
    receiver->used[QUOTA_QUEUED_FDS] += fds;
    return 0;
}

void queue_release(struct account *receiver, struct account *sender, uint64_t bytes, uint64_t fds)
{
    struct quota_share *share = share_find(receiver, sender);
    if (share == NULL)
        return;
    share->bytes -= bytes;
    share->fds -= fds;
    receiver->used[QUOTA_QUEUED_BYTES] -= bytes;
    receiver->used[QUOTA_QUEUED_FDS] -= fds;
    share_put(receiver, share);
}

int copies_charge(struct account *receiver, struct account *sender, uint64_t bytes, bool force)
{
    struct quota_share *share = share_find(receiver, sender);
    if (!force &&
        !fits(quota_limit(receiver, QUOTA_COPIED_BYTES), receiver->used[QUOTA_COPIED_BYTES],
              share != NULL ? share->copied : 0, bytes, receiver == sender))
        return -EDQUOT;
    if (share == NULL && (share = share_new(receiver, sender)) == NULL)
        return -ENOMEM;
    share->copied += bytes;
    receiver->used[QUOTA_COPIED_BYTES] += bytes;
    return 0;
}

void copies_release(struct account *receiver, struct account *sender, uint64_t bytes)
{
    struct quota_share *share = share_find(receiver, sender);
    if (share == NULL)
        return;
    share->copied -= bytes;
    receiver->used[QUOTA_COPIED_BYTES] -= bytes;
    share_put(receiver, share);
}

bool account_spend(struct account *account, uint64_t now_usec)
{
    uint64_t rate = account->quota->rate;
    if (rate == 0)
        return true;
    uint64_t full = rate * TOKEN, passed = now_usec - account->tokens_at_usec;
    /* One second fills the bucket; the product cannot overflow below that. */
    if (passed >= FULL_USEC)
        account->tokens = full;
    else
        account->tokens += passed * rate;
    if (account->tokens > full)
        account->tokens = full;
    account->tokens_at_usec = now_usec;
    if (account->tokens < TOKEN)
        return false;
    account->tokens -= TOKEN;
    return true;
}
