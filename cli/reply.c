/* SPDX-License-Identifier: MIT */
/*
 * `uds reply`: serves a subject with a fixed body, or with what a command prints, at its end or line by line.
 *
 * One command at a time; requests that come meanwhile stand in line. The call's deadline ends its command, and so does
 * a caller that takes the call back or goes away. While a stream's caller gives no credit the command's output is not
 * read, so that the command waits, too.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sys/queue.h>

#include <uds/client.h>
#include <uds/error.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "verbs.h"

static const char help[] =
    "usage: uds reply [OPTION…] SUBJECT BODY\n"
    "       uds reply [OPTION…] SUBJECT -- COMMAND [ARGUMENT…]\n"
    "\n"
    "Serves SUBJECT: answers every request with BODY, or runs COMMAND for each, with the\n"
    "request on its standard input; what it prints is the reply. Several servers of one\n"
    "subject share the requests.\n"
    "\n"
    "options:\n" BROKER_HELP "  --count N          end after N requests\n"
    "  --stream           send each line that COMMAND prints as soon as it is there, to callers\n"
    "                     that take a stream (uds request --stream); they get it without its end\n"
    "  -H, --header NAME=VALUE   of every reply and every line of a stream; more than once\n"
    "  --verbose          say on stderr when the broker has accepted us\n"
    "\n"
    "COMMAND gets UDS_SUBJECT, UDS_METHOD and UDS_SENDER, each header of the request as\n"
    "UDS_HEADER_NAME (the name in capitals, _ for what is no letter or digit; of equal ones the\n"
    "first; they are the caller's words), and descriptors of the request as 3, 4, … with\n"
    "LISTEN_FDS. If it fails, the caller gets the status \"internal\" with its\n"
    "exit code; if the caller's time is over or it takes the request back, COMMAND is killed.\n"
    "One request at a time.\n"
    "\n"
    "examples:\n"
    "  uds reply greeting hello\n"
    "  uds reply time.now -- date\n"
    "  uds reply --stream log.follow -- journalctl --follow\n"
    "  uds reply checksum -- sh -c 'sha256sum <&3'\n"
    "\n"
    "exit: 0 ended by Ctrl-C or --count, 1 failed here, 2 usage, 3 no broker, 4 refused\n";

struct job {
    uds_rpc_call *call;
    STAILQ_ENTRY(job) next;
};

struct reply {
    const char *to, *subject, *body;
    char **command; /* NULL: answer with @body */
    unsigned long count, seen;
    struct header_list headers;
    bool verbose, stream, ended;
    int code;

    uds_rpc_call *call; /* whose command runs; NULL: none */
    struct command run;
    bool starved; /* a line waits for credit */
    bool dressed; /* what is sent next has its headers */
    STAILQ_HEAD(, job) line;
};

/* ---- one request ---- */

static void done(struct reply *reply, int error)
{
    if (error < 0)
        cli_error("reply: %s: %s", reply->subject, strerror(-error));
    if (++reply->seen == reply->count)
        reply->ended = true;
}

/* What cannot be added goes without: the answer itself matters more. Once for each message, however often that is tried. */
static void add_headers(struct reply *reply, uds_rpc_call *call)
{
    if (reply->dressed)
        return;
    reply->dressed = true;
    for (const char *const *h = header_list_get(&reply->headers); h[0] != NULL; h += 2)
        if (uds_rpc_call_add_header(call, h[0], h[1]) < 0)
            cli_error("-H: %s: does not fit or no memory: the reply goes without", h[0]);
}

static bool streams(const struct reply *reply)
{
    return reply->stream && uds_rpc_call_is_streaming(reply->call);
}

/* Lines that are whole, and the last one if it never will be. False: one must wait. */
static bool send_lines(struct reply *reply)
{
    struct command *run = &reply->run;
    size_t sent = 0;
    int r = 0;

    while (sent < run->len) {
        const char *from = run->output + sent, *end = memchr(from, '\n', run->len - sent);
        size_t len = end != NULL ? (size_t)(end - from) : run->len - sent;

        if (end == NULL && command_is_running(run))
            break;
        add_headers(reply, reply->call);
        r = uds_rpc_call_send_part(reply->call, from, len, NULL, 0);
        if (r < 0)
            break;
        reply->dressed = false;
        sent += len + (end != NULL);
    }
    command_drop(run, sent);
    reply->starved = r == -EAGAIN;
    if (r < 0 && r != -EAGAIN && r != -ECANCELED)
        command_kill(run, UDS_STATUS_INTERNAL, "a line could not be sent");
    return !reply->starved;
}

static void on_cancel(uds_rpc_call *call, void *arg)
{
    struct reply *reply = arg;

    if (call == reply->call)
        command_kill(&reply->run, UDS_STATUS_CANCELLED, "");
}

static void on_credit(uds_rpc_call *call, void *arg)
{
    struct reply *reply = arg;

    if (call == reply->call)
        reply->starved = false; /* the loop goes on */
}

static void start(struct reply *reply, uds_rpc_call *call)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_cancel = on_cancel,
                                                            .on_credit = on_credit};

    reply->call = call;
    reply->starved = reply->dressed = false;
    (void)command_start(&reply->run, reply->command, call);
    uds_rpc_call_set_callbacks(call, &callbacks, reply);
}

static void answer(struct reply *reply)
{
    struct command *run = &reply->run;
    uds_rpc_call *call = reply->call;
    int r;

    add_headers(reply, call);
    if (run->status != UDS_STATUS_OK)
        r = uds_rpc_call_fail(call, run->status, 0, run->detail);
    else
        r = uds_rpc_call_reply(call, run->output, run->len, NULL, 0);
    reply->call = NULL;
    command_free(run);
    done(reply, r);
}

