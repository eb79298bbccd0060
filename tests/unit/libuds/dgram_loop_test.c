/* SPDX-License-Identifier: MIT */

/* Datagram sockets and loops: what poll must wait for, callbacks, the blocking forms, libevent. */

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/event.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "faultsock.h"
#include "guard.h"

static void dgram_unrefp(uds_dgram **dgram)
{
    (void)uds_dgram_unref(*dgram);
}

#define _cleanup_dgram_ UDSI_CLEANUP(dgram_unrefp)

struct seen {
    unsigned messages, writables, errors, rearms;
    uint64_t last_id;
    bool unref_in_message;
    struct event_base *stop;
};

static void
on_message(uds_dgram *dgram, uds_msg *msg, const struct uds_dgram_sender *sender, void *arg)
{
    struct seen *seen = arg;

    (void)sender;
    seen->messages++;
    seen->last_id = uds_msg_get_id(msg);
    (void)uds_msg_unref(msg);
    if (seen->unref_in_message)
        (void)uds_dgram_unref(dgram);
    if (seen->stop)
        (void)event_base_loopbreak(seen->stop);
}

static void on_writable(uds_dgram *dgram, void *arg)
{
    struct seen *seen = arg;

    (void)dgram;
    seen->writables++;
    if (seen->stop)
        (void)event_base_loopbreak(seen->stop);
}

static void on_error(uds_dgram *dgram, int error, void *arg)
{
    (void)dgram;
    (void)error;
    ((struct seen *)arg)->errors++;
}

static void on_rearm(uds_dgram *dgram, void *arg)
{
    (void)dgram;
    ((struct seen *)arg)->rearms++;
}

static const struct uds_dgram_callbacks callbacks = {.on_message = on_message,
                                                     .on_writable = on_writable,
                                                     .on_error = on_error,
                                                     .on_rearm = on_rearm};

static struct uds_addr abstract(const char *name)
{
    struct uds_addr addr;
    char text[64];

    (void)snprintf(text, sizeof(text), "dgram:@uds-dgram-loop-%d-%s", (int)getpid(), name);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    return addr;
}

static int send_one(uds_dgram *dgram, const struct uds_addr *to, uint64_t id)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, "x", 1), 0);
    return uds_dgram_send(dgram, to, msg);
}

static unsigned fill(uds_dgram *dgram, const struct uds_addr *to)
{
    unsigned n = 0;

    while (send_one(dgram, to, n) == 0)
        n++;
    return n;
}

static void take_all(uds_dgram *dgram)
{
    uds_msg *msg;

    while (uds_dgram_receive(dgram, &msg, NULL) == 1)
        (void)uds_msg_unref(msg);
}

Test(dgram_loop, waits_for_pollout_only_where_poll_knows_the_receivers_queue)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("full");
    _cleanup_dgram_ uds_dgram *server = NULL, *client = NULL;
    struct pollfd pfd = {.events = POLLOUT};

    cr_assert_eq(uds_dgram_new(&server, &addr, NULL), 0);
    cr_assert_eq(uds_dgram_new(&client, NULL, NULL), 0);
    cr_assert_eq(uds_dgram_get_timeout(client), -1);
    cr_assert_gt(fill(client, &addr), 0);
    pfd.fd = uds_dgram_get_fd(client);
    /* The kernel fact that this is about. */
    cr_assert_eq(poll(&pfd, 1, 0), 1, "not connected: always writable");
    cr_assert_eq(uds_dgram_get_events(client), POLLIN);
    cr_assert_leq(uds_dgram_get_timeout(client), 1);
    cr_assert_geq(uds_dgram_get_timeout(client), 0);

    cr_assert_eq(uds_dgram_connect(client, &addr), 0);
    cr_assert_eq(send_one(client, NULL, 1), -EAGAIN);
    cr_assert_eq(poll(&pfd, 1, 0), 0, "connected: it knows");
    cr_assert_eq(uds_dgram_get_events(client), POLLIN | POLLOUT);
    take_all(server);
    cr_assert_eq(poll(&pfd, 1, 1000), 1);
    cr_assert_eq(send_one(client, NULL, 2), 0);
    cr_assert_eq(uds_dgram_get_events(client), POLLIN);
    cr_assert_eq(uds_dgram_get_timeout(client), -1);
}

Test(dgram_loop, tries_later_and_later_up_to_10_ms)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("later");
    _cleanup_dgram_ uds_dgram *server = NULL, *client = NULL;

    cr_assert_eq(uds_dgram_new(&server, &addr, NULL), 0);
    cr_assert_eq(uds_dgram_new(&client, NULL, NULL), 0);
    (void)fill(client, &addr);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(send_one(client, &addr, 1), -EAGAIN);
        cr_assert_leq(uds_dgram_get_timeout(client), 10);
    }
    cr_assert_geq(uds_dgram_get_timeout(client), 5);
    take_all(server);
    cr_assert_eq(send_one(client, &addr, 1), 0);
    cr_assert_eq(uds_dgram_get_timeout(client), -1);
}

