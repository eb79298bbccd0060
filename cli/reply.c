/* SPDX-License-Identifier: MIT */
/*
 * `uds reply`: serves a subject with a fixed body, or with what a command prints.
 *
 * One request at a time: the command's standard input is a memfd with the request's body (so that neither side can
 * block the other), its standard output a pipe that is read to the end. The call's deadline ends the command.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include <uds/client.h>
#include <uds/error.h>

#include "broker.h"
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
    "  --verbose          say on stderr when the broker has accepted us\n"
    "\n"
    "COMMAND gets UDS_SUBJECT, UDS_METHOD and UDS_SENDER, and descriptors of the request as\n"
    "3, 4, … with LISTEN_FDS. If it fails, the caller gets the status \"internal\" with its\n"
    "exit code; if the caller's time is over, it is killed. One request at a time.\n"
    "\n"
    "examples:\n"
    "  uds reply greeting hello\n"
    "  uds reply time.now -- date\n"
    "  uds reply checksum -- sh -c 'sha256sum <&3'\n"
    "\n"
    "exit: 0 ended by Ctrl-C or --count, 1 failed here, 2 usage, 3 no broker, 4 refused\n";

#define REPLY_MAX (16u << 20)

struct reply {
    const char *to, *subject, *body;
    char **command; /* NULL: answer with @body */
    unsigned long count, seen;
    bool verbose, ended;
    int code;
};

/* What a command made of a request. */
struct outcome {
    char *output;
    size_t len;
    uint32_t status;
    char detail[128];
};

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the child ---- */

