/* SPDX-License-Identifier: MIT */
/* The blocking form of a call, against a server in a child. */
#include <sys/wait.h>

#include "rpc_scene.h"

static void serve_one(uds_rpc_call *call, void *arg)
{
    const char *method = uds_rpc_call_get_method(call);

    (void)arg;
    if (strcmp(method, "echo") == 0) {
        size_t len;
        const void *body = uds_msg_peek_body(uds_rpc_call_peek_msg(call), &len);
        (void)uds_rpc_call_reply(call, body, len, NULL, 0);
    } else if (strcmp(method, "fail") == 0) {
        (void)uds_rpc_call_fail(call, UDS_STATUS_APPLICATION + 4, 99, "as you asked");
    } else if (strcmp(method, "die") == 0) {
        _exit(0);
    } /* else: no answer */
}

static pid_t serve(int fd)
{
    pid_t pid = fork();
    uds_conn *conn;
    uds_rpc *rpc;

    if (pid != 0)
        return pid;
    if (uds_conn_new(&conn, fd, NULL) < 0 || uds_rpc_new(&rpc, conn, NULL, NULL) < 0)
        _exit(1);
    uds_rpc_set_handler(rpc, serve_one, NULL, 0);
    for (;;) {
        struct pollfd p = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};

        (void)poll(&p, 1, -1);
        if (uds_conn_process(conn) < 0)
            _exit(0);
    }
}

Test(rpc_request_wait, returns_what_the_other_process_answers)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    int sockets[2];
    size_t len;
    uds_conn *conn;
    uds_rpc *rpc;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t pid = serve(sockets[1]);
    close(sockets[1]);
    cr_assert_eq(uds_conn_new(&conn, sockets[0], NULL), 0);
    cr_assert_eq(uds_rpc_new(&rpc, conn, NULL, NULL), 0);

    request.method = "echo";
    request.body = "hello";
    request.body_len = 5;
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_OK);
    cr_expect_str_eq(reply.detail, "");
    cr_expect_eq(memcmp(uds_msg_peek_body(reply.msg, &len), "hello", 5), 0);
    (void)uds_msg_unref(reply.msg);

    request.method = "fail";
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_APPLICATION + 4);
    cr_expect_eq(reply.value, 99);
    cr_expect_str_eq(reply.detail, "as you asked");
    (void)uds_msg_unref(reply.msg);

    request.method = "silence";
    request.timeout_ms = 30;
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DEADLINE);
    cr_expect_null(reply.msg);

    request.method = "die";
    request.timeout_ms = -1;
    cr_expect_lt(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(uds_rpc_request_wait(rpc, &request, &reply), -ENOTCONN);
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
