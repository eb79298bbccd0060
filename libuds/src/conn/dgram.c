/* SPDX-License-Identifier: MIT */

/*
 * A datagram socket: how it comes to be, what it is bound to, and what a loop has to know. Receiving is dgram-recv.c,
 * sending is dgram-send.c.
 *
 *   new, pair ──▶ bound to a path, a name, nothing; connected or not ──▶ last unref: closed, file unlinked
 *
 * It has no states: no record changes what the next one may be. All options that decide what a record brings (claims, no
 * descriptors) are set before the socket is bound, for from then on records arrive.
 */

#include "conn/dgram.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "socket/dial.h"
#include "socket/sockaddr.h"
#include "socket/sockopt.h"

#define CLAIMS_CRED  ((uint32_t)(UDS_DGRAM_PID | UDS_DGRAM_UID | UDS_DGRAM_GID))
#define CLAIMS_KNOWN (CLAIMS_CRED | (uint32_t)UDS_DGRAM_PIDFD)

static void dgram_unrefp(uds_dgram **dgram)
{
    (void)uds_dgram_unref(*dgram);
}

#define _cleanup_dgram_ UDSI_CLEANUP(dgram_unrefp)

static int check_options(const struct uds_dgram_options *options)
{
    if (options->size != sizeof(*options) || options->max_fds > UDS_FDS_MAX ||
        options->max_body > UINT32_MAX - UDS_HEAD_MAX || (options->claims & ~CLAIMS_KNOWN) != 0)
        return -EINVAL;
    return 0;
}

/* Is @fd a datagram socket of ours? Makes it CLOEXEC. */
static int check_socket(int fd)
{
    int domain = 0, type = 0;
    int r = udsi_sockopt_get(fd, SO_DOMAIN, &domain);

    if (r == 0)
        r = udsi_sockopt_get(fd, SO_TYPE, &type);
    if (r < 0)
        return r;
    if (domain != AF_UNIX)
        return -EAFNOSUPPORT;
    if (type != SOCK_DGRAM)
        return -EPROTOTYPE;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static bool has_peer(int fd)
{
    struct sockaddr_un sa;
    socklen_t len = sizeof(sa);

    return getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
}

/* What records bring. On failure @fd stays the caller's, on success it is the dgram's. */
static int wrap(uds_dgram **ret, int fd, const struct uds_dgram_options *options)
{
    _cleanup_dgram_ uds_dgram *dgram = NULL;
    int r = check_socket(fd);

    if (r == 0)
        r = udsi_sockopt_ask_claims(fd, options->claims & CLAIMS_CRED,
                                    options->claims & UDS_DGRAM_PIDFD);
    if (r == 0 && options->max_fds == 0)
        r = udsi_sockopt_refuse_fds(fd);
    if (r < 0 && r != -ENOPROTOOPT)
        return r;
    dgram = calloc(1, sizeof(*dgram));
    if (!dgram)
        return -ENOMEM;
    dgram->refs = 1;
    dgram->fd = dgram->path.dir_fd = -1;
    dgram->owner = getpid();
    dgram->claims = options->claims;
    dgram->limits.max_body = options->max_body ? options->max_body : UDS_DGRAM_BODY_DEFAULT;
    dgram->limits.max_fds = options->max_fds;
    dgram->drop_text = "";
    r = udsi_inbox_init(&dgram->in, dgram->limits.max_body);
    if (r < 0)
        return r;
    dgram->connected = has_peer(fd);
    dgram->fd = fd;
    *ret = UDSI_TAKE(dgram);
    return 0;
}

/* A sockaddr of the family alone makes the kernel choose a free abstract name of five hexadecimal digits (unix(7)). */
static int bind_anywhere(int fd)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    return bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 ? -errno : 0;
}

