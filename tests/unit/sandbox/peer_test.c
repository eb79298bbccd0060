/* SPDX-License-Identifier: MIT */
/* Who has connected, told by a secret, as before Linux 6.5. A socket pair's ends name who made it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "guard.h"
#include "peer.h"

static void make_pair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static int ask(struct sbxi_peer *ret, int fd)
{
    struct sbxi_home home;
    cr_assert_eq(sbxi_peer_find_home(&home), 0);
    return sbxi_peer_ask(ret, fd, &home);
}

static void end(pid_t child)
{
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(peer, that_sends_the_secret_back_is_known)
{
    UDS_TEST_GUARD;
    int ends[2];
    struct sbxi_peer peer;
    char left[32];
    make_pair(ends);
    cr_assert_eq(ask(&peer, ends[0]), 0);
    cr_expect_eq(sbxi_peer_hear(&peer), -EAGAIN, "it takes its time");
    cr_assert_eq(sbxi_peer_answer(ends[1]), 0);
    cr_assert_eq(send(ends[1], "first request", 13, 0), 13);
    cr_expect_eq(sbxi_peer_hear(&peer), 0);
    cr_expect_eq(peer.pidfd, -1, "known from now on");
    struct iovec iov = {left, sizeof left};
    char control[64];
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    cr_expect_eq(recvmsg(ends[0], &message, 0), 13);
    cr_expect_eq(message.msg_controllen, 0, "nothing but descriptors comes with what follows");
    sbxi_peer_close(&peer);
    close(ends[1]);
}

Test(peer, that_says_something_else_is_refused)
{
    UDS_TEST_GUARD;
    int ends[2];
    struct sbxi_peer peer;
    uint64_t wrong[2];
    make_pair(ends);
    cr_assert_eq(ask(&peer, ends[0]), 0);
    cr_assert_eq(recv(ends[1], wrong, sizeof wrong, 0), (ssize_t)sizeof wrong);
    wrong[1] ^= 1;
    cr_assert_eq(send(ends[1], wrong, sizeof wrong, 0), (ssize_t)sizeof wrong);
    cr_expect_eq(sbxi_peer_hear(&peer), -EACCES);
    sbxi_peer_close(&peer);
    close(ends[1]);
}

Test(peer, for_whom_another_process_answers_is_refused)
{
    UDS_TEST_GUARD;
    int ends[2];
    struct sbxi_peer peer;
    make_pair(ends);
    cr_assert_eq(ask(&peer, ends[0]), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(sbxi_peer_answer(ends[1]) < 0);
    end(child);
    cr_expect_eq(sbxi_peer_hear(&peer), -EACCES);
    sbxi_peer_close(&peer);
    close(ends[1]);
}

/* A child that connects, with @answers does what it is asked, and ends; our side of it. */
static int connected_by_child(bool answers, pid_t *ret_child)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sa_family_t);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0, "a name by the kernel");
    length = sizeof address;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    cr_assert_eq(listen(listener, 1), 0);
    *ret_child = fork();
    if (*ret_child == 0) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        _exit(connect(fd, (struct sockaddr *)&address, length) < 0 ||
              (answers && sbxi_peer_answer(fd) < 0));
    }
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(fd, 0);
    close(listener);
    return fd;
}

/* Its number could be anybody's by now. */
Test(peer, that_has_ended_is_refused)
{
    UDS_TEST_GUARD;
    struct sbxi_peer peer;
    pid_t child;
    int fd = connected_by_child(false, &child);
    end(child);
    cr_expect_eq(ask(&peer, fd), -ESRCH);
    close(fd);
}

/* Its number is still its own, which a moment later it need not be. */
Test(peer, that_ends_before_it_is_heard_is_refused)
{
    UDS_TEST_GUARD;
    struct sbxi_peer peer;
    siginfo_t info;
    pid_t child;
    int fd = connected_by_child(true, &child);
    cr_assert_eq(ask(&peer, fd), 0);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(info.si_status, 0, "it has answered");
    cr_expect_eq(sbxi_peer_hear(&peer), -EACCES);
    end(child);
    sbxi_peer_close(&peer);
}

Test(peer, from_another_place_is_refused)
{
    UDS_TEST_GUARD;
    int ends[2];
    struct sbxi_peer peer;
    struct sbxi_home home;
    make_pair(ends);
    cr_assert_eq(sbxi_peer_find_home(&home), 0);
    home.pid_ns++;
    cr_expect_eq(sbxi_peer_ask(&peer, ends[0], &home), -EACCES);
    cr_expect_eq(sbxi_peer_admit(&peer, ends[0], &home), -EACCES);
    close(ends[0]);
    close(ends[1]);
}
