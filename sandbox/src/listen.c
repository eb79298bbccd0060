/* SPDX-License-Identifier: MIT */
/*
 * A listening socket for a payload: bound here, where the address is, and served from where there is none. Paths are
 * libuds' business (a stale file is taken over, the mode is in force before the first connect); the cleaner knows of a
 * path, and of the lock beside it, before they exist.
 *
 * A socket belongs to the network namespace of the thread that made it, at that moment, whatever becomes of the thread: so
 * only socket(2) itself is called in another one.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sbx/listen.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <uds/dgram.h>
#include <uds/fdset.h>
#include <uds/listener.h>

#include "cleanup.h"
#include "error.h"
#include "listen-address.h"
#include "listen-seal.h"

struct sbx_listen {
    int fd;                 /* one of the next two owns it, or we do */
    uds_listener *listener; /* a path, of streams or records */
    uds_dgram *dgram;       /* a path, of datagrams */
    char *path, *lock;      /* registered with the cleaner; NULL = not */
    sbx_cleaner *cleaner;
    char *address;
    bool sealed;
};

int sbx_listen_check(const char *address, struct sbx_error *error)
{
    struct sbxi_listen_address parsed;
    return sbxi_listen_parse(address, &parsed, error);
}

int sbx_listen_get_fd(const sbx_listen *listener)
{
    return listener->fd;
}

const char *sbx_listen_get_address(const sbx_listen *listener)
{
    return listener->address;
}

bool sbx_listen_is_sealed(const sbx_listen *listener)
{
    return listener->sealed;
}

static const char *advice(const struct sbxi_listen_address *a, int err)
{
    struct stat st;
    bool path = !a->inet && a->local.kind == UDS_ADDR_PATH;
    switch (err) {
    case EADDRINUSE:
        return path && lstat(a->local.name, &st) == 0 && !S_ISSOCK(st.st_mode)
                   ? "what is there is no socket; remove it or choose another path"
                   : "somebody listens there; stop it (ss -lp names it) or choose another address";
    case EACCES:
    case EPERM:
        return a->netns[0] ? "only who owns that network namespace may enter it; run it as root"
               : a->inet ? "ports below net.ipv4.ip_unprivileged_port_start (1024) are root's; run "
                           "it as root or choose a higher one"
                         : "choose a directory that you may write to";
    case ENOENT:
        return a->netns[0] ? "there is no such network namespace; `ip netns` lists them"
                           : "its directory does not exist; make it or choose another";
    case EADDRNOTAVAIL:
        return "no interface here has that address; use one of `ip address`, or *";
    case EAFNOSUPPORT:
        return "this machine has no IPv6; use an IPv4 address";
    case EINVAL:
        return a->netns[0] ? "that is no network namespace" : "";
    default:
        return "";
    }
}

static int
fail(struct sbx_error *error, const char *text, const struct sbxi_listen_address *a, int err)
{
    const char *knob = advice(a, err);
    return sbxi_error(error, err, "listen: %.300s: %s%s%s", text, strerror(err), *knob ? "; " : "",
                      knob);
}

struct errand {
    const char *netns;
    int family, type, result;
};

static void *run_errand(void *arg)
{
    struct errand *errand = arg;
    _cleanup_close_ int netns = open(errand->netns, O_RDONLY | O_CLOEXEC);
    if (netns >= 0 && setns(netns, CLONE_NEWNET) == 0)
        errand->result = socket(errand->family, errand->type, 0);
    if (errand->result < 0)
        errand->result = -errno;
    return NULL;
}

/* By a thread that does not come back, so that nobody has to. */
static int socket_in(const char *netns, int family, int type)
{
    struct errand errand = {.netns = netns, .family = family, .type = type, .result = -1};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run_errand, &errand);
    if (r != 0)
        return -r;
    pthread_join(thread, NULL);
    return errand.result;
}

static int open_socket(const struct sbxi_listen_address *a, int family)
{
    int type = a->sock_type | SOCK_CLOEXEC;
    if (a->netns[0])
        return socket_in(a->netns, family, type);
    int fd = socket(family, type, 0);
    return fd < 0 ? -errno : fd;
}

/* "*" where the kernel has no IPv6, or no address of it. */
static void fall_back(struct sbxi_listen_address *a)
{
    struct sockaddr_in6 old;
    memcpy(&old, &a->ip, sizeof old);
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_port = old.sin6_port};
    memcpy(&a->ip, &ip, sizeof ip);
    a->ip_length = sizeof ip;
    a->any = false;
}

static in_port_t port_of(const struct sockaddr_storage *name)
{
    struct sockaddr_in ip; /* IPv6's is at the same place */
    memcpy(&ip, name, sizeof ip);
    return ip.sin_port;
}