Test(dgram_loop, gives_messages_and_stops_at_a_bound)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    struct seen seen = {0};
    unsigned n;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    uds_dgram_set_callbacks(b, &callbacks, &seen);
    n = fill(a, NULL);
    cr_assert_gt(n, 256, "a pair has no bound but SO_SNDBUF: %u", n);
    cr_assert_eq(uds_dgram_process(b), 1);
    cr_assert_eq(seen.messages, 256);
    cr_assert_eq(uds_dgram_get_timeout(b), 0);
    while (uds_dgram_process(b) == 1)
        ;
    cr_assert_eq(seen.messages, n);
    cr_assert_eq(seen.last_id, n - 1);
}

Test(dgram_loop, keeps_messages_for_receive_without_waking_poll_for_them)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    struct seen seen = {0};
    static const struct uds_dgram_callbacks rearm_only = {.on_rearm = on_rearm};

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    uds_dgram_set_callbacks(b, &rearm_only, &seen);
    cr_assert_eq(send_one(a, NULL, 1), 0);
    cr_assert_eq(uds_dgram_process(b), 0);
    cr_assert_eq(uds_dgram_get_events(b), 0);
    cr_assert_eq(uds_dgram_get_timeout(b), -1);
    seen.rearms = 0;
    cr_assert_eq(uds_dgram_receive(b, &msg, NULL), 1);
    cr_assert_eq(seen.rearms, 1);
    cr_assert_eq(uds_dgram_get_events(b), POLLIN);
    /* What a callback can take is given as soon as there is one. */
    cr_assert_eq(send_one(a, NULL, 2), 0);
    cr_assert_eq(uds_dgram_process(b), 0);
    uds_dgram_set_callbacks(b, &callbacks, &seen);
    cr_assert_eq(uds_dgram_get_timeout(b), 0);
    cr_assert_eq(uds_dgram_process(b), 0);
    cr_assert_eq(seen.last_id, 2);
}

Test(dgram_loop, may_be_freed_in_on_message)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL;
    uds_dgram *b = NULL;
    struct seen seen = {.unref_in_message = true};

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    uds_dgram_set_callbacks(b, &callbacks, &seen);
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(send_one(a, NULL, i), 0);
    cr_assert_eq(uds_dgram_process(b), 0);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(send_one(a, NULL, 1), -ECONNREFUSED);
}

Test(dgram_loop, reports_errors_and_goes_on)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    struct seen seen = {0};

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    uds_dgram_set_callbacks(b, &callbacks, &seen);
    cr_assert_eq(send_one(a, NULL, 1), 0);
    {
        FAULTSOCK({FAULT_RECV, FAULT_ERRNO, EINTR, 2}, {FAULT_RECV, FAULT_ERRNO, ECONNRESET, 1});

        cr_assert_eq(uds_dgram_process(b), -ECONNRESET);
    }
    cr_assert_eq(seen.errors, 1);
    cr_assert_eq(uds_dgram_process(b), 0);
    cr_assert_eq(seen.last_id, 1);
}

/* What sendmsg may say, and that it reaches the caller as it is. */
Test(dgram_loop, passes_on_every_error_of_a_send)
{
    UDS_TEST_GUARD;
    static const int errors[] = {EAGAIN,  ECONNREFUSED, EACCES,       EPERM,  EMSGSIZE,
                                 ENOBUFS, ENOMEM,       ETOOMANYREFS, ENOENT, EPROTOTYPE};
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EINTR, 2}, {FAULT_SEND, FAULT_ERRNO, errors[i], 1});

        cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
        cr_assert_eq(send_one(a, NULL, 1), -errors[i]);
        cr_assert(udsi_dgram_check(a));
        if (errors[i] == ETOOMANYREFS || errors[i] == ENOBUFS || errors[i] == ENOMEM)
            cr_assert_geq(uds_dgram_get_timeout(a), 0, "%s", strerror(errors[i]));
        else
            cr_assert_eq(uds_dgram_get_timeout(a), -1, "%s", strerror(errors[i]));
        cr_assert_eq(!!(uds_dgram_get_events(a) & POLLOUT), errors[i] == EAGAIN);
        a = uds_dgram_unref(a);
        b = uds_dgram_unref(b);
    }
}

Test(dgram_wait, times_out_and_delivers)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("wait");
    _cleanup_dgram_ uds_dgram *server = NULL, *client = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    pid_t child;

    cr_assert_eq(uds_dgram_new(&server, &addr, NULL), 0);
    cr_assert_eq(uds_dgram_new(&client, NULL, NULL), 0);
    cr_assert_eq(uds_dgram_receive_wait(server, &got, NULL, 20), -ETIMEDOUT);
    (void)fill(client, &addr);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 99, NULL, 0), 0);
    cr_assert_eq(uds_dgram_send_wait(client, &addr, msg, 20), -ETIMEDOUT);
    /* Connected it waits in poll, not connected it tries again; both end when the receiver has read. */
    for (int connected = 0; connected < 2; connected++) {
        if (connected) {
            (void)fill(client, &addr);
            cr_assert_eq(uds_dgram_connect(client, &addr), 0);
        }
        child = fork();
        if (child == 0)
            _exit(uds_dgram_send_wait(client, connected ? NULL : &addr, msg, 10000) == 0 ? 0 : 1);
        for (uint64_t id = 0; id != 99; id = uds_msg_get_id(got)) {
            got = uds_msg_unref(got);
            cr_assert_eq(uds_dgram_receive_wait(server, &got, NULL, 10000), 0);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
    }
}

