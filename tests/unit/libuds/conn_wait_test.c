/* SPDX-License-Identifier: MIT */
/* The blocking forms: sends and receives that wait, how long, and what they leave to others. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "faultsock.h"
#include "guard.h"
#include "pair.h"
#include "rawpeer.h"

Test(conn_wait, leaves_a_message_that_nobody_took_without_waking_the_loop_for_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    pair_send(a, 1, 1);
    pair_send(a, 2, 1);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(uds_conn_get_events(b), 0);
    cr_assert_eq(uds_conn_get_timeout(b), -1);
    cr_assert_eq(uds_conn_receive(b, &msg), 1);
    cr_assert_eq(uds_conn_get_events(b), POLLIN);
    cr_assert_eq(uds_conn_get_timeout(b), 0, "our buffer has another");
    cr_assert_eq(uds_conn_process(b), 0);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_get_timeout(b), 0, "now somebody wants it");
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(seen.last_id, 2);
    cr_assert_eq(uds_conn_get_timeout(b), -1);
}

Test(conn_wait, times_out_and_delivers)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 0), -ETIMEDOUT);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 5), -ETIMEDOUT);
    msg = pair_msg(4, 100);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 4);
    a = uds_conn_unref(a);
    cr_assert_eq(uds_conn_receive_wait(b, &got, -1), -ECONNRESET);
    cr_assert_eq(uds_conn_send_wait(b, msg, -1), -ECONNRESET);
}

Test(conn_wait, sends_no_further_than_the_timeout_when_nobody_reads)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 4 << 20), *first = pair_msg(1, 1);

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_conn_send_wait(a, first, 5), -ETIMEDOUT, "no HELLO has come");
    cr_assert_geq(pair_run(b), 0);
    cr_assert_eq(uds_conn_send_wait(a, msg, 5), -ETIMEDOUT);
    cr_assert_gt(uds_conn_get_queued_bytes(a), 0);
    cr_assert_lt(uds_conn_get_queued_bytes(a), 4u << 20);
}

Test(conn_wait, waits_in_the_receive_and_goes_on_after_parts_and_interruptions)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(4, 100), *got = NULL;
    size_t len;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EINTR, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_LIMIT, .value = 10, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_LIMIT, .value = 20, .times = 2});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        /* After a part the socket may be empty: the next receive waits again, and asks nothing before. */
        cr_assert_eq(faultsock_receives(), 5u);
    }
    (void)uds_msg_peek_body(got, &len);
    cr_assert_eq(len, 100u);
    cr_assert(udsi_conn_check(b));
}

Test(conn_wait, tells_what_the_receive_said_that_waited)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(4, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EIO, .times = 1});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), -EIO);
    }
    cr_assert_str_eq(uds_conn_get_error_text(b), "receiving failed: Input/output error");
}

static void
resume(uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    (void)type;
    (void)id;
    (void)payload;
    (void)error;
    (void)arg;
    uds_conn_resume(conn, 1);
}

Test(conn_wait, gives_what_it_has_before_it_waits_in_the_receive_once_a_callback_has_resumed_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *first = NULL, *got = NULL, *refused = pair_msg(9, 1);
    static const struct uds_conn_callbacks callbacks = {.on_refused = resume};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &callbacks, NULL);
    pair_send(a, 1, 100);
    pair_send(a, 2, 100);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &first, 1000), 0);
    uds_conn_pause(b, 1);
    cr_assert_eq(uds_msg_push_dup_fd(refused, 0), 0);
    cr_assert_eq(uds_conn_send(b, refused), 0);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_ERRNO, .value = EPERM, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EIO, .times = 1});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        cr_assert_eq(faultsock_receives(), 0u);
    }
    cr_assert_eq(uds_msg_get_id(got), 2);
}

struct late {
    uds_conn *conn;
    uds_msg *msg;
};

static void *send_late(void *arg)
{
    struct late *late = arg;

    (void)poll(NULL, 0, 50);
    return uds_conn_send_wait(late->conn, late->msg, 1000) == 0 ? arg : NULL;
}

Test(conn_wait, sleeps_though_somebody_who_shares_the_socket_has_made_it_non_blocking)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 100), *got = NULL;
    struct late late;
    pthread_t thread;
    void *sent;

    pair_open(&a, &b, NULL);
    cr_assert_eq(fcntl(uds_conn_get_fd(b), F_SETFL, O_NONBLOCK), 0);
    late = (struct late){.conn = a, .msg = msg};
    cr_assert_eq(pthread_create(&thread, NULL, send_late, &late), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_PASS});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        cr_assert_lt(faultsock_receives(), 20u, "%u receives: it span", faultsock_receives());
    }
    cr_assert_eq(pthread_join(thread, &sent), 0);
    cr_assert_not_null(sent);
}

Test(conn_wait, sleeps_while_the_peer_reads_nothing_though_a_message_came_before)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 4 << 20), *got = NULL;

    pair_open(&a, &b, NULL);
    pair_send(b, 2, 10);
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(uds_conn_receive_wait(a, &got, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_PASS});
        cr_assert_eq(uds_conn_send_wait(a, msg, 100), -ETIMEDOUT);
        cr_assert_lt(faultsock_sends(), 20u, "%u sends: it span", faultsock_sends());
    }
}

static void count_room(uds_conn *conn, void *arg)
{
    cr_assert_eq(uds_conn_get_events(conn), POLLIN | POLLOUT);
    ++*(unsigned *)arg;
}

Test(conn_wait, sends_the_rest_of_a_small_message_of_which_a_part_has_gone)
{
    UDS_TEST_GUARD;
    unsigned rearms = 0;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(7, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    uds_conn_set_loop_hook(a, count_room, &rearms);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_LIMIT, .value = 30, .times = 1},
                  {.call = FAULT_SEND, .what = FAULT_ERRNO, .value = ETOOMANYREFS, .times = 0});
        cr_assert_eq(uds_conn_send_wait(a, msg, 0), -ETIMEDOUT);
        cr_assert(udsi_conn_check(a));
        cr_assert_eq(uds_conn_get_queued_bytes(a), 24u + 100 - 30);
        cr_assert_eq(uds_conn_get_queued_fds(a), 0, "they went with the first byte");
        cr_assert_eq(rearms, 1, "the loop has to wait for room now");
        uds_conn_set_loop_hook(a, NULL, NULL);
    }
    while (uds_conn_flush(a) == 1)
        (void)poll(NULL, 0, uds_conn_get_timeout(a));
    cr_assert(udsi_conn_check(a));
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 7);
    cr_assert_eq(uds_msg_get_fd_count(got), 1);
}

Test(conn_wait, sends_a_small_message_that_the_socket_does_not_take_at_first)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(8, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_ERRNO, .value = ETOOMANYREFS, .times = 2});
        cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
        cr_assert_eq(faultsock_sends(), 3u);
    }
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 8);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
}