static int bind_inet(const struct sbxi_listen_address *a, struct sockaddr_storage *ret_name)
{
    const int on = 1, off = 0;
    socklen_t length = sizeof *ret_name;
    _cleanup_close_ int fd = open_socket(a, a->ip.ss_family);
    if (fd < 0)
        return fd;
    if ((a->any && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
        (a->sock_type == SOCK_STREAM &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
        bind(fd, (const struct sockaddr *)&a->ip, a->ip_length) < 0 ||
        getsockname(fd, (struct sockaddr *)ret_name, &length) < 0)
        return -errno;
    return sbxi_take_fd(&fd);
}

/* Sealed before anybody can connect. Some kernels let only root attach a filter. */
static int
listen_inet(sbx_listen *l, const struct sbxi_listen_address *a, const struct sockaddr_storage *name)
{
    if (a->sock_type != SOCK_STREAM)
        return 0;
    int r = sbxi_listen_seal(l->fd, (const struct sockaddr *)name, port_of(name));
    if (r < 0 && r != -EPERM)
        return r;
    l->sealed = r == 0;
    return listen(l->fd, a->backlog ? a->backlog : SOMAXCONN) < 0 ? -errno : 0;
}

static int open_inet(sbx_listen *l, struct sbxi_listen_address *a)
{
    struct sockaddr_storage name = {0};
    l->fd = bind_inet(a, &name);
    if (a->any && (l->fd == -EAFNOSUPPORT || l->fd == -EADDRNOTAVAIL)) {
        fall_back(a);
        l->fd = bind_inet(a, &name);
    }
    int r = l->fd < 0 ? l->fd : listen_inet(l, a, &name);
    if (r < 0)
        return r;
    bool v6 = strchr(a->host, ':') != NULL;
    return asprintf(&l->address, "%s:%s%s%s:%u", a->sock_type == SOCK_DGRAM ? "udp" : "tcp",
                    v6 ? "[" : "", a->host, v6 ? "]" : "", ntohs(port_of(&name))) < 0
               ? -ENOMEM
               : 0;
}

/* Abstract: no file, so none of libuds' care, and a namespace can be named. */
static int open_abstract(sbx_listen *l, const struct sbxi_listen_address *a)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path + 1, a->local.name, a->local.name_len);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + a->local.name_len);
    l->fd = open_socket(a, AF_UNIX);
    if (l->fd < 0)
        return l->fd;
    if (bind(l->fd, (const struct sockaddr *)&name, length) < 0 ||
        (a->sock_type != SOCK_DGRAM && listen(l->fd, a->backlog ? a->backlog : SOMAXCONN) < 0))
        return -errno;
    return 0;
}

/* The cleaner wants absolute names without symbolic links on the way. */
static int register_path(sbx_listen *l, const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    _cleanup_free_ char *real = dir ? realpath(dir, NULL) : NULL;
    if (!real)
        return dir ? -errno : -ENOMEM;
    char *name = NULL, *lock = NULL;
    if (asprintf(&name, "%s%s", real[1] ? real : "", slash) < 0 ||
        asprintf(&lock, "%s.lock", name) < 0) {
        free(name);
        return -ENOMEM;
    }
    int r = sbx_cleaner_add_path(l->cleaner, name);
    if (r == 0)
        l->path = name;
    else
        free(name);
    if (r == 0)
        r = sbx_cleaner_add_path(l->cleaner, lock);
    if (r == 0)
        l->lock = lock;
    else
        free(lock);
    return r;
}

static int open_path(sbx_listen *l, const struct sbxi_listen_address *a)
{
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct uds_dgram_options records = UDS_DGRAM_OPTIONS_INIT;
    int r = l->cleaner ? register_path(l, a->local.name) : 0;
    if (r < 0)
        return r;
    options.mode = records.mode = a->mode;
    options.backlog = a->backlog;
    records.max_fds = UDS_FDS_MAX; /* whether to take any is for the payload to say */
    if (a->sock_type == SOCK_DGRAM) {
        if ((r = uds_dgram_new(&l->dgram, &a->local, &records)) == 0)
            l->fd = uds_dgram_get_fd(l->dgram);
    } else {
        if ((r = uds_listener_new(&l->listener, &a->local, &options)) == 0)
            l->fd = uds_listener_get_fd(l->listener);
    }
    return r;
}

static int open_local(sbx_listen *l, const struct sbxi_listen_address *a)
{
    char text[UDS_ADDR_PATH_MAX + 16];
    int r = a->local.kind == UDS_ADDR_PATH ? open_path(l, a) : open_abstract(l, a);
    if (r < 0)
        return r;
    /* As socket activation has it; who wants another way sets it. */
    int flags = fcntl(l->fd, F_GETFL);
    if (flags < 0 || fcntl(l->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    r = uds_addr_format(&a->local, text, sizeof text);
    if (r == 0 && !(l->address = strdup(text)))
        r = -ENOMEM;
    return r;
}

int sbx_listen_new(sbx_listen **ret,
                   const char *address,
                   sbx_cleaner *cleaner,
                   struct sbx_error *error)
{
    struct sbxi_listen_address parsed;
    int r = sbxi_listen_parse(address, &parsed, error);
    if (r < 0)
        return r;
    sbx_listen *l = calloc(1, sizeof *l);
    if (!l)
        return sbxi_error(error, ENOMEM, "listen: no memory");
    l->fd = -1;
    l->cleaner = cleaner;
    r = parsed.inet ? open_inet(l, &parsed) : open_local(l, &parsed);
    if (r < 0) {
        sbx_listen_free(l);
        return fail(error, address, &parsed, -r);
    }
    *ret = l;
    return 0;
}

sbx_listen *sbx_listen_free(sbx_listen *l)
{
    if (!l)
        return NULL;
    if (l->listener || l->dgram)
        l->fd = -1;
    l->listener = uds_listener_free(l->listener);
    l->dgram = uds_dgram_unref(l->dgram);
    uds_fd_close(l->fd); /* with those who have not been accepted */
    if (l->path)
        (void)sbx_cleaner_remove_path(l->cleaner, l->path);
    if (l->lock)
        (void)sbx_cleaner_remove_path(l->cleaner, l->lock);
    free(l->path);
    free(l->lock);
    free(l->address);
    free(l);
    return NULL;
}
