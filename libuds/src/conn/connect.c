/* SPDX-License-Identifier: MIT */

/* How connections come about: of a socket, by an address, or two at once; and who is at the other end. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "socket/dial.h"
#include "socket/sockopt.h"

#define QUEUE_BYTES   (32u << 20)
#define QUEUE_FDS     1024
#define HEARTBEAT_MAX (24u * 3600 * 1000)

static int check_options(const struct uds_conn_options *options)
{
    if (options->ring_bytes != 0 && !udsi_ring_size_is_valid(options->ring_bytes))
        return -EINVAL;
    if (options->size != sizeof(*options) || options->max_fds > UDS_FDS_MAX ||
        options->max_body > UINT32_MAX - UDS_HEAD_MAX || options->heartbeat_ms > HEARTBEAT_MAX ||
        options->max_stall_ms > INT32_MAX ||
        (unsigned)options->body_path > UDS_BODY_PATH_IN_FRAMES ||
        (options->high_water != 0 && options->low_water > options->high_water))
        return -EINVAL;
    return 0;
}

/* Is @fd a socket that we can speak on? Writes the largest record of a SEQPACKET one, 0 for a stream. */
static int check_socket(int fd, size_t *ret_record_max)
{
    int domain = 0, type = 0, flags, r;
    unsigned record_max = 0;

    r = udsi_sockopt_get(fd, SO_DOMAIN, &domain);
    if (r == 0)
        r = udsi_sockopt_get(fd, SO_TYPE, &type);
    if (r == 0)
        r = udsi_sockopt_get_record_max(fd, &record_max);
    if (r < 0)
        return r;
    if (domain != AF_UNIX)
        return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
        return -EPROTOTYPE;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    *ret_record_max = type == SOCK_SEQPACKET ? record_max : 0;
    return 0;
}

/*
 * How many fds we accept, so that HELLO and the kernel say the same. Who wants none has the kernel refuse them, where it
 * can; where it refuses already, because of the listener or of whoever made the socket, we do not undo that.
 */
static uint32_t settle_max_fds(int fd, uint32_t wanted)
{
    if (wanted > 0)
        return udsi_sockopt_refuses_fds(fd) ? 0 : wanted;
    (void)udsi_sockopt_refuse_fds(
        fd); /* otherwise what comes is closed, counted, and against P-8 */
    return 0;
}

int uds_conn_new(uds_conn **ret, int fd, const struct uds_conn_options *options)
{
    static const struct uds_conn_options defaults = UDS_CONN_OPTIONS_INIT;
    size_t record_max = 0;
    uds_conn *conn;
    int r;

    if (!options)
        options = &defaults;
    r = check_options(options);
    if (r == 0)
        r = check_socket(fd, &record_max);
    if (r < 0)
        return r;
    if (record_max > 0 && options->ring_bytes != 0)
        return -EPROTOTYPE;
    conn = calloc(1, sizeof(*conn));
    if (!conn)
        return -ENOMEM;
    conn->refs = 1;
    conn->fd = fd;
    conn->record_max = record_max;
    conn->out.records = conn->in.records = record_max > 0;
    conn->in.limits.max_body = options->max_body ? options->max_body : UDS_BODY_DEFAULT;
    conn->in.limits.max_fds = settle_max_fds(fd, options->max_fds);
    conn->max_stall_ms = options->max_stall_ms;
    conn->max_bytes = options->send_queue_bytes ? options->send_queue_bytes : QUEUE_BYTES;
    conn->max_fds_queued = options->send_queue_fds ? options->send_queue_fds : QUEUE_FDS;
    conn->high_water = options->high_water ? options->high_water : conn->max_bytes / 2;
    conn->low_water = options->low_water ? options->low_water : conn->max_bytes / 8;
    if (conn->low_water > conn->high_water)
        conn->low_water = conn->high_water;
    conn->beat.interval_ms = options->heartbeat_ms;
    conn->arena_bytes = options->arena_bytes;
    conn->body_path = options->body_path;
    conn->features = UDS_FEATURE_HEARTBEAT | UDS_FEATURE_FINISH | UDS_FEATURE_STREAMING |
                     (options->arena_bytes > 0 ? UDS_FEATURE_ARENA : 0);
    conn->ring_bytes = options->ring_bytes;
    conn->ring_propose = options->ring_bytes != 0 && options->ring_propose;
    if (options->ring_bytes != 0)
        conn->features |= UDS_FEATURE_RING;
    udsi_hello_make(conn);
    *ret = conn;
    return 0;
}
int uds_conn_connect(uds_conn **ret,
                     const struct uds_addr *addr,
                     const struct uds_conn_options *options,
                     int timeout_ms)
{
    _cleanup_close_ int fd = udsi_connect(addr, timeout_ms);
    int r;

    if (fd < 0)
        return fd;
    r = uds_conn_new(ret, fd, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&fd);
    return 0;
}

static int
make_pair(uds_conn **ret_a, uds_conn **ret_b, int type, const struct uds_conn_options *options)
{
    _cleanup_conn_ uds_conn *a = NULL;
    _cleanup_close_ int left = -1, right = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    left = pair[0];
    right = pair[1];
    r = uds_conn_new(&a, left, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&left);
    r = uds_conn_new(ret_b, right, options);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&right);
    *ret_a = UDSI_TAKE(a);
    return 0;
}

int uds_conn_pair(uds_conn **ret_a, uds_conn **ret_b, const struct uds_conn_options *options)
{
    return make_pair(ret_a, ret_b, SOCK_STREAM, options);
}

int uds_conn_pair_records(uds_conn **ret_a,
                          uds_conn **ret_b,
                          const struct uds_conn_options *options)
{
    return make_pair(ret_a, ret_b, SOCK_SEQPACKET, options);
}

int uds_conn_get_cred(uds_conn *conn, uint32_t facts, struct uds_cred *ret)
{
    return conn->fd < 0 ? -ENOTCONN : uds_cred_from_socket(conn->fd, facts, ret);
}
