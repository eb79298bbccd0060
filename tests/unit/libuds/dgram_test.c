/* SPDX-License-Identifier: MIT */

/* Datagram sockets: where they are bound, what goes and comes, what is dropped, what a sender can claim. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "faultsock.h"
#include "guard.h"
#include "nofile.h"
#include "rawpeer.h"
#include "socket/kernel.h"

static void dgram_unrefp(uds_dgram **dgram)
{
    (void)uds_dgram_unref(*dgram);
}

#define _cleanup_dgram_  UDSI_CLEANUP(dgram_unrefp)
#define _cleanup_sender_ UDSI_CLEANUP(uds_dgram_sender_clear)

static struct uds_addr parse(const char *text)
{
    struct uds_addr addr;

    cr_assert_eq(uds_addr_parse(text, &addr), 0, "%s", text);
    return addr;
}

static struct uds_addr abstract(const char *name)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "dgram:@uds-dgram-%d-%s", (int)getpid(), name);
    return parse(text);
}

static uds_dgram *bound(const struct uds_addr *addr, const struct uds_dgram_options *options)
{
    uds_dgram *dgram = NULL;
    int r = uds_dgram_new(&dgram, addr, options);

    cr_assert_eq(r, 0, "%s", strerror(-r));
    return dgram;
}

static uds_msg *make(uint64_t id, size_t len)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)('a' + id % 26), len);
    return msg;
}

static int send_one(uds_dgram *dgram, const struct uds_addr *to, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = make(id, len);

    return uds_dgram_send(dgram, to, msg);
}

static void expect_id(uds_dgram *dgram, uint64_t id)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_dgram_receive(dgram, &msg, NULL);

    cr_assert_eq(r, 1, "%d: %s", r, uds_dgram_get_drop_text(dgram));
    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert(udsi_dgram_check(dgram));
}

static void expect_none(uds_dgram *dgram)
{
    uds_msg *msg = NULL;

    cr_assert_eq(uds_dgram_receive(dgram, &msg, NULL), 0);
    cr_assert(udsi_dgram_check(dgram));
}

/* A plain socket that is connected to @addr: what it sends is what the test says. */
static int raw_to(const struct uds_addr *addr)
{
    uds_dgram *dgram = bound(NULL, NULL);
    int fd;

    cr_assert_eq(uds_dgram_connect(dgram, addr), 0);
    fd = fcntl(uds_dgram_get_fd(dgram), F_DUPFD_CLOEXEC, 3);
    cr_assert_geq(fd, 0);
    uds_dgram_unref(dgram);
    return fd;
}

/* ---- going and coming ---- */

Test(dgram, carries_a_message_with_its_head_body_and_fds)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = abstract("a");
    options.max_fds = 3;
    _cleanup_dgram_ uds_dgram *to = bound(&addr, &options), *from = bound(NULL, NULL);
    _cleanup_msg_ uds_msg *msg = make(7, 10), *got = NULL;
    char text[16];
    size_t len;

    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, "a.b"), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    cr_assert_eq(uds_dgram_send(from, &addr, msg), 0);
    cr_assert_eq(uds_dgram_receive(to, &got, NULL), 1);
    cr_assert_eq(uds_msg_get_type(got), UDS_MSG_MESSAGE);
    cr_assert_eq(uds_msg_get_id(got), 7);
    cr_assert_eq(uds_msg_get_string(got, UDS_FIELD_SUBJECT, text, sizeof(text)), 0);
    cr_assert_str_eq(text, "a.b");
    cr_assert_eq(memcmp(uds_msg_peek_body(got, &len), "hhhhhhhhhh", 10), 0);
    cr_assert_eq(len, 10);
    cr_assert_eq(uds_msg_get_fd_count(got), 3);
    cr_assert(fcntl(uds_msg_peek_fd(got, 2), F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(uds_msg_add_u32(msg, 3, 1), -EBUSY, "sent: immutable");
    expect_none(to);
}

Test(dgram, pair_sends_both_ways_without_names)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    struct uds_addr addr;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_dgram_get_addr(a, &addr), -ENOENT);
    cr_assert_eq(send_one(a, NULL, 1, 0), 0);
    cr_assert_eq(send_one(b, NULL, 2, 100), 0);
    expect_id(a, 2);
    expect_id(b, 1);
}

