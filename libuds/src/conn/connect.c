/* SPDX-License-Identifier: MIT */

/* Where connections meet the other nouns: addresses (who to call) and credentials (who is there). */

#include <errno.h>

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

int uds_conn_get_cred(uds_conn *conn, uint32_t facts, struct uds_cred *ret)
{
    return conn->fd < 0 ? -ENOTCONN : uds_cred_from_socket(conn->fd, facts, ret);
}
