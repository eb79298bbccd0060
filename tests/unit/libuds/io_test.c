/* SPDX-License-Identifier: MIT */

/* The one receive and the one send: every descriptor that the kernel hands over is owned or closed. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "faultsock.h"
#include "guard.h"
#include "nofile.h"
#include "rawpeer.h"
#include "socket/io.h"

static void make_pair(int type, int *a, int *b)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
    *a = pair[0];
    *b = pair[1];
}

static ssize_t receive(int fd, void *buf, size_t len, struct udsi_ancillary *ancillary)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};

    return udsi_recv(fd, &iov, 1, MSG_DONTWAIT, ancillary);
}

static ssize_t send_with(int fd, const int *fds, size_t nfds)
{
    char byte = 'x';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};

    return udsi_send(fd, &iov, 1, fds, nfds);
}

Test(io_recv, takes_every_odd_and_even_count_up_to_253)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    char byte;

    make_pair(SOCK_STREAM, &a, &b);
    for (size_t count = 1; count <= UDS_FDS_MAX; count += count < 10 ? 1 : 81) {
        cr_assert_eq(raw_send(b, "x", 1, 0, count), 1);
        cr_assert_eq(receive(a, &byte, 1, &ancillary), 1);
        cr_assert_eq(ancillary.nfds, count);
        cr_assert_not(ancillary.truncated);
        cr_assert(fcntl(ancillary.fds[count - 1], F_GETFD) & FD_CLOEXEC);
        udsi_ancillary_clear(&ancillary);
    }
}

Test(io_send, accepts_253_descriptors_and_neither_it_nor_the_kernel_takes_254)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    int fds[254] = {0};
    char byte;

    make_pair(SOCK_STREAM, &a, &b);
    cr_assert_eq(send_with(b, fds, 253), 1);
    cr_assert_eq(receive(a, &byte, 1, &ancillary), 1);
    cr_assert_eq(ancillary.nfds, 253);
    udsi_ancillary_clear(&ancillary);
    cr_assert_eq(send_with(b, fds, 254), -E2BIG);
    cr_assert_eq(raw_send(b, "x", 1, 0, 254), -EINVAL, "SCM_MAX_FD is 253");
}

Test(io_recv, closes_all_when_the_kernel_could_not_install_some)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    rlim_t old;
    char byte;

    make_pair(SOCK_STREAM, &a, &b);
    cr_assert_eq(raw_send(b, "x", 1, 0, 10), 1);
    old = nofile_set((rlim_t)b + 4);
    cr_assert_eq(receive(a, &byte, 1, &ancillary), 1, "the byte arrives all the same");
    nofile_set(old);
    cr_assert(ancillary.truncated);
    cr_assert_eq(ancillary.nfds, 0);
}

Test(io_recv, takes_credentials_and_owns_a_pidfd_that_somebody_asked_for)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    int on = 1;
    char byte;

    make_pair(SOCK_STREAM, &a, &b);
    cr_assert_eq(setsockopt(a, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    if (setsockopt(a, SOL_SOCKET, 76 /* SO_PASSPIDFD, 6.5 */, &on, sizeof(on)) < 0)
        cr_skip("this kernel has no SO_PASSPIDFD");
    cr_assert_eq(raw_send(b, "x", 1, 0, 3), 1);
    cr_assert_eq(receive(a, &byte, 1, &ancillary), 1);
    cr_assert_eq(ancillary.nfds, 3);
    cr_assert(ancillary.has_cred);
    cr_assert_eq(ancillary.cred.pid, getpid());
    cr_assert_geq(ancillary.pidfd, 0);
    udsi_ancillary_clear(&ancillary);
    cr_assert_eq(ancillary.pidfd, -1, "clearing twice closes once");
}

Test(io_recv, returns_at_most_one_set_and_glues_bytes_before_it)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    char buf[64];

    make_pair(SOCK_STREAM, &a, &b);
    cr_assert_eq(raw_send(b, "plain", 5, -1, 0), 5);
    cr_assert_eq(raw_send(b, "one", 3, 0, 1), 3);
    cr_assert_eq(raw_send(b, "two", 3, 0, 2), 3);
    /* The kernel facts that conn/recv.c is built on. */
    cr_assert_eq(receive(a, buf, sizeof(buf), &ancillary), 8);
    cr_assert_eq(ancillary.nfds, 1);
    udsi_ancillary_clear(&ancillary);
    cr_assert_eq(receive(a, buf, sizeof(buf), &ancillary), 3);
    cr_assert_eq(ancillary.nfds, 2);
    udsi_ancillary_clear(&ancillary);
}

Test(io_recv, says_again_at_the_end_and_retries_interrupts)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    struct udsi_ancillary ancillary;
    char byte;

    make_pair(SOCK_STREAM, &a, &b);
    cr_assert_eq(receive(a, &byte, 1, &ancillary), -EAGAIN);
    FAULTSOCK({FAULT_RECV, FAULT_ERRNO, EINTR, 3}, {FAULT_SEND, FAULT_ERRNO, EINTR, 3});
    cr_assert_eq(send_with(b, NULL, 0), 1);
    cr_assert_eq(receive(a, &byte, 1, &ancillary), 1);
    cr_assert_eq(faultsock_receives(), 4);
    close(udsi_take_fd(&b));
    cr_assert_eq(receive(a, &byte, 1, &ancillary), 0);
}

Test(io_send, never_raises_a_signal_and_never_blocks)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;
    ssize_t n;

    make_pair(SOCK_STREAM, &a, &b);
    do {
        n = send_with(a, NULL, 0);
    } while (n > 0);
    cr_assert_eq(n, -EAGAIN, "although the socket is in blocking mode");
    close(udsi_take_fd(&b));
    cr_assert_eq(send_with(a, NULL, 0), -EPIPE);
}

Test(io_fd, travels_as_one_byte_on_a_record_socket)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1, got = -1;

    make_pair(SOCK_SEQPACKET, &a, &b);
    cr_assert_eq(udsi_recv_fd(a), -EAGAIN);
    cr_assert_eq(uds_fd_send(b, 0), 0);
    got = udsi_recv_fd(a);
    cr_assert_geq(got, 0);
    cr_assert(fcntl(got, F_GETFD) & FD_CLOEXEC);
}

Test(io_fd, accepts_nothing_but_one_byte_with_one_fd)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;

    make_pair(SOCK_SEQPACKET, &a, &b);
    cr_assert_eq(raw_send(b, "x", 1, -1, 0), 1);
    cr_assert_eq(udsi_recv_fd(a), -EPROTO);
    cr_assert_eq(raw_send(b, "xy", 2, 0, 1), 2);
    cr_assert_eq(udsi_recv_fd(a), -EPROTO);
    cr_assert_eq(raw_send(b, "x", 1, 0, 2), 1);
    cr_assert_eq(udsi_recv_fd(a), -EPROTO);
    close(udsi_take_fd(&b));
    cr_assert_eq(udsi_recv_fd(a), -ECONNRESET);
}

Test(io_peek, tells_the_length_of_the_next_record_and_takes_nothing)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int a = -1, b = -1;

    make_pair(SOCK_SEQPACKET, &a, &b);
    cr_assert_eq(udsi_peek_length(a), -EAGAIN);
    cr_assert_eq(raw_send(b, "12345", 5, 0, 2), 5);
    cr_assert_eq(udsi_peek_length(a), 5);
    cr_assert_eq(udsi_peek_length(a), 5);
}