Test(dgram, answers_the_sender_of_a_message)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = abstract("server"), own;
    options.autobind = true;
    _cleanup_dgram_ uds_dgram *server = bound(&addr, NULL), *client = bound(NULL, &options);
    _cleanup_sender_ struct uds_dgram_sender sender = {.claim.claimed_pidfd = -1};
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_dgram_get_addr(client, &own), 0, "the kernel chose a name");
    cr_assert_eq(own.kind, UDS_ADDR_ABSTRACT);
    cr_assert_eq(own.name_len, 5);
    cr_assert_eq(send_one(client, &addr, 1, 5), 0);
    cr_assert_eq(uds_dgram_receive(server, &msg, &sender), 1);
    cr_assert_eq(sender.addr.kind, UDS_ADDR_ABSTRACT);
    cr_assert_eq(sender.addr.name_len, own.name_len);
    cr_assert_eq(memcmp(sender.addr.name, own.name, own.name_len), 0);
    cr_assert_eq(sender.claim.claimed, 0, "not asked for");
    cr_assert_eq(uds_dgram_reply(server, &sender, msg), 0, "a received message can be sent on");
    expect_id(client, 1);
}

Test(dgram, answers_nobody_without_a_name_but_a_peer)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("server");
    _cleanup_dgram_ uds_dgram *server = bound(&addr, NULL), *client = bound(NULL, NULL);
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *other = NULL;
    struct uds_dgram_sender sender;

    cr_assert_eq(send_one(client, &addr, 1, 5), 0);
    cr_assert_eq(uds_dgram_receive(server, &msg, &sender), 1);
    cr_assert_eq((int)sender.addr.kind, 0);
    cr_assert_eq(uds_dgram_reply(server, &sender, msg), -EDESTADDRREQ);
    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    cr_assert_eq(send_one(a, NULL, 1, 5), 0);
    cr_assert_eq(uds_dgram_receive(b, &other, &sender), 1);
    cr_assert_eq(uds_dgram_reply(b, &sender, other), 0);
    expect_id(a, 1);
}

/* P-74 */
Test(dgram, answers_no_name_that_means_something_else_here)
{
    UDS_TEST_GUARD;
    static const char *const names[] = {"dgram:./s", "dgram:/proc/self/fd/3/s",
                                        "dgram:/tmp/../proc/self/fd/3/s", "dgram://proc/1/s"};
    _cleanup_dgram_ uds_dgram *dgram = bound(NULL, NULL);
    _cleanup_msg_ uds_msg *msg = make(1, 1);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct uds_dgram_sender sender = {.addr = parse(names[i])};

        cr_expect_eq(uds_dgram_reply(dgram, &sender, msg), -EDESTADDRREQ, "%s", names[i]);
    }
}

Test(dgram, connects_forgets_and_connects_again)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("log");
    _cleanup_dgram_ uds_dgram *client = bound(NULL, NULL), *server = NULL;

    cr_assert_eq(send_one(client, NULL, 1, 1), -ENOTCONN);
    cr_assert_eq(uds_dgram_connect(client, &addr), -ECONNREFUSED);
    server = bound(&addr, NULL);
    cr_assert_eq(uds_dgram_connect(client, &addr), 0);
    cr_assert_eq(send_one(client, NULL, 2, 1), 0);
    expect_id(server, 2);
    server = uds_dgram_unref(server);
    cr_assert_eq(send_one(client, NULL, 3, 1), -ECONNREFUSED, "it is gone");
    cr_assert_eq(send_one(client, NULL, 3, 1), -ENOTCONN, "and forgotten");
    server = bound(&addr, NULL);
    cr_assert_eq(uds_dgram_connect(client, &addr), 0);
    cr_assert_eq(send_one(client, NULL, 4, 1), 0);
    expect_id(server, 4);
    cr_assert_eq(uds_dgram_connect(client, NULL), 0);
    cr_assert_eq(send_one(client, NULL, 5, 1), -ENOTCONN);
}

Test(dgram, sends_many_with_one_system_call_and_receives_them_so)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    uds_msg *msgs[40];

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    for (uint64_t i = 0; i < 40; i++)
        msgs[i] = make(i, i);
    cr_assert_eq(uds_dgram_send_many(a, NULL, msgs, 40), 40);
    expect_id(b, 0);
    cr_assert_gt(b->in.end, 8, "%u came with one call", b->in.end);
    for (uint64_t i = 1; i < 40; i++)
        expect_id(b, i);
    expect_none(b);
    for (size_t i = 0; i < 40; i++)
        uds_msg_unref(msgs[i]);
}

