/* SPDX-License-Identifier: MIT */
/* What peers make us hold, and that it is given back. */
#include "backlog.h"
#include "quota.h"
#include "world.h"

static struct account *account(struct quota *quota, uid_t uid)
{
    struct identity who = {.uid_known = true, .uid = uid};
    struct account *account;
    cr_assert_eq(account_get(quota, &who, &account), 0);
    return account;
}

static void configure(struct quota *quota, uint64_t bytes, uint32_t fds, uint32_t rate)
{
    Uds__Supervisor__Quota limits = UDS__SUPERVISOR__QUOTA__INIT;
    limits.queued_bytes = bytes;
    limits.queued_fds = fds;
    limits.connections = 2;
    limits.messages_per_second = rate;
    memset(quota, 0, sizeof(*quota));
    quota_configure(quota, &limits);
}

Test(quota, holds_a_charge_until_it_is_released)
{
    UDS_TEST_GUARD;
    struct quota quota;
    struct charge a, b, c;
    configure(&quota, 0, 0, 0);
    struct account *one = account(&quota, 1);
    cr_assert_eq(charge_take(&a, one, QUOTA_CONNECTIONS, 1), 0);
    cr_assert_eq(charge_take(&b, one, QUOTA_CONNECTIONS, 1), 0);
    cr_assert_eq(charge_take(&c, one, QUOTA_CONNECTIONS, 1), -EDQUOT);
    cr_assert_eq(charge_take(&c, one, QUOTA_CONNECTIONS, UINT64_MAX), -EDQUOT, "no overflow");
    charge_release(&a);
    charge_release(&a);
    cr_assert_eq(charge_take(&c, one, QUOTA_CONNECTIONS, 1), 0);
    charge_release(&b);
    charge_release(&c);
    account_unref(one);
    cr_assert_eq(quota.accounts.count, 0);
    quota_deinit(&quota);
}

Test(quota, leaves_every_sender_a_share_of_a_receivers_queue)
{
    UDS_TEST_GUARD;
    struct quota quota;
    configure(&quota, 1000, 16, 0);
    struct account *r = account(&quota, 1), *a = account(&quota, 2), *b = account(&quota, 3);
    cr_assert_eq(queue_charge(r, a, 500, 0, false), 0);
    cr_assert_eq(queue_charge(r, a, 1, 0, false), -EDQUOT, "half is a's share");
    cr_assert_eq(queue_charge(r, b, 250, 0, false), 0);
    cr_assert_eq(queue_charge(r, b, 1, 0, false), -EDQUOT, "half of what a left");
    cr_assert_eq(queue_charge(r, r, 250, 0, false), 0, "its own may fill it");
    cr_assert_eq(queue_charge(r, a, 0, 8, false), 0);
    cr_assert_eq(queue_charge(r, a, 0, 1, false), -EDQUOT);
    cr_assert_eq(queue_charge(r, b, UINT64_MAX, 0, false), -EDQUOT, "no overflow");
    queue_release(r, a, 500, 8);
    queue_release(r, b, 250, 0);
    queue_release(r, r, 250, 0);
    cr_assert_eq(r->used[QUOTA_QUEUED_BYTES], 0);
    account_unref(a);
    account_unref(b);
    account_unref(r);
    cr_assert_eq(quota.accounts.count, 0);
    quota_deinit(&quota);
}

Test(quota, gives_a_uid_one_account_whoever_connects)
{
    UDS_TEST_GUARD;
    struct quota quota;
    configure(&quota, 0, 0, 0);
    struct identity sandbox, unknown = {0};
    struct account *a = account(&quota, 1), *b = account(&quota, 1), *s, *u;
    identity_sandbox(&sandbox, 1, 1, "x");
    cr_assert_eq(account_get(&quota, &sandbox, &s), 0);
    cr_assert_eq(account_get(&quota, &unknown, &u), 0);
    cr_assert_eq(a, b);
    cr_assert_neq(a, s, "a sandbox with id 1 is not uid 1");
    cr_assert_neq(u, a);
    account_unref(a);
    account_unref(b);
    account_unref(s);
    account_unref(u);
    quota_deinit(&quota);
}

Test(quota, limits_a_rate_and_fills_up_again)
{
    UDS_TEST_GUARD;
    struct quota quota;
    configure(&quota, 0, 0, 10);
    struct account *a = account(&quota, 1);
    uint64_t now = 5000000;
    unsigned passed = 0;
    for (int i = 0; i < 100; i++)
        passed += account_spend(a, now);
    cr_assert_eq(passed, 10);
    cr_assert(!account_spend(a, now + 99999));
    cr_assert(account_spend(a, now + 200000));
    passed = 0;
    for (int i = 0; i < 100; i++)
        passed += account_spend(a, now + 100000000);
    cr_assert_eq(passed, 10, "the bucket does not grow beyond a second's worth");
    account_unref(a);
    quota_deinit(&quota);
}

Test(quota, remembers_the_rate_of_who_goes_and_comes_back)
{
    UDS_TEST_GUARD;
    struct quota quota;
    configure(&quota, 0, 0, 10);
    uint64_t now = router_now_usec();
    unsigned passed = 0;
    for (int i = 0; i < 100; i++) {
        struct account *a = account(&quota, 1);
        passed += account_spend(a, now);
        account_unref(a);
    }
    cr_assert_eq(passed, 10);
    cr_assert_eq(quota.accounts.count, 1);
    quota_deinit(&quota);
}

Test(backlog, releases_each_charge_when_its_bytes_have_left)
{
    UDS_TEST_GUARD;
    struct quota quota;
    struct backlog backlog;
    configure(&quota, 1u << 20, 0, 0);
    struct account *r = account(&quota, 1), *a = account(&quota, 2), *b = account(&quota, 3);
    backlog_init(&backlog, r, 48);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(backlog_admit(&backlog, i % 2 == 0 ? a : b, 100, 0), 0);
        backlog_queued(&backlog, 100);
    }
    backlog_own(&backlog, 30);
    cr_assert_eq(r->used[QUOTA_QUEUED_BYTES], 1000);
    backlog_settle(&backlog, 1078 - 48 - 250); /* the HELLO and two and a half messages are gone */
    cr_assert_eq(r->used[QUOTA_QUEUED_BYTES], 800);
    cr_assert_eq(backlog_admit(&backlog, a, 5, 0), 0);
    backlog_refused(&backlog);
    cr_assert_eq(r->used[QUOTA_QUEUED_BYTES], 800);
    backlog_settle(&backlog, 0);
    cr_assert_eq(r->used[QUOTA_QUEUED_BYTES], 0);
    backlog_deinit(&backlog);
    account_unref(a);
    account_unref(b);
    account_unref(r);
    cr_assert_eq(quota.accounts.count, 0);
    quota_deinit(&quota);
}
