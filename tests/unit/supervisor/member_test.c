/* SPDX-License-Identifier: MIT */
/* The life of a declared sandbox: states, restarts, back-off, what all generations have cost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "guard.h"
#include "member.h"

static char name[] = "decoder";
static struct stack_sandbox entry_of(enum stack_restart restart)
{
    return (struct stack_sandbox){
        .name = name, .restart = (int)restart, .limits = {.memory_bytes = 64u << 20}};
}

static void run_at(struct member *m, uint64_t now_ms)
{
    struct sbx_report report = {.size = sizeof(struct sbx_report),
                                .uid_first = 1000000,
                                .uid_count = 65536,
                                .init_pid = 42,
                                .degraded = SBX_DEGRADE_CPU | SBX_DEGRADE_STATS};

    member_starting(m);
    member_running(m, &report, now_ms, 77);
}

static int end_at(struct member *m, enum sbx_outcome outcome, uint64_t value, uint64_t now_ms)
{
    struct sbx_result result = {
        .size = sizeof(struct sbx_result), .outcome = outcome, .value = value};

    return member_ended(m, &result, now_ms);
}

static const struct {
    enum stack_restart restart;
    enum sbx_outcome outcome;
    uint64_t value;
    enum member_state state;
} ends[] = {
    {STACK_RESTART_NO, SBX_EXITED, 0, MEMBER_STOPPED},
    {STACK_RESTART_NO, SBX_EXITED, 1, MEMBER_FAILED},
    {STACK_RESTART_NO, SBX_OOM, 64, MEMBER_FAILED},
    {STACK_RESTART_ON_FAILURE, SBX_EXITED, 0, MEMBER_STOPPED},
    {STACK_RESTART_ON_FAILURE, SBX_EXITED, 1, MEMBER_BACKOFF},
    {STACK_RESTART_ON_FAILURE, SBX_SIGNALED, SIGSEGV, MEMBER_BACKOFF},
    {STACK_RESTART_ON_FAILURE, SBX_OOM, 64, MEMBER_BACKOFF},
    {STACK_RESTART_ON_FAILURE, SBX_TIMEOUT, 5, MEMBER_BACKOFF},
    {STACK_RESTART_ON_FAILURE, SBX_SETUP_FAILED, EPERM, MEMBER_BACKOFF},
    {STACK_RESTART_ON_FAILURE, SBX_STOPPED, 0, MEMBER_STOPPED},
    {STACK_RESTART_ALWAYS, SBX_EXITED, 0, MEMBER_BACKOFF},
    {STACK_RESTART_ALWAYS, SBX_SIGNALED, SIGKILL, MEMBER_BACKOFF},
};

Test(member, ends_as_its_restart_policy_says)
{
    UDS_TEST_GUARD;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct stack_sandbox entry = entry_of(ends[i].restart);
        struct member m;
        int wait_ms;

        member_init(&m, 1, &entry);
        run_at(&m, 1000);
        wait_ms = end_at(&m, ends[i].outcome, ends[i].value, 1001);
        cr_expect_eq(m.state, ends[i].state, "row %zu: state %d", i, m.state);
        cr_expect_eq(wait_ms, ends[i].state == MEMBER_BACKOFF ? 100 : -1, "row %zu: waits %d", i,
                     wait_ms);
    }
}

Test(member, is_not_restarted_when_its_end_was_wanted)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ALWAYS);
    struct member m;

    member_init(&m, 1, &entry);
    run_at(&m, 0);
    m.stopping = true;
    cr_expect_eq(end_at(&m, SBX_SIGNALED, SIGTERM, 5), -1);
    cr_expect_eq(m.state, MEMBER_STOPPED);
}

Test(member, waits_twice_as_long_each_time_up_to_ten_seconds)
{
    UDS_TEST_GUARD;
    static const int expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    struct stack_sandbox entry = entry_of(STACK_RESTART_ALWAYS);
    struct member m;

    member_init(&m, 1, &entry);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        run_at(&m, 1000 * i);
        cr_expect_eq(end_at(&m, SBX_EXITED, 1, 1000 * i + 1), expected[i]);
        cr_expect_eq(m.generation, i + 1);
        cr_expect_eq(m.restarts, i);
    }
}

Test(member, begins_anew_after_ten_seconds_of_running)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ALWAYS);
    struct member m;

    member_init(&m, 1, &entry);
    run_at(&m, 0);
    cr_expect_eq(end_at(&m, SBX_EXITED, 1, 10), 100);
    run_at(&m, 1000);
    cr_expect_eq(end_at(&m, SBX_EXITED, 1, 10999), 200);
    run_at(&m, 20000);
    cr_expect_eq(end_at(&m, SBX_EXITED, 1, 30000), 100);
}

Test(member, a_start_that_failed_is_an_end)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_NO);
    struct sbx_result result = {.size = sizeof(struct sbx_result),
                                .outcome = SBX_SETUP_FAILED,
                                .value = EPERM,
                                .error = {EPERM, "clone: refused"}};
    struct member m;

    member_init(&m, 1, &entry);
    member_starting(&m);
    cr_expect_eq(m.state, MEMBER_STARTING);
    cr_expect_eq(member_ended(&m, &result, 1), -1);
    cr_expect_eq(m.state, MEMBER_FAILED);
    cr_expect_str_eq(m.detail, "could not be started: clone: refused");
}

Test(member, is_awaited_until_it_has_said_that_it_is_ready)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ON_FAILURE);
    const struct sbx_notify ready = {.changes = 1, .ready = true, .status = "serving"};
    Uds__Supervisor__Sandbox row;
    char *degraded[MEMBER_DEGRADED_MAX];
    struct member m;

    member_init(&m, 1, &entry);
    run_at(&m, 0);
    cr_expect_not(member_is_awaited(&m), "it says nothing");
    entry.notify = true;
    cr_expect(member_is_awaited(&m));
    member_told(&m, &ready);
    cr_expect_not(member_is_awaited(&m));
    member_describe(&m, &row, degraded);
    cr_expect(row.notify && row.ready);
    cr_expect_str_eq(row.status, "serving");
    end_at(&m, SBX_WATCHDOG, 500, 1);
    cr_expect_eq(m.state, MEMBER_BACKOFF, "a hung one has failed");
    cr_expect(member_is_awaited(&m), "its next life is another one");
    run_at(&m, 200);
    cr_expect_not(m.told.ready);
    end_at(&m, SBX_EXITED, 0, 300);
    cr_expect_not(member_is_awaited(&m), "nobody will say it any more");
}

Test(member, sums_over_generations)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ALWAYS);
    struct sbx_result first = {
        .size = sizeof(struct sbx_result),
        .outcome = SBX_OOM,
        .value = 64u << 20,
        .stats = {.known = true, .cpu_usec = 10, .memory_peak_bytes = 500, .oom_kills = 1}};
    struct sbx_result second = {
        .size = sizeof(struct sbx_result),
        .outcome = SBX_EXITED,
        .stats = {.known = true, .cpu_usec = 5, .memory_peak_bytes = 300, .pids_refused = 2}};
    struct sbx_stats now = {.size = sizeof(struct sbx_stats),
                            .known = true,
                            .cpu_usec = 1,
                            .memory_bytes = 9,
                            .memory_peak_bytes = 900,
                            .pids = 3},
                     total;
    struct member m;

    member_init(&m, 1, &entry);
    run_at(&m, 0);
    member_ended(&m, &first, 1);
    run_at(&m, 2);
    member_ended(&m, &second, 3);
    member_total(&m, NULL, &total);
    cr_expect_eq(total.cpu_usec, 15);
    cr_expect_eq(total.memory_peak_bytes, 500);
    cr_expect_eq(total.oom_kills, 1);
    cr_expect_eq(total.pids_refused, 2);
    cr_expect_eq(total.memory_bytes, 0);
    member_total(&m, &now, &total);
    cr_expect_eq(total.cpu_usec, 16);
    cr_expect_eq(total.memory_peak_bytes, 900);
    cr_expect_eq(total.memory_bytes, 9);
    cr_expect_eq(total.pids, 3);
    cr_expect_eq(m.past.cpu_usec, 15);
}

Test(member, tells_an_oom_with_limit_and_peak)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ON_FAILURE);
    struct sbx_result result = {
        .size = sizeof(struct sbx_result),
        .outcome = SBX_OOM,
        .value = 64u << 20,
        .stats = {.known = true, .memory_peak_bytes = (64u << 20) - (1u << 19)}};
    Uds__Supervisor__Sandbox row;
    char *degraded[MEMBER_DEGRADED_MAX];
    struct member m;

    member_init(&m, 3, &entry);
    run_at(&m, 0);
    member_ended(&m, &result, 1);
    cr_expect_str_eq(m.detail, "killed by OOM (limit 64 MiB, peak 63.5 MiB)");
    member_describe(&m, &row, degraded);
    cr_expect_eq(row.id, 3);
    cr_expect_eq(row.state, UDS__SUPERVISOR__STATE__BACKOFF);
    cr_expect_eq(row.cause, UDS__SUPERVISOR__CAUSE__OOM);
    cr_expect_eq(row.value, 64u << 20);
    cr_expect_eq(row.peak_bytes, (64u << 20) - (1u << 19));
    cr_expect_eq(row.pid, 0);
}

Test(member, tells_a_memory_limit_that_was_an_rlimit_from_an_oom)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_NO);
    struct sbx_result result = {.size = sizeof(struct sbx_result),
                                .outcome = SBX_EXITED,
                                .value = 1,
                                .memory_refused = 2,
                                .memory_refused_bytes = 200u << 20};
    Uds__Supervisor__Sandbox row;
    char *degraded[MEMBER_DEGRADED_MAX];
    struct member m;

    entry.limits.memory_bytes = 64u << 20;
    member_init(&m, 3, &entry);
    run_at(&m, 0);
    member_ended(&m, &result, 1);
    member_describe(&m, &row, degraded);
    cr_expect_str_eq(m.detail, "exited with code 1: memory-limit (rlimit): 64 MiB, 2 requests for "
                               "more were refused, the first of 200 MiB");
    cr_expect_eq(row.cause, UDS__SUPERVISOR__CAUSE__MEMORY_LIMIT);
    cr_expect_eq(row.value, 64u << 20);
    result.value = 0; /* it coped */
    member_init(&m, 3, &entry);
    run_at(&m, 0);
    member_ended(&m, &result, 1);
    member_describe(&m, &row, degraded);
    cr_expect_eq(row.cause, UDS__SUPERVISOR__CAUSE__EXITED);
    cr_expect_str_eq(m.detail, "exited with code 0");
}

