/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of an admin connection. A rootless sandbox has its launcher's uid, so it is told by its
 * namespaces, which are read through a pidfd.
 *
 * Without SO_PEERPIDFD: a pidfd for the number in SO_PEERCRED, whoever that is by now; then a secret goes out, and comes back
 * with the number of who sent it (SCM_CREDENTIALS). If that is the same one, and the process that we hold still runs, the
 * number was its alone from before the secret was known until after it was sent: it is at the other end, or has somebody
 * there whom it trusts with the connection. From inside a pid namespace no number outside of it can be claimed.
 */

#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <uds/cred.h>

#include "cleanup.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum {
    PLACE = UDS_CRED_NS_OF(UDS_NS_USER) | UDS_CRED_NS_OF(UDS_NS_PID)
};

int sbxi_peer_find_home(struct sbxi_home *ret)
{
    struct stat user, pid;
    if (stat("/proc/self/ns/user", &user) < 0 || stat("/proc/self/ns/pid", &pid) < 0)
        return -errno;
    *ret = (struct sbxi_home){.user_ns = user.st_ino, .pid_ns = pid.st_ino};
    return 0;
}

static bool lives_at(const struct uds_cred *cred, const struct sbxi_home *home)
{
    return (cred->known & PLACE) == PLACE && cred->ns[UDS_NS_USER] == home->user_ns &&
           cred->ns[UDS_NS_PID] == home->pid_ns;
}

/* Does the socket name its peer? It is one kernel on both sides, so both find the same. */
static bool is_named(int fd)
{
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    bool unknown =
        getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0 && errno == ENOPROTOOPT;
    sbxi_closep(&pidfd);
    return !unknown;
}

int sbxi_peer_admit(struct sbxi_peer *ret, int fd, const struct sbxi_home *home)
{
    struct uds_cred cred;
    if (!is_named(fd))
        return sbxi_peer_ask(ret, fd, home);
    int r = uds_cred_from_socket(fd, PLACE, &cred);
    if (r < 0)
        return r;
    bool ours = cred.known & UDS_CRED_UID && cred.uid == geteuid() && lives_at(&cred, home);
    uds_cred_clear(&cred);
    if (!ours)
        return -EACCES;
    *ret = (struct sbxi_peer){.fd = fd, .pidfd = -1};
    return 0;
}

int sbxi_peer_ask(struct sbxi_peer *ret, int fd, const struct sbxi_home *home)
{
    struct sbxi_peer peer = {.fd = fd};
    struct ucred who;
    struct uds_cred cred;
    socklen_t length = sizeof who;
    const int on = 1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
        return -errno;
    if (who.uid != geteuid() || who.pid <= 0)
        return -EACCES;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
    if (pidfd < 0)
        return -errno;
    int r = uds_cred_from_pidfd(pidfd, PLACE, &cred);
    if (r < 0)
        return r;
    bool ours = lives_at(&cred, home);
    uds_cred_clear(&cred);
    if (!ours)
        return -EACCES;
    if (getrandom(peer.secret, sizeof peer.secret, 0) != (ssize_t)sizeof peer.secret)
        return -EIO;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        send(fd, peer.secret, sizeof peer.secret, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -errno;
    peer.pid = who.pid;
    peer.pidfd = sbxi_take_fd(&pidfd);
    *ret = peer;
    return 0;
}

static bool is_running(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

static bool is_from(const struct msghdr *message, int pid)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    struct ucred who;
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_CREDENTIALS ||
        cmsg->cmsg_len != CMSG_LEN(sizeof who))
        return false;
    memcpy(&who, CMSG_DATA(cmsg), sizeof who);
    return who.pid == pid;
}

int sbxi_peer_hear(struct sbxi_peer *peer)
{
    uint64_t said[2];
    const int off = 0;
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = {said, sizeof said};
    /* Room for credentials alone: descriptors that come with them are closed by the kernel, and it says so. */
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = space,
                             .msg_controllen = CMSG_LEN(sizeof(struct ucred))};
    ssize_t n = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n != (ssize_t)sizeof said || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
        memcmp(said, peer->secret, sizeof said) != 0 || !is_from(&message, peer->pid) ||
        !is_running(peer->pidfd))
        return -EACCES;
    if (setsockopt(peer->fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof off) < 0)
        return -errno;
    sbxi_closep(&peer->pidfd);
    return 0;
}

void sbxi_peer_close(struct sbxi_peer *peer)
{
    sbxi_closep(&peer->pidfd);
    sbxi_closep(&peer->fd);
}

int sbxi_peer_prove(int fd)
{
    return is_named(fd) ? 0 : sbxi_peer_answer(fd);
}

int sbxi_peer_answer(int fd)
{
    uint64_t secret[2];
    ssize_t n;
    do
        n = recv(fd, secret, sizeof secret, 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof secret)
        return n < 0 && errno == EAGAIN ? -ETIMEDOUT : -EACCES;
    return send(fd, secret, sizeof secret, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
