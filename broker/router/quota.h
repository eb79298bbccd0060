/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_QUOTA_H
#define ROUTER_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/queue.h>

#include "identity.h"
#include "supervisor.pb-c.h"
#include "table.h"

/* How much each sandbox and each uid has made us hold. */
enum quota_kind {
    QUOTA_CONNECTIONS,
    QUOTA_SUBSCRIPTIONS,
    QUOTA_PENDING_CALLS,
    QUOTA_QUEUED_BYTES,
    QUOTA_QUEUED_FDS,
    QUOTA_UNFINISHED_BYTES, /* of frames that are partly here; limited like QUEUED_* */
    QUOTA_UNFINISHED_FDS,
    QUOTA_COPIED_BYTES, /* of sealed copies that a sandbox was given (copied.c) */
    QUOTA_KINDS,
};

struct peer;
struct quota_share;

struct account {
    struct quota *quota;
    uint64_t key;
    unsigned refs;
    bool is_sandbox;
    uint32_t sandbox_id;
    char name[96];
    uint64_t used[QUOTA_KINDS];
    LIST_HEAD(, quota_share) shares; /* who fills this account's queues */
    LIST_HEAD(, peer) peers;         /* its connections */
    uint64_t settled_usec;           /* when all their queues were last looked at */
    uint64_t tokens;                 /* rate, in 1/1000000 messages */
    uint64_t tokens_at_usec;
    uint64_t turn, steps;           /* work in a turn of the loop, and which one (turn.c) */
    unsigned tired;                 /* peers that wait for the next */
    LIST_ENTRY(account) by_resting; /* refs 0, and the bucket not full */
    uint64_t denied;    /* counters for listings; kept while somebody holds the account */
    uint64_t told_usec; /* last limit event */
};

struct quota {
    uint64_t host[QUOTA_KINDS], sandbox[QUOTA_KINDS];
    uint64_t rate; /* messages per second, 0 = unlimited */
    uint64_t fds;  /* size of our descriptor table, 0 = not known; no account gets most of it */
    struct table accounts;
    LIST_HEAD(, account) resting;
};

/* One amount of one kind; released with the object that embeds it. Zeroed = nothing. */
struct charge {
    struct account *account;
    enum quota_kind kind;
    uint64_t amount;
};

/** quota_configure() - NULL or zeros: the defaults. Accounts keep what they hold, also when it is more than the new limit. */
void quota_configure(struct quota *quota, const Uds__Supervisor__Quota *from);
/** quota_deinit() - every account must be released. */
void quota_deinit(struct quota *quota);
uint64_t quota_limit(const struct account *account, enum quota_kind kind);
const char *quota_name(enum quota_kind kind);

/** account_get() - the account of an identity, one reference. 0, -ENOMEM. */
int account_get(struct quota *quota, const struct identity *identity, struct account **ret);
struct account *account_ref(struct account *account);
struct account *account_unref(struct account *account);

/** account_serialise() / account_restore() - which account, and its rate; restore gives a reference. */
void account_serialise(const struct account *account, uds_snapshot *s);
int account_restore(struct quota *quota, uds_snapshot *s, struct account **ret);

/** charge_take() - 0; -EDQUOT over the limit. @charge is written on success only and holds a reference. */
int charge_take(struct charge *charge, struct account *account, enum quota_kind kind, uint64_t n);
/** charge_force() - the same over the limit: for state that exists already (restore). */
void charge_force(struct charge *charge, struct account *account, enum quota_kind kind, uint64_t n);
void charge_release(struct charge *charge);

/**
 * queue_charge() - @sender fills @receiver's queues by @bytes and @fds
 * One sender may have at most half of what the others have left, so that nobody can lock the others out.
 * 0; -EDQUOT; -ENOMEM. @force skips the limits.
 */
int queue_charge(
    struct account *receiver, struct account *sender, uint64_t bytes, uint64_t fds, bool force);
void queue_release(struct account *receiver, struct account *sender, uint64_t bytes, uint64_t fds);

/** copies_charge() - the same for copies of @sender's files that @receiver holds. */
int copies_charge(struct account *receiver, struct account *sender, uint64_t bytes, bool force);
void copies_release(struct account *receiver, struct account *sender, uint64_t bytes);

/** account_spend() - one message of the rate; false when the bucket is empty. */
bool account_spend(struct account *account, uint64_t now_usec);

#endif
