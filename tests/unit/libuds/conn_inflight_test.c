/* SPDX-License-Identifier: MIT */
/* Descriptors that cannot be sent now: too many of this user are in flight. */
#include "refuse_scene.h"

Test(conn_stall, waits_longer_and_longer_and_says_since_when)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};

    open_pair(&a, &b, seen);
    cr_assert_eq(uds_conn_get_stall_ms(a), -1);
    {
        FAULTSOCK({FAULT_SEND, FAULT_ERRNO, ETOOMANYREFS, 0});
        int want[] = {10, 20, 40, 80, 160, 160};

        cr_assert_eq(send_one(a, 1, 1), 0);
        cr_assert_eq(send_one(a, 2, 0), 0);
        for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
            cr_assert_eq(uds_conn_process(a), 0);
            cr_assert_geq(uds_conn_get_stall_ms(a), 0);
            cr_assert_eq(a->retry_ms, (unsigned)want[i]);
            cr_assert_leq(uds_conn_get_timeout(a), want[i]);
            cr_assert_eq(uds_conn_get_events(a), POLLIN, "POLLOUT would spin");
            a->retry_at = 1; /* the time has passed */
        }
    }
    cr_assert_eq(uds_conn_process(a), 0);
    cr_assert_eq(uds_conn_get_stall_ms(a), -1);
    cr_assert_eq(uds_conn_process(b), 0);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){1, 2}, 2);
}

Test(conn_stall, gives_a_message_back_after_the_time_that_it_was_given)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL;
    _cleanup_close_ int peer = -1;
    struct seen seen = {0};

    options.max_stall_ms = 25;
    peer = raw_conn(&a, SOCK_STREAM, &options, 1);
    uds_conn_set_callbacks(a, &callbacks, &seen);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, ETOOMANYREFS, 0});
    cr_assert_eq(send_one(a, 1, 1), 0);
    for (int i = 0; i < 20 && seen.nrefused == 0; i++) {
        cr_assert_eq(uds_conn_process(a), 0);
        (void)poll(NULL, 0, uds_conn_get_timeout(a));
    }
    cr_assert_eq(seen.nrefused, 1);
    cr_assert_eq(seen.error, -ETOOMANYREFS);
    cr_assert(uds_conn_is_open(a));
}

/*
 * The real limit, as a user who is not privileged: more than RLIMIT_NOFILE descriptors in flight. Message 1 fills it with the
 * sockets of another pair; 2 has fds and waits, and 3, which has none, waits behind it. When the other pair is emptied both go.
 */
static int in_flight_child(void)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};
    int other[2], stalled = 0;
    uint8_t byte = 0;

    if (setresgid(4711, 4711, 4711) < 0 || setresuid(4711, 4711, 4711) < 0)
        return 1;
    nofile_set(40);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) < 0 ||
        uds_conn_pair(&a, &b, &options) < 0)
        return 1;
    uds_conn_set_callbacks(a, &callbacks, &seen[0]);
    uds_conn_set_callbacks(b, &callbacks, &seen[1]);
    for (int i = 0; i < 3; i++)
        if (uds_conn_process(a) < 0 || uds_conn_process(b) < 0)
            return 2;
    while (raw_send(other[0], &byte, 1, 0, 16) == 1)
        ;
    if (raw_send(other[0], &byte, 1, 0, 1) != -ETOOMANYREFS)
        return 3;
    for (uint64_t id = 1; id <= 4; id++)
        if (send_one(a, id, id == 2) < 0)
            return 4;
    for (int i = 0; i < 4; i++) {
        if (uds_conn_process(a) < 0 || uds_conn_process(b) < 0)
            return 5;
        stalled += uds_conn_get_stall_ms(a) >= 0;
        (void)poll(NULL, 0, uds_conn_get_timeout(a));
    }
    if (stalled != 4 || seen[1].ngot != 1 || seen[1].got[0] != 1)
        return 6;
    close(other[0]);
    close(other[1]); /* what was in flight there is closed */
    for (int i = 0; i < 50 && seen[1].ngot < 4; i++) {
        (void)poll(NULL, 0, uds_conn_get_timeout(a) > 0 ? uds_conn_get_timeout(a) : 1);
        if (uds_conn_process(a) < 0 || uds_conn_process(b) < 0)
            return 7;
    }
    for (uint64_t i = 0; i < 4; i++)
        if (seen[1].ngot != 4 || seen[1].got[i] != i + 1)
            return 8;
    uds_conn_unref(a);
    uds_conn_unref(b);
    return 0;
}

Test(conn_stall, ends_when_the_kernel_has_room_and_keeps_the_order)
{
    UDS_TEST_GUARD;
    int status = -1;
    pid_t child;

    if (geteuid() != 0)
        cr_skip_test("needs root, to become a user of whom nothing else is in flight");
    child = fork();
    if (child == 0)
        _exit(in_flight_child());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}
