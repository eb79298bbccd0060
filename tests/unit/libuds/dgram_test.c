/* SPDX-License-Identifier: MIT */

/* Datagram sockets: where they are bound, what goes and comes, and how large it may be. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "datagram.h"
#include "guard.h"
#include "socket/kernel.h"

/* ---- going and coming ---- */

Test(dgram, carries_a_message_with_its_head_body_and_fds)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = abstract("a");
    options.max_fds = 3;
    _cleanup_dgram_ uds_dgram *to = bound(&addr, &options), *from = bound(NULL, NULL);
    _cleanup_msg_ uds_msg *msg = pair_msg(7, 10), *got = NULL;
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
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 1);

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
        msgs[i] = pair_msg(i, i);
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
        msgs[i] = pair_msg(i, 1);
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