/* What is there stays: as if there came garbage without end. */
static int
recvmmsg_again(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout)
{
    return recvmmsg(fd, msgs, count, flags | MSG_PEEK, timeout);
}

Test(dgram_wait, keeps_the_deadline_however_much_garbage_comes, .timeout = 10)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    uds_msg *msg;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    cr_assert_eq(send(uds_dgram_get_fd(a), "garbage", 7, 0), 7);
    udsi_io_hooks.recvmmsg = recvmmsg_again;
    cr_assert_eq(uds_dgram_receive_wait(b, &msg, NULL, 50), -ETIMEDOUT);
    udsi_io_hooks.recvmmsg = recvmmsg;
}

Test(dgram_event, receives_in_a_libevent_loop)
{
    UDS_TEST_GUARD;
    struct event_base *base = event_base_new();
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    struct seen seen = {.stop = base};
    uds_event *event = NULL;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    uds_dgram_set_callbacks(b, &callbacks, &seen);
    cr_assert_eq(uds_event_attach_dgram(&event, b, base), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        cr_assert_eq(send_one(a, NULL, i), 0);
        event_base_dispatch(base);
        cr_assert_eq(seen.last_id, i);
    }
    event = uds_event_detach(event);
    cr_assert_eq(event_base_dispatch(base), 1, "nothing is left in the loop");
    event_base_free(base);
}

Test(dgram_event, tells_when_a_send_is_worth_another_try)
{
    UDS_TEST_GUARD;
    struct event_base *base = event_base_new();
    struct uds_addr addr = abstract("event");
    _cleanup_dgram_ uds_dgram *server = NULL, *client = NULL;
    struct seen seen = {.stop = base};
    uds_event *event = NULL;

    cr_assert_eq(uds_dgram_new(&server, &addr, NULL), 0);
    cr_assert_eq(uds_dgram_new(&client, NULL, NULL), 0);
    uds_dgram_set_callbacks(client, &callbacks, &seen);
    cr_assert_eq(uds_event_attach_dgram(&event, client, base), 0);
    (void)fill(client, &addr);
    event_base_dispatch(base);
    cr_assert_eq(seen.writables, 1, "by the clock");
    cr_assert_eq(uds_dgram_connect(client, &addr), 0);
    cr_assert_eq(send_one(client, NULL, 1), -EAGAIN);
    for (int i = 0; i < 20; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    cr_assert_eq(seen.writables, 1, "not while the queue is full");
    take_all(server);
    event_base_dispatch(base);
    cr_assert_eq(seen.writables, 2, "by poll");
    event = uds_event_detach(event);
    event_base_free(base);
}

/* ---- a callback that ends its socket ---- */

static void end_writable(uds_dgram *dgram, void *arg)
{
    (*(unsigned *)arg)++;
    (void)uds_dgram_unref(dgram);
}

static void end_error(uds_dgram *dgram, int error, void *arg)
{
    (void)error;
    end_writable(dgram, arg);
}

static void
end_message(uds_dgram *dgram, uds_msg *msg, const struct uds_dgram_sender *sender, void *arg)
{
    (void)sender;
    (void)uds_msg_unref(msg);
    end_writable(dgram, arg);
}

static int send_letter(uds_dgram *dgram)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "x", 1), 0);
    return uds_dgram_send(dgram, NULL, msg);
}

Test(dgram_loop, a_callback_may_end_its_socket)
{
    UDS_TEST_GUARD;
    static const struct uds_dgram_callbacks ends[] = {
        {.on_message = end_message}, {.on_writable = end_writable}, {.on_error = end_error}};

    for (int i = 0; i < 3; i++) {
        uds_dgram *ours, *other;
        unsigned ran = 0;

        cr_assert_eq(uds_dgram_pair(&ours, &other, NULL), 0);
        uds_dgram_set_callbacks(ours, &ends[i], &ran);
        cr_assert_eq(send_letter(other), 0);
        cr_assert_eq(send_letter(other), 0);
        if (i == 1) {
            FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EAGAIN, 1});

            cr_assert_eq(send_letter(ours), -EAGAIN);
            (void)uds_dgram_process(ours);
        } else {
            FAULTSOCK({FAULT_RECV, i == 2 ? FAULT_ERRNO : FAULT_PASS, ECONNRESET, 1});

            (void)uds_dgram_process(ours);
        }
        cr_expect_eq(ran, 1, "callback %d", i);
        (void)uds_dgram_unref(other);
    }
}
