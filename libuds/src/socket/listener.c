/* SPDX-License-Identifier: MIT */
/*
 * A listening socket: non-blocking, CLOEXEC, stream or seqpacket. For a pathname it also owns the socket file (path.c);
 * an abstract name goes with the socket; an adopted fd: keeps its file, which is somebody else's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/listener.h>

#include "cleanup.h"
#include "socket/path.h"
#include "socket/sockaddr.h"
#include "socket/sockopt.h"

struct uds_listener {
    int fd;
    struct udsi_path path;
    pid_t owner; /* whose the socket file is: a child frees its copy only */
};

/* The duplicate shares its description: O_NONBLOCK is in force for the original, too. */
static int adopt(int number)
{
    int domain, listens;
    int r = udsi_sockopt_get(number, SO_DOMAIN, &domain);

    if (r < 0)
        return r;
    if (domain != AF_UNIX)
        return -EAFNOSUPPORT;
    if (udsi_sockopt_get(number, SO_ACCEPTCONN, &listens) < 0 || listens != 1)
        return -EINVAL;

    _cleanup_close_ int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return udsi_take_fd(&fd);
}

static int listen_abstract(int fd, const struct uds_addr *addr, int backlog)
{
    struct sockaddr_un sa;
    socklen_t len;
    int r = udsi_sockaddr_fill(addr, &sa, &len);

    if (r < 0)
        return r;
    if (bind(fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    return listen(fd, backlog > 0 ? backlog : SOMAXCONN) < 0 ? -errno : 0;
}

static int open_socket(const struct uds_addr *addr)
{
    int fd = socket(AF_UNIX, addr->sock_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

static int open_and_listen(const struct uds_addr *addr,
                           const struct uds_listener_options *options,
                           struct udsi_path *path)
{
    const struct udsi_path_options file = {.mode = options->mode,
                                           .owner = options->owner,
                                           .group = options->group,
                                           .backlog = options->backlog};

    if (addr->kind != UDS_ADDR_FD && addr->sock_type != SOCK_STREAM &&
        addr->sock_type != SOCK_SEQPACKET)
        return -EPROTOTYPE;

    _cleanup_close_ int fd = addr->kind == UDS_ADDR_FD ? adopt(addr->fd) : open_socket(addr);
    if (fd < 0)
        return fd;
    /* Before anybody can connect: what is accepted inherits it, and a peer may send before it is accepted. */
    int r = options->refuse_fds ? udsi_sockopt_refuse_fds(fd) : 0;
    if (r < 0 && r != -ENOPROTOOPT)
        return r;
    if (addr->kind == UDS_ADDR_ABSTRACT)
        r = listen_abstract(fd, addr, options->backlog);
    else if (addr->kind == UDS_ADDR_PATH)
        r = udsi_path_bind(fd, addr, &file, path);
    else
        r = 0;
    return r < 0 ? r : udsi_take_fd(&fd);
}

int uds_listener_new(uds_listener **ret,
                     const struct uds_addr *addr,
                     const struct uds_listener_options *options)
{
    static const struct uds_listener_options defaults = UDS_LISTENER_OPTIONS_INIT;

    if (!options)
        options = &defaults;
    if (options->size != sizeof(*options))
        return -EINVAL;

    _cleanup_free_ uds_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return -ENOMEM;
    listener->owner = getpid();
    listener->path.dir_fd = -1;
    listener->fd = open_and_listen(addr, options, &listener->path);
    if (listener->fd < 0)
        return listener->fd;
    *ret = UDSI_TAKE(listener);
    return 0;
}

static uds_listener *release(uds_listener *listener, bool unlink_file)
{
    if (!listener)
        return NULL;
    /* First the file, then the socket: a client that still finds the file shall not be refused by nobody. */
    udsi_path_release(&listener->path, unlink_file);
    uds_fd_close(listener->fd); /* with those who have not been accepted */
    free(listener);
    return NULL;
}

uds_listener *uds_listener_free(uds_listener *listener)
{
    return release(listener, listener && listener->owner == getpid());
}

uds_listener *uds_listener_abandon(uds_listener *listener)
{
    return release(listener, false);
}

int uds_listener_get_fd(const uds_listener *listener)
{
    return listener->fd;
}

int uds_listener_accept(uds_listener *listener)
{
    for (;;) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        if (errno != EINTR && errno != ECONNABORTED)
            return -errno;
    }
}