/* Everything that can be done for the command that runs. */
static void advance(struct reply *reply, bool ready)
{
    struct command *run = &reply->run;

    if (uds_rpc_call_get_timeout(reply->call) == 0 && run->status == UDS_STATUS_OK)
        command_kill(run, UDS_STATUS_DEADLINE, "the command took too long");
    if (ready && command_is_running(run) && !reply->starved)
        command_read(run);
    if (streams(reply) && run->status == UDS_STATUS_OK && !send_lines(reply))
        return;
    if (!command_is_running(run) && command_reap(run))
        answer(reply);
}

static void next_job(struct reply *reply)
{
    struct job *job = STAILQ_FIRST(&reply->line);
    uds_rpc_call *call;

    if (job == NULL || reply->call != NULL)
        return;
    STAILQ_REMOVE_HEAD(&reply->line, next);
    call = job->call;
    free(job);
    if (reply->ended)
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "the server is about to end");
    else if (uds_rpc_call_is_cancelled(call) || uds_rpc_call_get_timeout(call) == 0)
        (void)uds_rpc_call_fail(call, UDS_STATUS_DEADLINE, 0, "its time was over in the line");
    else
        start(reply, call);
}

static void on_request(uds_rpc_call *call, void *arg)
{
    struct reply *reply = arg;
    struct job *job;

    if (reply->ended) {
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "the server is about to end");
    } else if (reply->command == NULL) {
        reply->dressed = false;
        add_headers(reply, call);
        done(reply, uds_rpc_call_reply(call, reply->body, strlen(reply->body), NULL, 0));
    } else if ((job = malloc(sizeof(*job))) == NULL) {
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "out of memory");
    } else {
        job->call = call;
        STAILQ_INSERT_TAIL(&reply->line, job, next);
    }
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct reply *reply = arg;

    (void)client;
    if (status != UDS_STATUS_OK) {
        reply->code = broker_report(reply->subject, status, detail, rule);
        reply->ended = true;
    } else if (reply->verbose) {
        cli_error("%s: serving", reply->subject);
    }
}

static int serve(struct broker *broker, struct reply *reply)
{
    int r = uds_client_serve(broker->client, reply->subject, on_request, on_ack, reply, NULL);

    if (r == -EINVAL)
        return cli_usage("%s: not a subject: tokens with dots", reply->subject);
    if (r < 0)
        return broker_fail(broker, "serve", reply->subject, -r);
    while (!reply->ended && r >= 0) {
        struct pollfd extra = {.fd = -1, .events = POLLIN};
        int wait_ms = -1;

        next_job(reply);
        if (reply->call != NULL) {
            wait_ms = uds_rpc_call_get_timeout(reply->call);
            extra.fd =
                reply->starved && reply->run.status == UDS_STATUS_OK ? -1 : command_fd(&reply->run);
        }
        r = broker_turn_with(broker, &extra, wait_ms);
        if (r >= 0 && reply->call != NULL)
            advance(reply, extra.revents != 0);
    }
    reply->ended = true;
    if (reply->call != NULL) {
        command_kill(&reply->run, UDS_STATUS_UNAVAILABLE, "the server ends");
        answer(reply);
    }
    while (!STAILQ_EMPTY(&reply->line))
        next_job(reply);
    if (r < 0 && r != -EINTR)
        return broker_fail(broker, "serve", reply->subject, -r);
    (void)uds_client_flush(broker->client, 5000); /* the last reply must be out before we go */
    return reply->code;
}

static int parse(int argc, char **argv, struct reply *reply)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"stream", no_argument, NULL, 's'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"header", required_argument, NULL, 'H'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c, code = CLI_OK;

    while (code == CLI_OK && (c = getopt_long(argc, argv, ":H:h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            reply->to = optarg;
            break;
        case 'c':
            if (parse_number(optarg, 1, UINT32_MAX, &reply->count) < 0)
                return cli_usage("--count: %s: not a number from 1", optarg);
            break;
        case 's':
            reply->stream = true;
            break;
        case 'v':
            reply->verbose = true;
            break;
        case 'H':
            code = header_list_add(&reply->headers, optarg);
            break;
        case 'h':
            (void)cli_help(&verb_reply);
            return -1;
        default:
            return cli_bad_option(c, argv);
        }
    }
    if (code != CLI_OK)
        return code;
    if (argc == optind)
        return cli_usage("which subject?");
    reply->subject = argv[optind];
    if (reply->command == NULL && argc - optind != 2)
        return cli_usage("%s: what is the reply? BODY, or -- COMMAND", reply->subject);
    if (reply->command != NULL && argc - optind != 1)
        return cli_usage("%s: either BODY or -- COMMAND", reply->subject);
    if (reply->stream && reply->command == NULL)
        return cli_usage("--stream: of what? -- COMMAND");
    reply->body = reply->command == NULL ? argv[optind + 1] : NULL;
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct reply reply = {.code = CLI_OK};
    struct broker broker = {.signal_fd = -1};
    int code, words = 0;

    STAILQ_INIT(&reply.line);
    /* "--" divides our words from the command's before getopt_long() can permute them. */
    while (words < argc && strcmp(argv[words], "--") != 0)
        words++;
    if (words < argc && words + 1 < argc)
        reply.command = argv + words + 1;
    if (words < argc)
        argv[words] = NULL;
    code = parse(words, argv, &reply);
    if (code == CLI_OK)
        code = broker_open(&broker, reply.to);
    if (code == CLI_OK)
        code = serve(&broker, &reply);
    broker_close(&broker);
    header_list_free(&reply.headers);
    return code < 0 ? CLI_OK : code;
}

const struct verb verb_reply = {
    .name = "reply", .summary = "serve a subject: answer its requests", .help = help, .run = run};
