/* SPDX-License-Identifier: MIT */

/* How connections come about: by an address, or two at once; and who is at the other end. */

#include <errno.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "socket/dial.h"

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