Test(dgram, says_how_many_of_many_the_receiver_takes)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("slow");
    _cleanup_dgram_ uds_dgram *server = bound(&addr, NULL), *client = bound(NULL, NULL);
    uds_msg *msgs[30];
    int sent;

    for (uint64_t i = 0; i < 30; i++)
        msgs[i] = make(i, 1);
    sent = uds_dgram_send_many(client, &addr, msgs, 30);
    cr_assert_gt(sent, 0);
    cr_assert_lt(sent, 30, "max_dgram_qlen is over 29 here");
    cr_assert_eq(uds_dgram_send_many(client, &addr, msgs + sent, 30 - (size_t)sent), -EAGAIN);
    for (int i = 0; i < sent; i++)
        expect_id(server, (uint64_t)i);
    cr_assert_eq(uds_dgram_send(client, &addr, msgs[sent]), 0);
    expect_id(server, (uint64_t)sent);
    for (size_t i = 0; i < 30; i++)
        uds_msg_unref(msgs[i]);
}

/* ---- limits ---- */

Test(dgram, tells_the_largest_record_and_sends_it)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    size_t max;
    int bytes = 20000;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    cr_assert_eq(setsockopt(uds_dgram_get_fd(a), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    max = uds_dgram_get_max_size(a);
    cr_assert_eq(max, 40000 - 32, "the kernel doubles what it is given");
    cr_assert_eq(send_one(a, NULL, 1, max - 24 + 1), -EMSGSIZE);
    cr_assert_eq(send_one(a, NULL, 2, max - 24), 0);
    expect_id(b, 2);
}

Test(dgram, drops_what_is_over_its_limits_and_goes_on)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    struct uds_dgram_stats stats;

    options.max_body = 100;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    cr_assert_eq(send_one(a, NULL, 1, 101), 0, "nobody told the sender");
    cr_assert_eq(send_one(a, NULL, 2, 100), 0);
    cr_assert_eq(send_one(a, NULL, 3, 50000), 0);
    expect_id(b, 2);
    expect_none(b);
    uds_dgram_get_stats(b, &stats);
    cr_assert_eq(stats.received, 1);
    cr_assert_eq(stats.dropped, 2);
    cr_assert(strstr(uds_dgram_get_drop_text(b), "P-7:"), "%s", uds_dgram_get_drop_text(b));
}

Test(dgram, asks_for_the_length_first_when_its_limits_are_huge)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;

    options.max_body = UINT32_MAX - UDS_HEAD_MAX;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(send_one(a, NULL, i, (size_t)i * 20000), 0);
    for (uint64_t i = 0; i < 3; i++)
        expect_id(b, i);
    expect_none(b);
}

Test(dgram, gives_the_room_back_that_large_records_took)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    cr_assert_eq(send_one(a, NULL, 1, 100), 0);
    expect_id(b, 1);
    expect_none(b);
    cr_assert_not_null(b->in.room, "small ones keep it");
    cr_assert_eq(send_one(a, NULL, 2, 100000), 0);
    expect_id(b, 2);
    expect_none(b);
    cr_assert_null(b->in.room);
}

Test(dgram, refuses_options_out_of_range_and_sockets_of_another_kind)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr stream = parse("unix:@uds-no"), fd;
    uds_dgram *dgram = NULL;
    int pair[2];
    char text[16];

    options.max_fds = UDS_FDS_MAX + 1;
    cr_assert_eq(uds_dgram_new(&dgram, NULL, &options), -EINVAL);
    options = (struct uds_dgram_options)UDS_DGRAM_OPTIONS_INIT;
    options.claims = 1u << 20;
    cr_assert_eq(uds_dgram_new(&dgram, NULL, &options), -EINVAL);
    options.size = 1;
    cr_assert_eq(uds_dgram_pair(&dgram, &dgram, &options), -EINVAL);
    cr_assert_eq(uds_dgram_new(&dgram, &stream, NULL), -EPROTOTYPE);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(text, sizeof(text), "fd:%d", pair[0]);
    fd = parse(text);
    cr_assert_eq(uds_dgram_new(&dgram, &fd, NULL), -EPROTOTYPE);
    close(pair[0]);
    close(pair[1]);
    cr_assert_eq(uds_dgram_new(&dgram, &fd, NULL), -EBADF);
    cr_assert_null(dgram);
}

