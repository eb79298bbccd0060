/* SPDX-License-Identifier: MIT */
/*
 * Dialling: from an address to a connected socket.
 *
 * A path of up to 107 bytes goes into sun_path. A longer one is opened with O_PATH and connected to by its name under
 * /proc/self/fd: connect(2) follows that magic link to the inode. connect(2) on AF_UNIX either ends at once or, when the
 * listener's backlog is full, waits for SO_SNDTIMEO; it is never "in progress".
 */

#include "socket/dial.h"

#include <errno.h>
#include <fcntl.h>

#include <sys/time.h>

#include "cleanup.h"
#include "clock.h"
#include "socket/sockaddr.h"

static int set_send_timeout(int fd, int64_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

/* 0 waits for nothing, -1 for ever. */
static int connect_deadline(int fd, const struct sockaddr_un *sa, socklen_t len, int timeout_ms)
{
    int64_t deadline = timeout_ms > 0 ? (int64_t)udsi_now_ms() + timeout_ms : 0;

    for (;;) {
        if (timeout_ms > 0) {
            int64_t left = deadline - (int64_t)udsi_now_ms();
            if (left <= 0)
                return -ETIMEDOUT;
            int r = set_send_timeout(fd, left);
            if (r < 0)
                return r;
        }
        if (connect(fd, (const struct sockaddr *)sa, len) == 0)
            break;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN && timeout_ms > 0)
            return -ETIMEDOUT;
        return -errno;
    }
    return timeout_ms > 0 ? set_send_timeout(fd, 0) : 0;
}

int udsi_target_open(const struct uds_addr *addr, struct udsi_target *ret)
{
    int r;

    if (addr->kind != UDS_ADDR_PATH && addr->kind != UDS_ADDR_ABSTRACT)
        return -EINVAL;
    ret->file = -1;
    r = udsi_sockaddr_fill(addr, &ret->sa, &ret->len);
    if (r != -ENAMETOOLONG || addr->kind != UDS_ADDR_PATH)
        return r;
    ret->file = open(addr->name, O_PATH | O_CLOEXEC);
    if (ret->file < 0)
        return -errno;
    udsi_sockaddr_fill_fd(ret->file, &ret->sa, &ret->len);
    return 0;
}

void udsi_target_close(struct udsi_target *target)
{
    udsi_close(udsi_take_fd(&target->file));
}

int udsi_target_error(const struct udsi_target *target, int error)
{
    return error == -ENOENT && target->file >= 0 ? -ENAMETOOLONG : error;
}

/* An inherited connection: the duplicate is ours, the number stays the environment's. */
static int adopt(int number)
{
    struct sockaddr_un sa;
    socklen_t len = sizeof(sa);

    if (getpeername(number, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? -errno : fd;
}

int udsi_connect(const struct uds_addr *addr, int timeout_ms)
{
    struct udsi_target target;
    int r;

    if (addr->kind == UDS_ADDR_FD)
        return adopt(addr->fd);

    int flags = SOCK_CLOEXEC | (timeout_ms == 0 ? SOCK_NONBLOCK : 0);
    _cleanup_close_ int fd = socket(AF_UNIX, addr->sock_type | flags, 0);
    if (fd < 0)
        return -errno;
    r = udsi_target_open(addr, &target);
    if (r < 0)
        return r;
    r = udsi_target_error(&target, connect_deadline(fd, &target.sa, target.len, timeout_ms));
    udsi_target_close(&target);
    return r < 0 ? r : udsi_take_fd(&fd);
}