static int body_as_file(const uds_msg *msg)
{
    size_t len, done = 0;
    const char *body = uds_msg_peek_body(msg, &len);
    int fd = memfd_create("request", MFD_CLOEXEC);

    while (fd >= 0 && done < len) {
        ssize_t n = write(fd, body + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Runs in the child. Descriptors are first moved above all targets: a target's number may be in use by another. */
static void
become_command(char **command, const uds_rpc_call *call, const uds_msg *msg, int in, int out)
{
    size_t count = msg == NULL ? 0 : uds_msg_get_fd_count(msg);
    int first_free = 3 + (int)count, moved[UDS_FDS_MAX];
    char text[32];
    sigset_t none;

    in = fcntl(in, F_DUPFD_CLOEXEC, first_free);
    out = fcntl(out, F_DUPFD_CLOEXEC, first_free);
    for (size_t i = 0; i < count; i++)
        moved[i] = fcntl(uds_msg_peek_fd(msg, i), F_DUPFD_CLOEXEC, first_free);
    for (size_t i = 0; i < count; i++)
        if (dup2(moved[i], 3 + (int)i) < 0)
            _exit(126);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    if (count > 0) {
        (void)snprintf(text, sizeof(text), "%zu", count);
        (void)setenv("LISTEN_FDS", text, 1);
        (void)snprintf(text, sizeof(text), "%d", getpid());
        (void)setenv("LISTEN_PID", text, 1);
    }
    (void)setenv("UDS_SUBJECT", uds_rpc_call_get_subject(call), 1);
    (void)setenv("UDS_METHOD", uds_rpc_call_get_method(call), 1);
    (void)setenv("UDS_SENDER", uds_rpc_call_get_sender(call), 1);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(command[0], command);
    cli_error("run: %s: %s", command[0], strerror(errno));
    _exit(127);
}

/* ---- the parent ---- */

static void fail(struct outcome *outcome, uint32_t status, const char *detail)
{
    outcome->status = status;
    (void)snprintf(outcome->detail, sizeof(outcome->detail), "%s", detail);
}

/* Reads the pipe to its end. False: the command must be killed, @outcome says why. */
static bool read_output(int pipe_fd, int timeout_ms, struct outcome *outcome)
{
    int64_t end = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    size_t room = 0;

    for (;;) {
        struct pollfd poll_fd = {.fd = pipe_fd, .events = POLLIN};
        int64_t left = end < 0 ? -1 : end - now_ms();
        ssize_t n;

        if (end >= 0 && left <= 0) {
            fail(outcome, UDS_STATUS_DEADLINE, "the command took too long");
            return false;
        }
        if (poll(&poll_fd, 1, (int)left) <= 0)
            continue;
        if (outcome->len == room) {
            size_t larger = room == 0 ? 65536 : room * 2;
            char *output = larger > 2 * REPLY_MAX ? NULL : realloc(outcome->output, larger);

            if (output == NULL) {
                fail(outcome, UDS_STATUS_TOO_LARGE, "the command prints more than 16 MiB");
                return false;
            }
            outcome->output = output;
            room = larger;
        }
        n = read(pipe_fd, outcome->output + outcome->len, room - outcome->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        outcome->len += (size_t)n;
    }
    if (outcome->len > REPLY_MAX)
        fail(outcome, UDS_STATUS_TOO_LARGE, "the command prints more than 16 MiB");
    return outcome->status == UDS_STATUS_OK;
}

/* Waits at most until the deadline: a command may close its output and live on. */
static void reap(pid_t pid, bool kill_first, struct outcome *outcome)
{
    int status;

    if (kill_first)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return;
    if (outcome->status != UDS_STATUS_OK)
        return;
    if (WIFSIGNALED(status)) {
        fail(outcome, UDS_STATUS_INTERNAL, "");
        (void)snprintf(outcome->detail, sizeof(outcome->detail),
                       "the command was killed by signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        fail(outcome, UDS_STATUS_INTERNAL, "");
        (void)snprintf(outcome->detail, sizeof(outcome->detail), "the command exited with %d",
                       WEXITSTATUS(status));
    }
}

static void run_command(char **command, uds_rpc_call *call, struct outcome *outcome)
{
    const uds_msg *msg = uds_rpc_call_peek_msg(call);
    int in = msg == NULL ? open("/dev/null", O_RDONLY | O_CLOEXEC) : body_as_file(msg);
    int out[2] = {-1, -1};
    pid_t pid = -1;

    if (in >= 0 && pipe2(out, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        become_command(command, call, msg, in, out[1]);
    if (in >= 0)
        (void)close(in);
    if (out[1] >= 0)
        (void)close(out[1]);
    if (pid < 0) {
        cli_error("run: %s: %s", command[0], strerror(errno));
        fail(outcome, UDS_STATUS_INTERNAL, "the command could not be started");
    } else {
        bool ok = read_output(out[0], uds_rpc_call_get_timeout(call), outcome);

        reap(pid, !ok, outcome);
    }
    if (out[0] >= 0)
        (void)close(out[0]);
}

static void on_request(uds_rpc_call *call, void *arg)
{
    struct reply *reply = arg;
    struct outcome outcome = {.status = UDS_STATUS_OK};
    int r;

    if (reply->ended) {
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "the server is about to end");
        return;
    }
    if (reply->command != NULL)
        run_command(reply->command, call, &outcome);
    if (outcome.status != UDS_STATUS_OK)
        r = uds_rpc_call_fail(call, outcome.status, 0, outcome.detail);
    else if (reply->command != NULL)
        r = uds_rpc_call_reply(call, outcome.output, outcome.len, NULL, 0);
    else
        r = uds_rpc_call_reply(call, reply->body, strlen(reply->body), NULL, 0);
    if (r < 0)
        cli_error("reply: %s: %s", reply->subject, strerror(-r));
    free(outcome.output);
    if (++reply->seen == reply->count)
        reply->ended = true;
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
    while (!reply->ended) {
        r = broker_turn(broker);
        if (r == -EINTR)
            break;
        if (r < 0)
            return broker_fail(broker, "serve", reply->subject, -r);
    }
    reply->ended = true;
    (void)uds_client_flush(broker->client, 5000); /* the last reply must be out before we go */
    return reply->code;
}

static int parse(int argc, char **argv, struct reply *reply)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            reply->to = optarg;
            break;
        case 'c':
            if (parse_number(optarg, 1, UINT32_MAX, &reply->count) < 0)
                return cli_usage("--count: %s: not a number from 1", optarg);
            break;
        case 'v':
            reply->verbose = true;
            break;
        case 'h':
            (void)cli_help(&verb_reply);
            return -1;
        default:
            return cli_bad_option(c, argv);
        }
    }
    if (argc == optind)
        return cli_usage("which subject?");
    reply->subject = argv[optind];
    if (reply->command == NULL && argc - optind != 2)
        return cli_usage("%s: what is the reply? BODY, or -- COMMAND", reply->subject);
    if (reply->command != NULL && argc - optind != 1)
        return cli_usage("%s: either BODY or -- COMMAND", reply->subject);
    reply->body = reply->command == NULL ? argv[optind + 1] : NULL;
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct reply reply = {.code = CLI_OK};
    struct broker broker = {.signal_fd = -1};
    int code, words = 0;

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
    return code < 0 ? CLI_OK : code;
}

const struct verb verb_reply = {
    .name = "reply", .summary = "serve a subject: answer its requests", .help = help, .run = run};