Test(dgram, adopts_a_duplicate_of_an_inherited_socket)
{
    UDS_TEST_GUARD;
    struct uds_addr addr = abstract("inherited"), fd, own;
    _cleanup_dgram_ uds_dgram *first = bound(&addr, NULL), *client = bound(NULL, NULL);
    _cleanup_dgram_ uds_dgram *second = NULL;
    char text[16];

    (void)snprintf(text, sizeof(text), "fd:%d", uds_dgram_get_fd(first));
    fd = parse(text);
    cr_assert_eq(send_one(client, &addr, 1, 1), 0);
    second = bound(&fd, NULL);
    first = uds_dgram_unref(first);
    cr_assert_eq(uds_dgram_get_addr(second, &own), 0);
    cr_assert_str_eq(own.name, addr.name);
    expect_id(second, 1);
}

/* ---- what is dropped ---- */

/* P-70 */ /* P-71 */ /* P-72 */
Test(dgram, drops_garbage_and_closes_what_came_with_it)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = abstract("public");
    options.max_fds = 4;
    _cleanup_dgram_ uds_dgram *server = bound(&addr, &options);
    _cleanup_close_ int raw = raw_to(&addr);
    struct uds_dgram_stats stats;
    uint8_t bytes[100];
    size_t len = raw_encode(&(struct raw_frame){.id = 5}, bytes);
    static const struct {
        size_t len, claimed, nfds;
        uint8_t type;
        const char *rule;
    } bad[] = {
        {0, 0, 0, 8, "P-70"},  {0, 0, 2, 8, "P-70"},  {1, 0, 0, 8, "P-70"},  {23, 1, 1, 8, "P-70"},
        {25, 0, 0, 8, "P-70"}, {24, 0, 0, 1, "P-71"}, {24, 0, 0, 2, "P-71"}, {24, 0, 0, 3, "P-5"},
        {24, 0, 1, 8, "P-11"}, {24, 2, 1, 8, "P-10"}, {24, 1, 0, 8, "P-10"}, {24, 5, 5, 8, "P-8"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(bytes, 0, sizeof(bytes));
        (void)raw_encode(
            &(struct raw_frame){.type = bad[i].type, .claimed_fds = (uint16_t)bad[i].claimed},
            bytes);
        cr_assert_eq(raw_send(raw, bytes, bad[i].len, 0, bad[i].nfds), (ssize_t)bad[i].len);
        expect_none(server);
        cr_assert(strstr(uds_dgram_get_drop_text(server), bad[i].rule), "%zu: %s is not %s", i,
                  uds_dgram_get_drop_text(server), bad[i].rule);
    }
    (void)raw_encode(&(struct raw_frame){.id = 5}, bytes);
    cr_assert_eq(raw_send(raw, bytes, len, -1, 0), (ssize_t)len);
    expect_id(server, 5);
    uds_dgram_get_stats(server, &stats);
    cr_assert_eq(stats.dropped, sizeof(bad) / sizeof(bad[0]));
    cr_assert_eq(stats.refused_fds, 1 + 1 + 1 + 5,
                 "an empty record's are closed before they are seen");
}

Test(dgram, closes_what_nobody_took_of_a_batch)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;

    options.max_fds = 1;
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_PIDFD;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    for (uint64_t i = 0; i < 5; i++) {
        _cleanup_msg_ uds_msg *msg = make(i, 1);

        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_dgram_send(a, NULL, msg), 0);
    }
    expect_id(b, 0);
}

Test(dgram, delivers_a_message_whose_fds_the_kernel_dropped_with_an_error)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = make(1, 1), *got = NULL;
    rlim_t old;

    options.max_fds = 9;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    cr_assert_eq(uds_dgram_send(a, NULL, msg), 0);
    old = nofile_set((rlim_t)uds_msg_peek_fd(msg, 8) + 4);
    cr_assert_eq(uds_dgram_receive(b, &got, NULL), 1);
    nofile_set(old);
    cr_assert_eq(uds_msg_get_error(got), -EMFILE);
    cr_assert_eq(uds_msg_get_fd_count(got), 0);
}

/* ---- descriptors that nobody wants ---- */

Test(dgram, has_the_kernel_refuse_fds_that_it_does_not_take)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = make(1, 1);
    int value;
    socklen_t len = sizeof(value);

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    if (getsockopt(uds_dgram_get_fd(b), SOL_SOCKET, SO_PASSRIGHTS, &value, &len) < 0)
        cr_skip_test("this kernel has no SO_PASSRIGHTS");
    cr_assert_eq(value, 0);
    cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    cr_assert_eq(uds_dgram_send(a, NULL, msg), -EPERM);
    cr_assert_eq(uds_msg_peek_fd(msg, 0) >= 0, true, "it stays the message's");
    cr_assert_eq(send_one(a, NULL, 2, 1), 0);
    expect_id(b, 2);
}

