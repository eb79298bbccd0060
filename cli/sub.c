/* SPDX-License-Identifier: MIT */
/* `uds sub`: prints what is published on subjects until there is enough of it, the time is over, or Ctrl-C. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/fdset.h>

#include "broker.h"
#include "json.h"
#include "message.h"
#include "options.h"
#include "verbs.h"

static const char help[] =
    "usage: uds sub [OPTION…] SUBJECT…\n"
    "\n"
    "Prints messages as they are published: subject, sender, body. In a subject * is one\n"
    "token and > at the end is all that follow; quote them from the shell.\n"
    "\n"
    "options:\n" BROKER_HELP
    "  --queue NAME       share the messages with the other members of a queue group\n"
    "  --count N          end after N messages\n"
    "  --timeout DUR      end after this time: 500ms, 10s, 2m\n"
    "  --json             one JSON object a line, with headers, sequence and descriptors\n"
    "  --raw              bodies only, byte for byte\n"
    "  --verbose          say on stderr when the broker has accepted a subscription\n"
    "\n"
    "Bodies that are not one line of text are shown by their size; --json has what is not\n"
    "UTF-8 as body_base64, --raw prints every byte.\n"
    "Descriptors that arrive are described and closed.\n"
    "\n"
    "examples:\n"
    "  uds sub 'news.>'\n"
    "  uds sub --count 1 --raw backup.done | tar t\n"
    "  uds sub --json --timeout 10s 'sensor.*.temperature' | jq .body\n"
    "\n"
    "exit: 0 ended by Ctrl-C or --count, 1 failed here, 2 usage, 3 no broker,\n"
    "4 refused, 5 --timeout is over before --count messages came\n";

struct sub {
    const char *to, *queue;
    unsigned long count; /* 0 = no end */
    int timeout_ms;
    bool json, raw, verbose;
    unsigned long seen;
    int code;
    bool ended;
};

/* One of the subjects that were asked for. */
struct subscription {
    struct sub *sub;
    const char *subject;
    uint64_t dropped;
};

static void print_text(const struct uds_delivery *delivery)
{
    const char *name, *value;
    size_t len, value_len, pos = 0;
    const char *body = uds_msg_peek_body(delivery->msg, &len);

    /* One newline at the end is how `date | uds pub clock -` looks; the line has its own. */
    if (len > 0 && body[len - 1] == '\n' && message_is_text(body, len - 1))
        len--;
    (void)printf("%s  %s  ", delivery->subject, delivery->sender);
    if (message_is_text(body, len))
        (void)fwrite(body, 1, len, stdout);
    else
        (void)printf("(%zu bytes)", len);
    while (uds_msg_next_header(delivery->msg, &pos, &name, &value, &value_len) == 1)
        if (message_is_text(name, strlen(name)) && message_is_text(value, value_len))
            (void)printf("  %s=%.*s", name, (int)value_len, value);
    for (size_t i = 0; i < uds_msg_get_fd_count(delivery->msg); i++) {
        struct uds_fd_info info;
        int fd = uds_msg_peek_fd(delivery->msg, i);

        if (fd >= 0 && uds_fd_classify(fd, &info) == 0)
            (void)printf("  [%s %" PRIu64 " bytes]", uds_fd_kind_name(info.kind), info.size);
    }
    (void)putchar('\n');
}

