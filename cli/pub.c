/* SPDX-License-Identifier: MIT */
/* `uds pub`: one message on one subject. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

#include "broker.h"
#include "options.h"
#include "verbs.h"

static const char help[] =
    "usage: uds pub [OPTION…] SUBJECT [BODY | -]\n"
    "\n"
    "Publishes one message. BODY is the message itself, - reads it from standard input,\n"
    "none is an empty message.\n"
    "\n"
    "options:\n" BROKER_HELP
    "  --confirm          wait until every matching subscriber's queue has it\n"
    "  --fd N             send descriptor N along; may be given more than once\n"
    "  --file PATH        open PATH read-only and send the descriptor; more than once\n"
    "  -H, --header NAME=VALUE   a header; more than once\n"
    "  --timeout DUR      for --confirm: 500ms, 10s, 2m (default 5s)\n"
    "\n"
    "Without --confirm nobody says whether the message was accepted. A message with\n"
    "descriptors goes to one subscriber only.\n"
    "\n"
    "examples:\n"
    "  uds pub news.weather sunny\n"
    "  date | uds pub --confirm clock -\n"
    "  uds pub --file report.pdf -H name=report.pdf print.queue\n"
    "\n"
    "exit: 0 sent (--confirm: accepted), 1 failed here, 2 usage, 3 no broker,\n"
    "4 refused, 5 no confirmation in time\n";

struct arguments {
    const char *to;
    bool confirm;
    int timeout_ms;
    struct fd_list fds;
    struct header_list headers;
};

static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},     {"confirm", no_argument, NULL, 'c'},
        {"fd", required_argument, NULL, 'f'},     {"file", required_argument, NULL, 'F'},
        {"header", required_argument, NULL, 'H'}, {"timeout", required_argument, NULL, 'T'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int c, code = CLI_OK;

    while (code == CLI_OK && (c = getopt_long(argc, argv, ":H:h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            a->to = optarg;
            break;
        case 'c':
            a->confirm = true;
            break;
        case 'f':
            code = fd_list_add_number(&a->fds, optarg);
            break;
        case 'F':
            code = fd_list_add_file(&a->fds, optarg);
            break;
        case 'H':
            code = header_list_add(&a->headers, optarg);
            break;
        case 'T':
            if (parse_duration(optarg, &a->timeout_ms) < 0)
                code = cli_usage("--timeout: %s: not a duration like 500ms or 10s", optarg);
            break;
        case 'h':
            (void)cli_help(&verb_pub);
            return -1;
        default:
            code = cli_bad_option(c, argv);
        }
    }
    return code;
}

struct confirmation {
    const char *subject;
    bool done;
    int code;
};

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct confirmation *confirmation = arg;

    (void)client;
    if (confirmation->done)
        return; /* we gave up already: freeing the client ends the wait */
    confirmation->done = true;
    if (status != UDS_STATUS_OK)
        confirmation->code = broker_report(confirmation->subject, status, detail, rule);
}

static int publish(struct broker *broker,
                   const struct arguments *a,
                   const struct body *body,
                   struct confirmation *confirmation)
{
    struct uds_publish message = UDS_PUBLISH_INIT;
    const char *subject = confirmation->subject;
    int r;

    message.subject = subject;
    message.body = body->bytes;
    message.body_len = body->len;
    message.fds = a->fds.fds;
    message.nfds = a->fds.count;
    message.headers = header_list_get(&a->headers);
    r = uds_client_publish(broker->client, &message, a->confirm ? on_ack : NULL, confirmation);
    if (r == -EINVAL)
        return cli_usage("%s: not a subject to publish on (tokens with dots, no wildcards)",
                         subject);
    if (r < 0)
        return broker_fail(broker, "publish", subject, -r);
    if (!a->confirm) {
        r = uds_client_flush(broker->client, a->timeout_ms);
        if (r == -ETIMEDOUT) {
            cli_error("publish: %s: the broker does not read", subject);
            return CLI_TIMEOUT;
        }
        return r < 0 ? broker_fail(broker, "publish", subject, -r) : CLI_OK;
    }
    broker_set_timeout(broker, a->timeout_ms);
    while (!confirmation->done) {
        r = broker_turn(broker);
        if (r == -EINTR)
            return CLI_FAILED; /* the user knows */
        if (r == 0) {
            cli_error("publish: %s: no confirmation in time: it may or may not arrive", subject);
            return CLI_TIMEOUT;
        }
        if (r < 0)
            return broker_fail(broker, "publish", subject, -r);
    }
    return confirmation->code;
}

static int run(int argc, char **argv)
{
    struct arguments a = {.timeout_ms = 5000};
    struct broker broker = {.signal_fd = -1};
    struct body body = {.bytes = ""};
    struct confirmation confirmation = {.code = CLI_OK};
    int code = parse(argc, argv, &a);

    if (code == CLI_OK && (argc - optind < 1 || argc - optind > 2))
        code = cli_usage("%s",
                         argc == optind ? "which subject?" : "too many arguments: quote the body");
    if (code == CLI_OK)
        code = body_load(&body, argv[optind + 1]); /* argv ends with NULL: no body */
    if (code == CLI_OK)
        code = broker_open(&broker, a.to);
    confirmation.subject = argv[optind];
    if (code == CLI_OK)
        code = publish(&broker, &a, &body, &confirmation);
    confirmation.done = true;
    broker_close(&broker);
    body_free(&body);
    fd_list_close(&a.fds);
    header_list_free(&a.headers);
    return code < 0 ? CLI_OK : code;
}

const struct verb verb_pub = {
    .name = "pub", .summary = "publish a message on a subject", .help = help, .run = run};
