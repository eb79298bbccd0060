/* SPDX-License-Identifier: MIT */
/* Closing what came from a stranger waits for nobody. */
#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <uds/fdset.h>

#include "guard.h"
#include "holder.h"

#define LINGER_S 10 /* far longer than any closing may take */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A TCP socket whose last close(2) waits: it lingers, and *@ret_far takes nothing of what is unsent. */
static int lingering(int *ret_far)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct linger linger = {1, LINGER_S};
    static const char bytes[65536];

    cr_assert(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 1) == 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, len), 0);
    *ret_far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(*ret_far, 0);
    close(listener);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return fd;
}

/* An AF_UNIX socket in whose queue @fd lies, which is given up. */
static int wrap(int fd)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_fd_send(pair[0], fd), 0);
    close(fd);
    close(pair[0]);
    return pair[1];
}

Test(fd_close, does_not_wait_for_a_socket_that_lingers)
{
    UDS_TEST_GUARD;
    int far, fd = lingering(&far);
    double before = now();
    uds_fd_close(fd);
    cr_assert_lt(now() - before, LINGER_S / 2);
    close(far);
}

Test(fd_close, waits_no_longer_than_the_limit_for_one_that_lies_in_a_queue)
{
    UDS_TEST_GUARD;
    int far[20];
    cr_assert_eq(uds_fd_limit_closing(1000), 0);
    double before = now();
    for (size_t i = 0; i < 20; i++)
        uds_fd_close(wrap(lingering(&far[i])));
    cr_assert_lt(now() - before, LINGER_S / 2);
    for (size_t i = 0; i < 20; i++)
        close(far[i]);
    cr_assert_eq(uds_fd_limit_closing(0), 0);
}

/* As under strace(1), where each signal takes longer than the broker's limit: the next was there before close(2) was called. */
Test(fd_close, with_a_limit_below_what_a_signal_takes_comes_to_an_end, .timeout = 10)
{
    UDS_TEST_GUARD;
    cr_assert_eq(uds_fd_limit_closing(1), 0);
    for (size_t i = 0; i < 200; i++)
        uds_fd_close(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    cr_assert_eq(uds_fd_limit_closing(0), 0);
}

Test(fd_close, with_a_limit_does_not_wait_for_one_from_which_somebody_sends, .timeout = 10)
{
    UDS_TEST_GUARD;
    struct holder holder;
    int far, fd = lingering(&far);
    static char bytes[65536];

    while (recv(far, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(uds_fd_limit_closing(1000), 0);
    holder_begin(&holder, dup(fd), holder_send);
    uds_fd_close(fd);
    holder_end(&holder);
    close(holder.fd);
    close(far);
    cr_assert_eq(uds_fd_limit_closing(0), 0);
}

Test(fd_close, leaves_errno_and_takes_no_descriptor_for_nothing)
{
    UDS_TEST_GUARD;
    errno = ENOENT;
    uds_fd_close(-1);
    uds_fd_close(dup(0));
    cr_assert_eq(errno, ENOENT);
}

Test(fd_close, refuses_a_limit_that_is_none)
{
    UDS_TEST_GUARD;
    cr_assert_eq(uds_fd_limit_closing(1000000), -EINVAL);
}
