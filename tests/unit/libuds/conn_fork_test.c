/* SPDX-License-Identifier: MIT */

/* After fork(2) a child can only free what it has inherited, and that must not be felt by anybody. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/client.h>
#include <uds/conn.h>
#include <uds/error.h>
#include <uds/listener.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "guard.h"
#include "pair.h"
#include "place.h"

static void wait_for(pid_t child)
{
    int status;

    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", status);
}

Test(conn_fork, a_child_that_frees_disturbs_nobody)
{
    UDS_TEST_GUARD;
    enum {
        LARGE = 4 << 20
    };
    uds_conn *a, *b;
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t len;
    int r;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    pair_send(a, 1, LARGE); /* half sent, half received when the child comes */
    cr_assert_eq(uds_conn_flush(a), 1);
    cr_assert_eq(uds_conn_receive(b, &msg), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)uds_conn_unref(a);
        (void)uds_conn_unref(b);
        _exit(0);
    }
    wait_for(child);
    do {
        cr_assert_geq(uds_conn_flush(a), 0);
        r = uds_conn_receive(b, &msg);
    } while (r == 0);
    cr_assert_eq(r, 1, "%s", uds_conn_get_error_text(b));
    const unsigned char *body = uds_msg_peek_body(msg, &len);
    cr_assert_eq(len, LARGE);
    cr_assert_eq(body[LARGE - 1], 'b');
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    *(uint32_t *)arg = reply->status;
}

static void on_call(uds_rpc_call *call, void *arg)
{
    *(uds_rpc_call **)arg = call;
}

Test(conn_fork, a_child_that_frees_an_rpc_takes_no_call_back)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uds_rpc_call *call = NULL;
    uint32_t status = 4711;
    uds_conn *a, *b;
    uds_rpc *at_a, *at_b;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&at_a, a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&at_b, b, NULL, NULL), 0);
    uds_rpc_set_handler(at_b, on_call, &call, 0);
    cr_assert_eq(uds_rpc_request(at_a, &request, on_reply, &status, NULL), 0);
    while (!call) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)uds_rpc_free(at_a);
        (void)uds_conn_unref(a);
        _exit(status == UDS_STATUS_CANCELLED ? 0 : 1);
    }
    wait_for(child);
    cr_assert_geq(uds_conn_process(b), 0);
    cr_assert_not(uds_rpc_call_is_cancelled(call));
    cr_assert_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    while (status == 4711) {
        cr_assert_geq(uds_conn_process(b), 0);
        cr_assert_geq(uds_conn_process(a), 0);
    }
    cr_assert_eq(status, UDS_STATUS_OK);
    (void)uds_rpc_free(at_a);
    (void)uds_rpc_free(at_b);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
}

Test(conn_fork, a_child_that_frees_a_listener_leaves_the_file)
{
    UDS_TEST_GUARD;
    struct place place;
    uds_listener *listener;
    uds_conn *conn = NULL;

    place_make(&place, "unix");
    cr_assert_eq(uds_listener_new(&listener, &place.addr, NULL), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)uds_listener_free(listener);
        _exit(0);
    }
    wait_for(child);
    cr_assert_eq(uds_conn_connect(&conn, &place.addr, NULL, 0), 0);
    (void)uds_conn_unref(conn);
    (void)uds_listener_free(listener);
    place_clear(&place);
}

/* What the parent has queued, the child has queued, too; and on an inherited socket a client says with shutdown(2) that it is gone. */
Test(conn_fork, a_child_that_frees_a_client_sends_nothing)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_addr addr = {.kind = UDS_ADDR_FD};
    _cleanup_conn_ uds_conn *broker = NULL;
    uds_client *client;
    uds_msg *msg;
    int sv[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    addr.fd = sv[0];
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    cr_assert_eq(uds_conn_new(&broker, sv[1], NULL), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_client_process(client), 0);
        cr_assert_geq(uds_conn_process(broker), 0);
    }
    publish.subject = "a";
    cr_assert_eq(uds_client_publish(client, &publish, NULL, NULL), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)uds_client_free(client);
        _exit(0);
    }
    wait_for(child);
    cr_assert_eq(uds_conn_receive(broker, &msg), 0, "the child has sent, or ended the link");
    cr_assert_eq(uds_client_flush(client, 0), 0);
    cr_assert_eq(uds_conn_receive(broker, &msg), 1);
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_receive(broker, &msg), 0, "once");
    (void)uds_client_free(client);
    close(sv[0]);
}