Test(member, describes_what_runs)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_NO);
    Uds__Supervisor__Sandbox row;
    char *degraded[MEMBER_DEGRADED_MAX];
    struct member m;

    member_init(&m, 1, &entry);
    run_at(&m, 0);
    member_describe(&m, &row, degraded);
    cr_expect_str_eq(row.name, "decoder");
    cr_expect_eq(row.state, UDS__SUPERVISOR__STATE__RUNNING);
    cr_expect_eq(row.pid, 42);
    cr_expect_eq(row.uid_first, 1000000);
    cr_expect_eq(row.generation, 1);
    cr_expect_eq(row.started_unix_ms, 77);
    cr_expect_eq(row.memory_limit, 64u << 20);
    cr_expect_eq(row.cause, UDS__SUPERVISOR__CAUSE__NONE);
    cr_assert_eq(row.n_degraded, 2);
    cr_expect_str_eq(row.degraded[0], "cpu");
    cr_expect_str_eq(row.degraded[1], "stats");
}

Test(member, may_be_started_by_the_router_only_when_it_stopped)
{
    UDS_TEST_GUARD;
    struct stack_sandbox entry = entry_of(STACK_RESTART_ON_FAILURE),
                         no = entry_of(STACK_RESTART_NO);
    struct member m;

    member_init(&m, 1, &entry);
    cr_expect_eq(member_may_start(&m, false), 0);
    cr_expect_eq(member_may_start(&m, true), -EPERM);
    run_at(&m, 0);
    cr_expect_eq(member_may_start(&m, false), -EALREADY);
    end_at(&m, SBX_EXITED, 1, 1);
    cr_expect_eq(member_may_start(&m, false), -EAGAIN);
    run_at(&m, 2);
    end_at(&m, SBX_EXITED, 0, 3);
    cr_expect_eq(member_may_start(&m, false), 0);
    member_init(&m, 1, &no);
    run_at(&m, 0);
    end_at(&m, SBX_EXITED, 1, 1);
    cr_expect_eq(member_may_start(&m, false), -EPERM);
}

Test(member, writes_sizes_for_people)
{
    UDS_TEST_GUARD;
    char buf[32];

    cr_expect_str_eq(member_size(0, buf, sizeof(buf)), "0 bytes");
    cr_expect_str_eq(member_size(1023, buf, sizeof(buf)), "1023 bytes");
    cr_expect_str_eq(member_size(1536, buf, sizeof(buf)), "1.5 KiB");
    cr_expect_str_eq(member_size(64u << 20, buf, sizeof(buf)), "64 MiB");
    cr_expect_str_eq(member_size(3ull << 30, buf, sizeof(buf)), "3 GiB");
}
