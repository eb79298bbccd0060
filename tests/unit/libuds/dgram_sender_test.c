/* SPDX-License-Identifier: MIT */

/* Datagram sockets and who sends to them: what is dropped, what nobody wants, what a sender can claim. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "datagram.h"
#include "guard.h"
#include "nofile.h"
#include "rawpeer.h"
#include "socket/kernel.h"

/* ---- what is dropped ---- */

/* P-70 */ /* P-71 */ /* P-72 */
Test(dgram_sender, drops_garbage_and_closes_what_came_with_it)
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

Test(dgram_sender, closes_what_nobody_took_of_a_batch)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;

    options.max_fds = 1;
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_PIDFD;
    cr_assert_eq(uds_dgram_pair(&a, &b, &options), 0);
    for (uint64_t i = 0; i < 5; i++) {
        _cleanup_msg_ uds_msg *msg = pair_msg(i, 1);

        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_dgram_send(a, NULL, msg), 0);
    }
    expect_id(b, 0);
}

Test(dgram_sender, delivers_a_message_whose_fds_the_kernel_dropped_with_an_error)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 1), *got = NULL;
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

Test(dgram_sender, has_the_kernel_refuse_fds_that_it_does_not_take)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 1);
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

Test(dgram_sender, closes_and_counts_fds_where_the_kernel_does_not_refuse_them)
{
    UDS_TEST_GUARD;
    _cleanup_dgram_ uds_dgram *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 1);
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

Test(dgram_sender, tells_what_the_sender_claims_to_be)
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

Test(dgram_sender, believes_no_claim_of_a_record_from_before_it_was_asked_for)
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
Test(dgram_sender, is_lied_to_by_a_privileged_sender)
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
