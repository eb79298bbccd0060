/* SPDX-License-Identifier: MIT */
#ifndef REFUSE_SCENE_H
#define REFUSE_SCENE_H

/* A pair of which one side does not get the descriptors that the other sends. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "faultsock.h"
#include "guard.h"
#include "nofile.h"
#include "rawpeer.h"
#include "socket/kernel.h"

struct seen {
    uint64_t got[16], refused[16];
    size_t ngot, nrefused;
    int error;
    bool unref;
};

static inline void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    cr_assert_lt(seen->ngot, 16);
    seen->got[seen->ngot++] = uds_msg_get_id(msg);
    (void)uds_msg_unref(msg);
}

static inline void on_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    struct seen *seen = arg;

    cr_assert_eq(type, UDS_MSG_MESSAGE);
    cr_assert_not_null(payload);
    cr_assert_gt(uds_msg_get_fd_count(payload), 0);
    cr_assert_lt(seen->nrefused, 16);
    seen->refused[seen->nrefused++] = id;
    seen->error = error;
    if (seen->unref)
        (void)uds_conn_unref(conn);
}

static const struct uds_conn_callbacks callbacks = {.on_message = on_message,
                                                    .on_refused = on_refused};

static inline bool set_rights(const uds_conn *conn, int value)
{
    return setsockopt(uds_conn_get_fd(conn), SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value)) == 0;
}

static inline bool kernel_refuses(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), value;
    socklen_t len = sizeof(value);
    bool can = getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &value, &len) == 0;

    close(fd);
    return can;
}

static inline uds_msg *make(uint64_t id, size_t nfds)
{
    uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, "x", 1), 0);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    return msg;
}

static inline int send_one(uds_conn *conn, uint64_t id, size_t nfds)
{
    _cleanup_msg_ uds_msg *msg = make(id, nfds);

    return uds_conn_send(conn, msg);
}

static inline void open_pair(uds_conn **a, uds_conn **b, struct seen *seen)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.body_path = UDS_BODY_PATH_ARENA; /* not a way that is drawn by lot */
    cr_assert_eq(uds_conn_pair(a, b, &options), 0);
    uds_conn_set_callbacks(*a, &callbacks, &seen[0]);
    uds_conn_set_callbacks(*b, &callbacks, &seen[1]);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(*a), 0);
        cr_assert_geq(uds_conn_process(*b), 0);
    }
    cr_assert(uds_conn_is_open(*a));
}

static inline void expect_ids(const uint64_t *ids, size_t count, const uint64_t *want, size_t nwant)
{
    cr_assert_eq(count, nwant);
    for (size_t i = 0; i < nwant; i++)
        cr_assert_eq(ids[i], want[i], "%zu", i);
}

#endif
