/* SPDX-License-Identifier: MIT */

#include "pair.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"

void pair_open(uds_conn **ret_a, uds_conn **ret_b, const struct uds_conn_options *options)
{
    cr_assert_eq(uds_conn_pair(ret_a, ret_b, options), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(*ret_a), 0);
        cr_assert_geq(uds_conn_process(*ret_b), 0);
    }
    cr_assert(uds_conn_is_open(*ret_a));
    cr_assert(uds_conn_is_open(*ret_b));
}

uds_msg *pair_msg(uint64_t id, size_t len)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)('a' + id % 26), len);
    return msg;
}

void pair_send(uds_conn *conn, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = pair_msg(id, len);

    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

int pair_run(uds_conn *conn)
{
    struct pollfd pfd;
    int r;

    do {
        r = uds_conn_process(conn);
        cr_assert(udsi_conn_check(conn));
        pfd = (struct pollfd){.fd = uds_conn_get_fd(conn), .events = POLLIN};
    } while (r == 1 || (r == 0 && uds_conn_get_events(conn) & POLLIN && !conn->ready &&
                        poll(&pfd, 1, 0) > 0));
    return r;
}
