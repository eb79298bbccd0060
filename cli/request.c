/* SPDX-License-Identifier: MIT */
/* `uds request`: one call, one reply, or with --stream as many as come. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/client.h>
#include <uds/error.h>

#include "broker.h"
#include "message.h"
#include "options.h"
#include "verbs.h"

static const char help[] =
    "usage: uds request [OPTION…] SUBJECT [BODY | -]\n"
    "\n"
    "Calls whoever serves SUBJECT and prints the body of the reply. BODY is the request\n"
    "itself, - reads it from standard input, none is an empty request.\n"
    "\n"
    "options:\n" BROKER_HELP
    "  --timeout DUR      how long the reply may take: 500ms, 10s, 2m (default 5s)\n"
    "  --stream           take the reply in parts and print each as it comes, on a line of its "
    "own;\n"
    "                     without --timeout for as long as it takes\n"
    "  --method NAME      method, as protobuf services want it: package.Service/Method\n"
    "  --file PATH        open PATH read-only and send the descriptor; more than once\n"
    "  -H, --header NAME=VALUE   a header; more than once\n"
    "\n"
    "Headers and descriptors that come with the reply are described on stderr; the\n"
    "descriptors are closed.\n"
    "\n"
    "examples:\n"
    "  uds request time.now\n"
    "  echo 'SELECT 1' | uds request --timeout 30s db.query -\n"
    "  uds request --stream log.follow | grep --line-buffered error\n"
    "  uds request --file /etc/hosts checksum\n"
    "  uds request -H trace=17 time.now\n"
    "\n"
    "exit: 0 replied, 1 failed here, 2 usage, 3 no broker, 4 refused or failed there,\n"
    "5 no reply in time\n";

struct call {
    const char *to, *method, *subject;
    int timeout_ms; /* -2: not given */
    bool stream;
    struct fd_list fds;
    struct header_list headers;
    bool done;
    int code;
};

static int parse(int argc, char **argv, struct call *call)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},     {"timeout", required_argument, NULL, 'T'},
        {"method", required_argument, NULL, 'm'}, {"file", required_argument, NULL, 'F'},
        {"header", required_argument, NULL, 'H'}, {"stream", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int c, code = CLI_OK;

    while (code == CLI_OK && (c = getopt_long(argc, argv, ":H:h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            call->to = optarg;
            break;
        case 'T':
            if (parse_duration(optarg, &call->timeout_ms) < 0)
                code = cli_usage("--timeout: %s: not a duration like 500ms or 10s", optarg);
            break;
        case 'm':
            call->method = optarg;
            break;
        case 's':
            call->stream = true;
            break;
        case 'F':
            code = fd_list_add_file(&call->fds, optarg);
            break;
        case 'H':
            code = header_list_add(&call->headers, optarg);
            break;
        case 'h':
            (void)cli_help(&verb_request);
            return -1;
        default:
            code = cli_bad_option(c, argv);
        }
    }
    return code;
}

/* @what: "reply" or "part". @line: ends with a newline in any case. */
static void print_body(const uds_msg *msg, const char *what, bool line)
{
    size_t len;
    const char *body = uds_msg_peek_body(msg, &len);

    (void)fwrite(body, 1, len, stdout);
    /* The prompt belongs on a line of its own; in a pipe the bytes of a reply are the bytes. */
    if (line ? len == 0 || body[len - 1] != '\n'
             : len > 0 && body[len - 1] != '\n' && isatty(STDOUT_FILENO))
        (void)putchar('\n');
    message_describe(msg, what);
}

static bool has_body(const uds_msg *msg)
{
    size_t len;

    (void)uds_msg_peek_body(msg, &len);
    return len > 0;
}

/* Whoever reads us slowly stops the callee: a part is asked for again when it is written. */
static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    const struct call *call = arg;

    (void)id;
    if (call->done)
        return;
    broker_begin_output();
    print_body(part, "part", true);
    (void)fflush(stdout);
    broker_end_output();
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct call *call = arg;

    if (call->done)
        return; /* we gave up already: freeing the client ends the call */
    call->done = true;
    call->code = CLI_OK;
    if (reply->status != UDS_STATUS_OK)
        call->code = broker_report(call->subject, reply->status, reply->detail, reply->rule);
    if (reply->msg == NULL)
        return;
    broker_begin_output();
    if (reply->status != UDS_STATUS_OK || (call->stream && !has_body(reply->msg)))
        message_describe(reply->msg, "reply");
    else
        print_body(reply->msg, "reply", call->stream);
    broker_end_output();
}

static int make_call(struct broker *broker, struct call *call, const struct body *body)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    int r;

    request.subject = call->subject;
    request.method = call->method;
    request.body = body->bytes;
    request.body_len = body->len;
    request.fds = call->fds.fds;
    request.nfds = call->fds.count;
    request.timeout_ms = call->timeout_ms;
    request.headers = header_list_get(&call->headers);
    request.on_part = call->stream ? on_part : NULL;
    r = uds_client_request(broker->client, &request, on_reply, call, NULL);
    if (r == -EOPNOTSUPP) {
        cli_error("--stream: %s: the broker knows no streaming replies", broker->address);
        return CLI_FAILED;
    }
    if (r == -EINVAL)
        return cli_usage("%s: not a subject to call (tokens with dots, no wildcards)",
                         call->subject);
    if (r < 0)
        return broker_fail(broker, "request", call->subject, -r);
    while (!call->done) {
        r = broker_turn(broker);
        if (r == -EINTR)
            return CLI_FAILED; /* the user knows */
        if (r < 0)
            return broker_fail(broker, "request", call->subject, -r);
    }
    return call->code;
}

static int run(int argc, char **argv)
{
    struct call call = {.timeout_ms = -2, .code = CLI_FAILED};
    struct broker broker = {.signal_fd = -1};
    struct body body = {.bytes = ""};
    int code = parse(argc, argv, &call);

    if (code == CLI_OK && (argc - optind < 1 || argc - optind > 2))
        code = cli_usage("%s",
                         argc == optind ? "which subject?" : "too many arguments: quote the body");
    if (code == CLI_OK)
        code = body_load(&body, argv[optind + 1]); /* argv ends with NULL: no body */
    if (code == CLI_OK)
        code = broker_open(&broker, call.to);
    if (code == CLI_OK) {
        call.subject = argv[optind];
        if (call.timeout_ms == -2)
            call.timeout_ms = call.stream ? -1 : 5000;
        code = make_call(&broker, &call, &body);
    }
    call.done = true;
    broker_close(&broker);
    body_free(&body);
    fd_list_close(&call.fds);
    header_list_free(&call.headers);
    return code < 0 ? CLI_OK : code;
}

const struct verb verb_request = {
    .name = "request", .summary = "call whoever serves a subject", .help = help, .run = run};
