/* SPDX-License-Identifier: MIT */
/*
 * Closing what came from a stranger. close(2) of the last reference runs the release of whatever it is, in our context,
 * and that may wait: a TCP socket with SO_LINGER and unsent bytes waits as long as its owner has set, hours if he likes
 * (inet_release(), measured: one such descriptor in one message stopped a broker). It need not be the descriptor itself:
 * an AF_UNIX socket takes those with it that lie unread in its queue, and so does a connection of ours.
 *
 *  1. A program that must not be stopped sets a limit (uds_fd_limit_closing()): a timer signal comes while the release
 *     waits, and tcp_close() gives up waiting when a signal is pending. So do the other waits of this kind.
 *  2. Without a limit lingering is switched off first. That is enough for the plain case and no more: whoever shares the
 *     description may switch it on again, and what lies in queues is out of reach; and setsockopt(2) waits for the lock of
 *     the socket, unkillable, which somebody has who sends from memory that does not come (userfaultfd, FUSE; measured).
 *     So it is not for those who have a limit. close(2) takes that lock only where nobody else has the socket any more.
 *
 * What waits uninterruptibly cannot be helped here: the flush of a file on a FUSE file system that its server does not
 * answer (fuse_flush(), FR_FORCE; measured: a broker waits for as long as that server lives, and whether it may read the
 * file does not matter). Nor can it be told without asking that server what file system it is, nor be given to somebody else
 * to close: every copy that is closed flushes. Who is not granted /dev/fuse and user namespaces cannot make one.
 */

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/time.h>

#include <uds/fdset.h>

#include "clock.h"

/* After one closing that was cut short others get less patience for a while: a flood must cost no more than messages do. */
#define SHORT_USEC   5
#define IMPATIENT_MS 100

static uint32_t limit_usec;
static uint64_t impatient_until;
static volatile sig_atomic_t rang;
static volatile sig_atomic_t next_usec; /* until the next signal; 0 = nothing is being closed */

static void ring_in(int usec)
{
    const struct itimerval once = {.it_value = {usec / 1000000, usec % 1000000}};

    (void)setitimer(ITIMER_REAL, &once, NULL);
}

/*
 * Again and again: the first may come before close(2) has got as far as to wait. But later each time: where a signal takes
 * longer than the limit (in a debugger, an emulator) nothing else would ever be done.
 */
static void on_alarm(int signo)
{
    int saved = errno, usec = next_usec;

    (void)signo;
    rang = 1;
    if (usec > 0) {
        next_usec = usec < 500000 ? 2 * usec : usec;
        ring_in(next_usec);
    }
    errno = saved;
}

int uds_fd_limit_closing(uint32_t usec)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

    if (usec >= 1000000)
        return -EINVAL;
    if (usec > 0 && sigaction(SIGALRM, &action, NULL) < 0)
        return -errno;
    limit_usec = usec;
    return 0;
}

static void stop_lingering(int fd, const struct linger *linger)
{
    static const struct linger none;

    if (linger->l_onoff != 0 && linger->l_linger != 0) /* 0 is an abort, which waits for nobody */
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void close_in_time(int fd)
{
    bool impatient = impatient_until != 0 && udsi_now_ms() < impatient_until;

    rang = 0;
    next_usec = impatient ? SHORT_USEC : (sig_atomic_t)limit_usec;
    ring_in(next_usec);
    (void)close(fd);
    next_usec = 0; /* first: a signal from here on is the last */
    ring_in(0);
    if (!impatient)
        impatient_until = rang ? udsi_now_ms() + IMPATIENT_MS : 0;
}

void uds_fd_close(int fd)
{
    struct linger linger = {0};
    socklen_t len = sizeof(linger);
    int saved = errno;

    if (fd < 0)
        return;
    /* Only sockets: setting a timer twice costs a hundred times what closing a file does (measured in a guest: 33 µs). */
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) < 0) {
        (void)close(fd);
    } else if (limit_usec > 0) {
        close_in_time(fd);
    } else {
        stop_lingering(fd, &linger);
        (void)close(fd);
    }
    errno = saved;
}
