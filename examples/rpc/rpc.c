/* SPDX-License-Identifier: MIT */
/*
 * RPC: a protobuf-c service that counts lines, called with a descriptor and a deadline.
 *
 * The caller opens the file, the server reads it; both use what protoc-c made of counter.proto. A socketpair is between them; over an address or through the broker they are the same code.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "counter.pb-c.h"

/* A method calls its closure exactly once, now or later; after …_fail() what it passes is ignored. */
static void count(Counter__Counter_Service *service,
                  const Counter__Request *request,
                  Counter__Reply_Closure closure,
                  void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    int left_ms = uds_pb_call_get_timeout(call), file = uds_pb_call_take_fd(call, 0);
    Counter__Reply reply = COUNTER__REPLY__INIT;
    struct uds_fd_info info;
    char bytes[65536];
    ssize_t n;

    (void)service, (void)request;
    if (file < 0 || uds_fd_classify(file, &info) < 0 || info.kind != UDS_FD_FILE_RO) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "wants a file, open for reading");
    } else if (left_ms >= 0 && left_ms < 100) { /* the deadline came along: do not even begin */
        uds_pb_call_fail(call, UDS_STATUS_DEADLINE, 100, "takes longer than that");
    } else {
        while ((n = read(file, bytes, sizeof(bytes))) > 0)
            for (ssize_t i = 0; i < n; i++)
                reply.lines += bytes[i] == '\n';
    }
    if (file >= 0)
        close(file);
    closure(&reply, closure_data);
}

static int serve(uds_rpc *rpc)
{
    Counter__Counter_Service service = COUNTER__COUNTER__INIT();
    uds_conn *conn = uds_rpc_get_conn(rpc);
    uds_pb_server *server = NULL;
    int r = uds_pb_serve(&server, rpc, &service.base);

    /* The whole loop of a program that waits for nothing else; ../loops has the others. */
    while (r >= 0 && (r = uds_conn_process(conn)) >= 0) {
        struct pollfd ready = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};

        if (r == 0)
            poll(&ready, 1, uds_conn_get_timeout(conn));
    }
    uds_pb_server_free(server);
    return r == -ECONNRESET || r == -ESHUTDOWN ? 0 : r; /* the caller has gone */
}

/* Runs exactly once for each call, whatever becomes of it. */
static void on_counted(const Counter__Reply *reply, void *closure_data)
{
    uds_pb_stub *s = closure_data;

    if (reply)
        printf("%zu lines\n", (size_t)reply->lines);
    else
        printf("%s: %s\n", uds_status_name(uds_pb_stub_get_status(s)), uds_pb_stub_get_detail(s));
}

static int ask(uds_pb_stub *stub, int timeout_ms, const char *name)
{
    Counter__Request request = COUNTER__REQUEST__INIT;
    int file = open(name, O_RDONLY | O_CLOEXEC);

    uds_pb_stub_next_timeout(stub, timeout_ms);
    uds_pb_stub_next_fds(stub, &file, file >= 0); /* duplicated when the call is made */
    counter__counter__count(uds_pb_stub_service(stub), &request, on_counted, stub);
    if (file >= 0)
        close(file);
    return uds_pb_stub_wait(stub, -1);
}

int main(int argc, char **argv)
{
    int ends[2], r;
    uds_conn *conn = NULL;
    uds_rpc *rpc = NULL;
    uds_pb_stub *stub = NULL;
    pid_t pid = -1;

    if (argc > 2 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0)
        pid = fork(); /* before there is a connection: one does not survive a fork */
    if (pid < 0)
        return fprintf(stderr, "usage: rpc MILLISECONDS FILE...\n"), 2;
    close(ends[pid != 0]);
    if ((r = uds_conn_new(&conn, ends[pid == 0], NULL)) == 0)
        r = uds_rpc_new(&rpc, conn, NULL, NULL);
    if (r == 0 && pid == 0)
        r = serve(rpc);
    else if (r == 0)
        r = uds_pb_stub_new(&stub, rpc, NULL, NULL, &counter__counter__descriptor);
    for (int i = 2; r == 0 && stub && i < argc; i++)
        r = ask(stub, atoi(argv[1]), argv[i]);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", pid == 0 ? "server" : "rpc", strerror(-r));
    uds_pb_stub_free(stub);
    uds_rpc_free(rpc);
    uds_conn_unref(conn);
    return r < 0;
}
