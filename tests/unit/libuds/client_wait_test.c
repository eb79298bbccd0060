/* SPDX-License-Identifier: MIT */
/* The blocking forms of the client, against a broker in a child. */
#include <sys/wait.h>

#include "client_scene.h"

static void broker_in_child(uds_conn *conn, uds_msg *msg, void *arg)
{
    char subject[64] = "";
    _cleanup_msg_ uds_msg *owned = msg, *answer = NULL;
    bool request = uds_msg_get_type(msg) == UDS_MSG_REQUEST;

    (void)arg;
    (void)!uds_msg_get_string(msg, UDS_FIELD_SUBJECT, subject, sizeof(subject));
    if (strcmp(subject, "silence") == 0)
        return;
    if (strcmp(subject, "die") == 0)
        _exit(0);
    if (uds_msg_new(&answer, request ? UDS_MSG_REPLY : UDS_MSG_ACK, uds_msg_get_id(msg), "re", 2) <
            0 ||
        uds_msg_add_u32(answer, UDS_FIELD_STATUS, UDS_STATUS_DENIED) < 0 ||
        uds_msg_add_string(answer, UDS_FIELD_DETAIL, subject) < 0 ||
        uds_conn_send(conn, answer) < 0)
        _exit(1);
}

static pid_t fork_broker(int fd)
{
    struct uds_conn_callbacks child_callbacks = {.on_message = broker_in_child};
    pid_t pid = fork();
    uds_conn *conn;

    if (pid != 0)
        return pid;
    if (uds_conn_new(&conn, fd, NULL) < 0)
        _exit(1);
    uds_conn_set_callbacks(conn, &child_callbacks, NULL);
    for (;;) {
        struct pollfd p = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};

        (void)poll(&p, 1, -1);
        if (uds_conn_process(conn) < 0)
            _exit(0);
    }
}

Test(client_publish_wait, fails_when_the_broker_dies_meanwhile)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_addr addr;
    uds_client *client;
    int link[2];
    char text[16];
    uint32_t status = 4242;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    pid_t pid = fork_broker(link[1]);
    close(link[1]);
    (void)snprintf(text, sizeof(text), "fd:%d", link[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    publish.subject = "die";
    cr_expect_eq(uds_client_publish_wait(client, &publish, 5000, &status, NULL, 0), -ECONNRESET);
    cr_expect_eq(status, 4242);
    (void)uds_client_free(client);
    close(link[0]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(client, has_blocking_forms)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    struct uds_addr addr;
    uds_client *client;
    int link[2];
    char text[16], detail[8];
    uint32_t status;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    pid_t pid = fork_broker(link[1]);
    close(link[1]);
    (void)snprintf(text, sizeof(text), "fd:%d", link[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);

    publish.subject = "some.where";
    cr_assert_eq(uds_client_publish_wait(client, &publish, 5000, &status, detail, sizeof(detail)),
                 0);
    cr_expect_eq(status, UDS_STATUS_DENIED);
    cr_expect_str_eq(detail, "some.wh");
    publish.subject = "silence";
    cr_expect_eq(uds_client_publish_wait(client, &publish, 30, &status, NULL, 0), -ETIMEDOUT);

    request.subject = "call.me";
    request.timeout_ms = 5000;
    cr_assert_eq(uds_client_request_wait(client, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DENIED);
    cr_expect_str_eq(reply.detail, "call.me");
    (void)uds_msg_unref(reply.msg);
    request.subject = "silence";
    request.timeout_ms = 30;
    cr_assert_eq(uds_client_request_wait(client, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DEADLINE);

    publish.subject = "x";
    cr_assert_eq(uds_client_publish(client, &publish, NULL, NULL), 0);
    cr_expect_eq(uds_client_flush(client, 5000), 0);
    request.subject = "die";
    request.timeout_ms = -1;
    cr_expect_eq(uds_client_request_wait(client, &request, &reply), -ECONNRESET);
    cr_expect_eq(uds_client_publish_wait(client, &publish, 5000, &status, NULL, 0), -ENOTCONN);
    cr_expect_eq(uds_client_flush(client, 5000), -ENOTCONN);
    (void)uds_client_free(client);
    close(link[0]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
