/* SPDX-License-Identifier: MIT */
/*
 * Has the decoder try what it must not, one attempt after the other, and prints what came of each and what refused it.
 * One success and the exit code says so. What the broker refuses on the decoder's reply (a directory descriptor) is
 * seen here and not by the decoder.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <uds/error.h>

#include "client.h"
#include "text.h"

struct attempt {
    struct session *session;
    const char *what;
    uint32_t port;
    bool answered, succeeded;
    char attempt[128], outcome[256], refused_by[1024];
};

static void on_reply(const Thumbnail__MisbehaveReply *reply, void *data)
{
    struct attempt *attempt = data;
    int fd;

    session_note(attempt->session);
    if (reply == NULL)
        return;
    attempt->answered = true;
    attempt->succeeded = reply->succeeded;
    (void)snprintf(attempt->attempt, sizeof(attempt->attempt), "%s", text_clean(reply->attempt));
    (void)snprintf(attempt->outcome, sizeof(attempt->outcome), "%s", text_clean(reply->outcome));
    (void)snprintf(attempt->refused_by, sizeof(attempt->refused_by), "%s",
                   text_clean(reply->refused_by));
    fd = uds_pb_stub_take_fd(attempt->session->stub, 0);
    if (fd >= 0)
        (void)close(fd);
}

static void start(ProtobufCService *service, void *arg)
{
    struct attempt *attempt = arg;
    Thumbnail__MisbehaveRequest request;

    thumbnail__misbehave_request__init(&request);
    request.what = (char *)(uintptr_t)attempt->what; /* protobuf-c reads it only */
    request.port = attempt->port;
    thumbnail__thumbnailer__misbehave(service, &request, on_reply, attempt);
}

/* Somebody must listen where the decoder tries to connect, else a refusal proves nothing. */
static int listen_on_host(uint32_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (sock < 0 || bind(sock, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(sock, 1) < 0 || getsockname(sock, (struct sockaddr *)&address, &length) < 0) {
        int err = errno;

        if (sock >= 0)
            (void)close(sock);
        return -err;
    }
    *ret_port = ntohs(address.sin_port);
    return sock;
}

static bool is_about_image(const struct attempt *attempt)
{
    return strstr(attempt->what, "image") != NULL;
}

/* The decoder's reply did not come through: the broker refused a descriptor of it, or something else went wrong. */
static void judge_status(struct attempt *attempt)
{
    const struct session *session = attempt->session;
    bool directory = strcmp(attempt->what, "send-directory-fd") == 0;

    (void)snprintf(attempt->attempt, sizeof(attempt->attempt), "%s",
                   directory ? "send a directory descriptor" : attempt->what);
    (void)snprintf(attempt->outcome, sizeof(attempt->outcome), "%s",
                   uds_status_name(session->status));
    attempt->answered =
        session->status == UDS_STATUS_FD_REFUSED && (directory || is_about_image(attempt));
    (void)snprintf(attempt->refused_by, sizeof(attempt->refused_by), "%s: %s%s%s",
                   attempt->answered ? "broker" : "no answer", session->rule,
                   session->rule[0] != '\0' && session->detail[0] != '\0' ? ": " : "",
                   session->detail);
}

static void print(const struct attempt *attempt, bool json, bool first)
{
    if (!json) {
        (void)printf("  %-30s  %-18s %s\n", attempt->attempt,
                     attempt->succeeded ? "SUCCEEDED" : attempt->outcome,
                     attempt->succeeded ? attempt->outcome : attempt->refused_by);
        (void)fflush(stdout);
        return;
    }
    (void)fputs(first ? "\n  {" : ",\n  {", stdout);
    json_member(stdout, "what", attempt->what);
    (void)fputs(", ", stdout);
    json_member(stdout, "attempt", attempt->attempt);
    (void)printf(", \"refused\": %s, ",
                 attempt->answered && !attempt->succeeded ? "true" : "false");
    json_member(stdout, "outcome", attempt->outcome);
    (void)fputs(", ", stdout);
    json_member(stdout, "refused_by", attempt->refused_by);
    (void)putchar('}');
}

int client_misbehave(struct session *session, const char *path)
{
    static const char *const whats[] = {"open-passwd",       "connect-network", "fork-without-end",
                                        "send-directory-fd", "reopen-image-rw", "fchmod-image",
                                        "publish-ungranted", "ask-admin"};
    int image = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int code = CLIENT_OK, sock;
    uint32_t port = 0;

    if (image < 0) {
        (void)fprintf(stderr, "thumbnail-client: open: %s: %s\n", path, strerror(errno));
        return CLIENT_FAILED;
    }
    sock = listen_on_host(&port);
    if (sock < 0)
        (void)fprintf(stderr, "thumbnail-client: listen: 127.0.0.1: %s\n", strerror(-sock));
    if (session->json)
        (void)putchar('[');
    for (size_t i = 0; i < sizeof(whats) / sizeof(whats[0]); i++) {
        struct attempt attempt = {.session = session, .what = whats[i], .port = port};
        int r = session_call(session, start, &attempt, &image, is_about_image(&attempt) ? 1 : 0);

        if (r < 0)
            (void)snprintf(session->detail, sizeof(session->detail), "%s", strerror(-r));
        if (!attempt.answered)
            judge_status(&attempt);
        print(&attempt, session->json, i == 0);
        if (!attempt.answered || attempt.succeeded)
            code = CLIENT_FAILED;
    }
    if (session->json)
        (void)puts("\n]");
    if (sock >= 0)
        (void)close(sock);
    (void)close(image);
    return sock < 0 ? CLIENT_FAILED : code;
}