Test(dgram, closes_and_counts_fds_where_the_kernel_does_not_refuse_them)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = make(1, 1);
    struct uds_dgram_stats stats;
    int on = 1;

    cr_assert_eq(uds_dgram_pair(&a, &b, NULL), 0);
    /* As before 6.16; or as a peer does that holds the same socket. */
    (void)setsockopt(uds_dgram_get_fd(b), SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    cr_assert_eq(uds_dgram_send(a, NULL, msg), 0);
    expect_none(b);
    uds_dgram_get_stats(b, &stats);
    cr_assert_eq(stats.refused_fds, 3);
    cr_assert_eq(stats.dropped, 1);
    cr_assert(strstr(uds_dgram_get_drop_text(b), "P-8:"));
}

/* ---- claims ---- */

Test(dgram, tells_what_the_sender_claims_to_be)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = abstract("log");
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_UID | UDS_DGRAM_PIDFD;
    _cleanup_dgram_ uds_dgram *server = bound(&addr, &options), *client = bound(NULL, NULL);
    _cleanup_sender_ struct uds_dgram_sender sender = {.claim.claimed_pidfd = -1};
    _cleanup_msg_ uds_msg *msg = NULL;
    struct pollfd pfd = {.events = POLLIN};

    cr_assert_eq(send_one(client, &addr, 1, 1), 0);
    cr_assert_eq(uds_dgram_receive(server, &msg, &sender), 1);
    cr_assert(sender.claim.claimed & UDS_DGRAM_PID);
    cr_assert_eq(sender.claim.claimed_pid, getpid());
    cr_assert_eq(sender.claim.claimed_uid, geteuid());
    cr_assert_not(sender.claim.claimed & UDS_DGRAM_GID, "not asked for");
    if (!(sender.claim.claimed & UDS_DGRAM_PIDFD))
        cr_skip_test("this kernel has no SO_PASSPIDFD");
    pfd.fd = sender.claim.claimed_pidfd;
    cr_assert_eq(poll(&pfd, 1, 0), 0, "a pidfd of a process that lives: us");
}

Test(dgram, believes_no_claim_of_a_record_from_before_it_was_asked_for)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_close_ int a = -1, b = -1;
    _cleanup_dgram_ uds_dgram *dgram = NULL;
    _cleanup_sender_ struct uds_dgram_sender sender = {.claim.claimed_pidfd = -1};
    _cleanup_msg_ uds_msg *msg = NULL;
    struct uds_addr fd;
    int pair[2];
    char text[16];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    a = pair[0];
    b = pair[1];
    cr_assert_eq(raw_send_frame(a, &(struct raw_frame){.id = 1}, -1, 0), 24);
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_UID | UDS_DGRAM_GID | UDS_DGRAM_PIDFD;
    (void)snprintf(text, sizeof(text), "fd:%d", b);
    fd = parse(text);
    dgram = bound(&fd, &options);
    cr_assert_eq(uds_dgram_receive(dgram, &msg, &sender), 1);
    cr_assert_eq(sender.claim.claimed, 0, "pid %d uid %u", (int)sender.claim.claimed_pid,
                 sender.claim.claimed_uid);
}

/* P-73 */
Test(dgram, is_lied_to_by_a_privileged_sender)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_sender_ struct uds_dgram_sender sender = {.claim.claimed_pidfd = -1};
    _cleanup_msg_ uds_msg *got = NULL;
    uint8_t bytes[32];
    struct iovec iov = {.iov_base = bytes,
                        .iov_len = raw_encode(&(struct raw_frame){.id = 1}, bytes)};
    struct ucred lie = {.pid = 1, .uid = 4242, .gid = 4343};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(lie))];
    } control = {.bytes = {0}};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};

    if (geteuid() != 0)
        cr_skip_test("needs root");
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_CREDENTIALS;
    control.align.cmsg_len = CMSG_LEN(sizeof(lie));
    memcpy(CMSG_DATA(&control.align), &lie, sizeof(lie));
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_UID | UDS_DGRAM_GID;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    cr_assert_eq(sendmsg(uds_dgram_get_fd(a), &msg, MSG_DONTWAIT), 24);
    cr_assert_eq(uds_dgram_receive(b, &got, &sender), 1);
    cr_assert_eq(sender.claim.claimed_pid, 1);
    cr_assert_eq(sender.claim.claimed_uid, 4242);
    cr_assert_eq(sender.claim.claimed_gid, 4343);
}