static void print_json(const struct uds_delivery *delivery)
{
    struct json json = {.out = stdout};
    const char *name, *value;
    size_t len, value_len, pos = 0;
    const char *body = uds_msg_peek_body(delivery->msg, &len);
    bool text = json_is_utf8(body, len);

    json_open(&json, '{');
    json_key(&json, "subject");
    json_string(&json, delivery->subject);
    json_key(&json, "sender");
    json_string(&json, delivery->sender);
    json_key(&json, "sequence");
    json_uint(&json, delivery->sequence);
    json_key(&json, "dropped");
    json_uint(&json, delivery->dropped);
    json_key(&json, text ? "body" : "body_base64");
    if (text)
        json_bytes(&json, body, len);
    else
        json_base64(&json, body, len);
    json_key(&json, "headers"); /* pairs: a name may come more than once, and order counts */
    json_open(&json, '[');
    while (uds_msg_next_header(delivery->msg, &pos, &name, &value, &value_len) == 1) {
        json_open(&json, '[');
        json_string(&json, name);
        json_bytes(&json, value, value_len);
        json_close(&json, ']');
    }
    json_close(&json, ']');
    json_key(&json, "fds");
    json_open(&json, '[');
    for (size_t i = 0; i < uds_msg_get_fd_count(delivery->msg); i++) {
        struct uds_fd_info info = {.kind = UDS_FD_OTHER};
        int fd = uds_msg_peek_fd(delivery->msg, i);

        if (fd < 0 || uds_fd_classify(fd, &info) < 0)
            continue;
        json_open(&json, '{');
        json_key(&json, "kind");
        json_string(&json, uds_fd_kind_name(info.kind));
        json_key(&json, "size");
        json_uint(&json, info.size);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

static void on_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    struct subscription *subscription = arg;
    struct sub *sub = subscription->sub;

    (void)client;
    if (sub->ended)
        return;
    if (delivery->dropped > subscription->dropped) {
        cli_error("%s: %" PRIu64 " messages were dropped: we read too slowly",
                  subscription->subject, delivery->dropped - subscription->dropped);
        subscription->dropped = delivery->dropped;
    }
    broker_begin_output();
    if (sub->raw) {
        size_t len;
        const void *body = uds_msg_peek_body(delivery->msg, &len);

        (void)fwrite(body, 1, len, stdout);
    } else if (sub->json) {
        print_json(delivery);
    } else {
        print_text(delivery);
    }
    /* A message is seen when it comes, also through a pipe. */
    if (fflush(stdout) != 0) {
        sub->code = CLI_FAILED;
        sub->ended = true;
    }
    broker_end_output();
    if (++sub->seen == sub->count)
        sub->ended = true;
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct subscription *subscription = arg;
    struct sub *sub = subscription->sub;

    (void)client;
    if (status != UDS_STATUS_OK) {
        sub->code = broker_report(subscription->subject, status, detail, rule);
        sub->ended = true;
    } else if (sub->verbose) {
        cli_error("%s: subscribed", subscription->subject);
    }
}

static int parse(int argc, char **argv, struct sub *sub)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"queue", required_argument, NULL, 'q'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"timeout", required_argument, NULL, 'T'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"raw", no_argument, NULL, 'r'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            sub->to = optarg;
            break;
        case 'q':
            sub->queue = optarg;
            break;
        case 'c':
            if (parse_number(optarg, 1, UINT32_MAX, &sub->count) < 0)
                return cli_usage("--count: %s: not a number from 1", optarg);
            break;
        case 'T':
            if (parse_duration(optarg, &sub->timeout_ms) < 0)
                return cli_usage("--timeout: %s: not a duration like 500ms or 10s", optarg);
            break;
        case 'j':
            sub->json = true;
            break;
        case 'r':
            sub->raw = true;
            break;
        case 'v':
            sub->verbose = true;
            break;
        case 'h':
            (void)cli_help(&verb_sub);
            return -1;
        default:
            return cli_bad_option(c, argv);
        }
    }
    if (sub->json && sub->raw)
        return cli_usage("--json and --raw exclude each other");
    return CLI_OK;
}

static int
subscribe(struct broker *broker, struct sub *sub, struct subscription *list, char **subjects)
{
    for (size_t i = 0; subjects[i] != NULL; i++) {
        int r;

        list[i] = (struct subscription){.sub = sub, .subject = subjects[i]};
        r = uds_client_subscribe(broker->client, subjects[i], sub->queue, on_delivery, on_ack,
                                 &list[i], NULL);
        if (r == -EINVAL)
            return cli_usage("%s: not a subject: tokens with dots, * for one, > at the end for all",
                             subjects[i]);
        if (r < 0)
            return broker_fail(broker, "subscribe", subjects[i], -r);
    }
    return CLI_OK;
}

static int listen_for_messages(struct broker *broker, struct sub *sub)
{
    broker_set_timeout(broker, sub->timeout_ms);
    while (!sub->ended) {
        int r = broker_turn(broker);

        if (r == -EINTR)
            return CLI_OK;
        if (r == 0)
            return sub->count > 0 ? CLI_TIMEOUT : CLI_OK;
        if (r < 0)
            return broker_fail(broker, "receive", "messages", -r);
    }
    return sub->code;
}

#define SUBJECTS_MAX 256

static int run(int argc, char **argv)
{
    struct subscription list[SUBJECTS_MAX];
    struct sub sub = {.timeout_ms = -1, .code = CLI_OK};
    struct broker broker = {.signal_fd = -1};
    int code = parse(argc, argv, &sub);

    if (code == CLI_OK && argc == optind)
        code = cli_usage("which subject?");
    if (code == CLI_OK && argc - optind > SUBJECTS_MAX)
        code = cli_usage("more than %d subjects", SUBJECTS_MAX);
    if (code == CLI_OK)
        code = broker_open(&broker, sub.to);
    if (code == CLI_OK)
        code = subscribe(&broker, &sub, list, argv + optind);
    if (code == CLI_OK)
        code = listen_for_messages(&broker, &sub);
    broker_close(&broker);
    return code < 0 ? CLI_OK : code;
}

const struct verb verb_sub = {
    .name = "sub", .summary = "print what is published on subjects", .help = help, .run = run};