static int bind_abstract(int fd, const struct uds_addr *addr)
{
    struct sockaddr_un sa;
    socklen_t len;
    int r = udsi_sockaddr_fill(addr, &sa, &len);

    if (r < 0)
        return r;
    return bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static int
bind_to(uds_dgram *dgram, const struct uds_addr *addr, const struct uds_dgram_options *options)
{
    const struct udsi_path_options file = {
        .mode = options->mode, .owner = options->owner, .group = options->group};
    int r;

    if (!addr)
        return options->autobind ? bind_anywhere(dgram->fd) : 0;
    if (addr->kind == UDS_ADDR_FD)
        return 0;
    r = addr->kind == UDS_ADDR_ABSTRACT ? bind_abstract(dgram->fd, addr)
                                        : udsi_path_bind(dgram->fd, addr, &file, &dgram->path);
    if (r == 0)
        dgram->addr = *addr;
    return r;
}

int uds_dgram_new(uds_dgram **ret,
                  const struct uds_addr *addr,
                  const struct uds_dgram_options *options)
{
    static const struct uds_dgram_options defaults = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *dgram = NULL;
    _cleanup_close_ int fd = -1;
    int r;

    if (!options)
        options = &defaults;
    r = check_options(options);
    if (r < 0)
        return r;
    if (addr && addr->kind != UDS_ADDR_FD && addr->sock_type != SOCK_DGRAM)
        return -EPROTOTYPE;
    if (addr && addr->kind == UDS_ADDR_FD)
        fd = fcntl(addr->fd, F_DUPFD_CLOEXEC, 3);
    else
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = wrap(&dgram, fd, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&fd);
    r = bind_to(dgram, addr, options);
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(dgram);
    return 0;
}

int uds_dgram_pair(uds_dgram **ret_a, uds_dgram **ret_b, const struct uds_dgram_options *options)
{
    static const struct uds_dgram_options defaults = UDS_DGRAM_OPTIONS_INIT;
    _cleanup_dgram_ uds_dgram *a = NULL;
    _cleanup_close_ int left = -1, right = -1;
    int pair[2], r;

    if (!options)
        options = &defaults;
    r = check_options(options);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    left = pair[0];
    right = pair[1];
    r = wrap(&a, left, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&left);
    r = wrap(ret_b, right, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&right);
    *ret_a = UDSI_TAKE(a);
    return 0;
}

uds_dgram *uds_dgram_ref(uds_dgram *dgram)
{
    if (dgram)
        dgram->refs++;
    return dgram;
}

uds_dgram *uds_dgram_unref(uds_dgram *dgram)
{
    if (!dgram || --dgram->refs > 0)
        return NULL;
    /* First the file, then the socket: who still finds the file shall not be refused by nobody. */
    udsi_path_release(&dgram->path, dgram->owner == getpid());
    udsi_close(dgram->fd);
    udsi_inbox_clear(&dgram->in);
    free(dgram);
    return NULL;
}

int uds_dgram_connect(uds_dgram *dgram, const struct uds_addr *to)
{
    struct udsi_target target;
    int r;

    if (!to) {
        struct sockaddr none = {.sa_family = AF_UNSPEC};

        r = connect(dgram->fd, &none, sizeof(none)) < 0 ? -errno : 0;
    } else {
        if (to->kind != UDS_ADDR_FD && to->sock_type != SOCK_DGRAM)
            return -EPROTOTYPE;
        r = udsi_target_open(to, &target);
        if (r < 0)
            return r;
        if (connect(dgram->fd, (struct sockaddr *)&target.sa, target.len) < 0)
            r = udsi_target_error(&target, -errno);
        udsi_target_close(&target);
    }
    if (r < 0)
        return r;
    dgram->connected = to != NULL;
    dgram->wants_pollout = false;
    udsi_dgram_rearm(dgram);
    return 0;
}

void uds_dgram_set_callbacks(uds_dgram *dgram,
                             const struct uds_dgram_callbacks *callbacks,
                             void *arg)
{
    dgram->callbacks = callbacks ? *callbacks : (struct uds_dgram_callbacks){0};
    dgram->arg = arg;
    udsi_dgram_rearm(dgram);
}

void uds_dgram_set_loop_hook(uds_dgram *dgram, void (*hook)(uds_dgram *dgram, void *arg), void *arg)
{
    dgram->loop_hook = hook;
    dgram->loop_arg = arg;
}

void udsi_dgram_rearm(uds_dgram *dgram)
{
    (void)uds_dgram_ref(dgram);
    if (dgram->loop_hook)
        dgram->loop_hook(dgram, dgram->loop_arg);
    if (dgram->callbacks.on_rearm)
        dgram->callbacks.on_rearm(dgram, dgram->arg);
    (void)uds_dgram_unref(dgram);
}

int uds_dgram_get_fd(const uds_dgram *dgram)
{
    return dgram->fd;
}

/* Records that wait for uds_dgram_receive() stop the reading: without a callback there is nobody to give more to. */
static bool wants_input(const uds_dgram *dgram)
{
    return dgram->in.first == dgram->in.end || dgram->callbacks.on_message;
}

short uds_dgram_get_events(const uds_dgram *dgram)
{
    return (short)((wants_input(dgram) ? POLLIN : 0) | (dgram->wants_pollout ? POLLOUT : 0));
}

int uds_dgram_get_timeout(const uds_dgram *dgram)
{
    uint64_t now;

    if (dgram->callbacks.on_message && (dgram->more || dgram->in.first < dgram->in.end))
        return 0;
    if (dgram->retry_at == 0)
        return -1;
    now = udsi_now_ms();
    return dgram->retry_at > now ? (int)(dgram->retry_at - now) : 0;
}

int uds_dgram_get_addr(const uds_dgram *dgram, struct uds_addr *ret)
{
    struct sockaddr_un sa;
    socklen_t len = sizeof(sa);

    if (dgram->addr.kind) {
        *ret = dgram->addr;
        return 0;
    }
    if (getsockname(dgram->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    if (len <= sizeof(sa.sun_family))
        return -ENOENT;
    (void)udsi_sockaddr_read(&sa, len, SOCK_DGRAM, ret);
    return 0;
}

size_t uds_dgram_get_max_size(const uds_dgram *dgram)
{
    unsigned max;

    return udsi_sockopt_get_record_max(dgram->fd, &max) < 0 ? 0 : max;
}

void uds_dgram_get_stats(const uds_dgram *dgram, struct uds_dgram_stats *ret)
{
    *ret = dgram->stats;
}

const char *uds_dgram_get_drop_text(const uds_dgram *dgram)
{
    return dgram->drop_text;
}

bool udsi_dgram_check(const uds_dgram *dgram)
{
    const struct udsi_inbox *in = &dgram->in;

    return dgram->refs > 0 && dgram->fd >= 0 && in->first <= in->end && in->end <= in->nslots &&
           in->nslots > 0 && (in->room || in->first == in->end);
}
