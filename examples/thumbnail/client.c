/* SPDX-License-Identifier: MIT */
/*
 * thumbnail-client: the half that people use. Opens images, passes their descriptors through the broker to a decoder
 * that it does not trust, and writes what comes back as PNG.
 */
#include "client.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uds/error.h>

#include "thumb.h"

static const char help[] =
    "usage: thumbnail-client [OPTION…] IMAGE…\n"
    "       thumbnail-client [OPTION…] --view | --misbehave IMAGE\n"
    "\n"
    "Makes thumbnails of PNG and JPEG files in a sandboxed decoder.\n"
    "\n"
    "  --broker ADDR   the broker (default: $UDS_BROKER, then the usual places)\n"
    "  --subject NAME  where the decoder serves (default: thumbnail)\n"
    "  --out DIR       write IMAGE.thumb.png there (default: .)\n"
    "  --max N         longest edge in pixels, 1 to 1024 (default: 256)\n"
    "  --timeout SEC   for each image (default: 30)\n"
    "  --json          for programs\n"
    "  --view          print what the decoder sees, beside the host\n"
    "  --misbehave     have the decoder try what it must not; needs its flag --misbehave\n"
    "\n"
    "Exit: 0 all went well, 1 an image failed, an attempt was not refused or a namespace is\n"
    "shared with the host, 2 usage, 3 no broker.\n"
    "\n"
    "examples:\n"
    "  uds up stack.yaml &\n"
    "  thumbnail-client --broker unix:/run/uds/broker.sock ~/photos/*.jpg\n";

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void session_note(struct session *session)
{
    session->status = uds_pb_stub_get_status(session->stub);
    session->value = uds_pb_stub_get_value(session->stub);
    (void)snprintf(session->detail, sizeof(session->detail), "%s",
                   uds_pb_stub_get_detail(session->stub));
    (void)snprintf(session->rule, sizeof(session->rule), "%s", uds_pb_stub_get_rule(session->stub));
}

void session_describe(const struct session *session, char *buf, size_t size)
{
    const char *name = uds_status_name(session->status);
    bool named = strncmp(session->detail, name, strlen(name)) == 0; /* the detail says it already */
    const char *colon = named || session->detail[0] == '\0' ? "" : ": ";

    if (named)
        name = "";
    if (session->rule[0] == '\0')
        (void)snprintf(buf, size, "%s%s%s", name, colon, session->detail);
    else
        (void)snprintf(buf, size, "%s%s%s (%s)", name, colon, session->detail, session->rule);
}

int session_call(
    struct session *session, session_start_fn start, void *arg, const int *fds, size_t nfds)
{
    int64_t end = now_ms() + session->timeout_ms;

    for (;;) {
        int left = (int)(end - now_ms());
        int r;

        session->status = UDS_STATUS_CALLEE_LOST;
        session->value = 0;
        session->detail[0] = session->rule[0] = '\0';
        uds_pb_stub_next_timeout(session->stub, left < 1 ? 1 : left);
        uds_pb_stub_next_fds(session->stub, fds, nfds);
        start(uds_pb_stub_service(session->stub), arg);
        r = uds_pb_stub_wait(session->stub, left + 2000);
        if (r < 0)
            return r;
        if (session->status != UDS_STATUS_UNAVAILABLE &&
            session->status != UDS_STATUS_NO_RESPONDERS)
            return 0;
        if (now_ms() + 50 >= end)
            return 0;
        r = uds_client_wait(session->client, 20);
        if (r < 0)
            return r;
    }
}

static int connect_session(struct session *session, const char *broker, const char *subject)
{
    struct uds_addr address;
    char text[UDS_ADDR_PATH_MAX + 16];
    int r;

    r = broker != NULL ? uds_addr_parse(broker, &address) : uds_addr_default(&address);
    if (r < 0) {
        (void)fprintf(
            stderr,
            "thumbnail-client: broker: %s: %s: an address looks like unix:/run/uds/broker.sock\n",
            broker != NULL ? broker : "$UDS_BROKER", strerror(-r));
        return CLIENT_USAGE;
    }
    r = uds_client_new(&session->client, &address, NULL, 0);
    if (r < 0) {
        if (uds_addr_format(&address, text, sizeof(text)) < 0)
            text[0] = '\0';
        (void)fprintf(
            stderr, "thumbnail-client: connect: %s: %s: start a broker with `uds up stack.yaml`\n",
            text, strerror(-r));
        return CLIENT_UNREACHABLE;
    }
    r = uds_pb_stub_new(&session->stub, NULL, session->client, subject,
                        &thumbnail__thumbnailer__descriptor);
    if (r < 0) {
        (void)fprintf(stderr, "thumbnail-client: %s: %s\n", subject, strerror(-r));
        return CLIENT_USAGE;
    }
    return CLIENT_OK;
}

static int number(const char *name, const char *text, long min, long max, long *ret)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        (void)fprintf(stderr, "thumbnail-client: --%s: %s: not a number from %ld to %ld\n", name,
                      text, min, max);
        return -1;
    }
    *ret = value;
    return 0;
}

enum mode {
    MODE_MAKE,
    MODE_VIEW,
    MODE_MISBEHAVE
};

struct arguments {
    enum mode mode;
    const char *broker, *subject;
};

/* CLIENT_OK, or what to exit with; -1 after --help. */
static int parse(int argc, char **argv, struct session *session, struct arguments *arguments)
{
    static const struct option options[] = {
        {"broker", required_argument, NULL, 'b'},  {"subject", required_argument, NULL, 's'},
        {"out", required_argument, NULL, 'o'},     {"max", required_argument, NULL, 'n'},
        {"timeout", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
        {"view", no_argument, NULL, 'v'},          {"misbehave", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    long value;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'b':
            arguments->broker = optarg;
            break;
        case 's':
            arguments->subject = optarg;
            break;
        case 'o':
            session->out = optarg;
            break;
        case 'n':
            if (number("max", optarg, 1, THUMB_EDGE_MAX, &value) < 0)
                return CLIENT_USAGE;
            session->max_edge = (uint32_t)value;
            break;
        case 't':
            if (number("timeout", optarg, 1, 3600, &value) < 0)
                return CLIENT_USAGE;
            session->timeout_ms = (int)value * 1000;
            break;
        case 'j':
            session->json = true;
            break;
        case 'v':
            arguments->mode = MODE_VIEW;
            break;
        case 'm':
            arguments->mode = MODE_MISBEHAVE;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return -1;
        default:
            return CLIENT_USAGE;
        }
    }
    return CLIENT_OK;
}

int main(int argc, char **argv)
{
    struct session session = {.max_edge = 256, .out = ".", .timeout_ms = 30000};
    struct arguments arguments = {.mode = MODE_MAKE, .subject = "thumbnail"};
    int code = parse(argc, argv, &session, &arguments);
    int images = argc - optind;

    if (code != CLIENT_OK)
        return code < 0 ? CLIENT_OK : code;
    if ((arguments.mode == MODE_MAKE && images < 1) ||
        (arguments.mode == MODE_VIEW && images != 0) ||
        (arguments.mode == MODE_MISBEHAVE && images != 1)) {
        (void)fprintf(stderr, "thumbnail-client: images: %s: see --help\n",
                      arguments.mode == MODE_MAKE   ? "none given"
                      : arguments.mode == MODE_VIEW ? "--view takes none"
                                                    : "--misbehave takes one");
        return CLIENT_USAGE;
    }
    code = connect_session(&session, arguments.broker, arguments.subject);
    if (code == CLIENT_OK && arguments.mode == MODE_MAKE)
        code = client_make(&session, argv + optind, images);
    else if (code == CLIENT_OK && arguments.mode == MODE_VIEW)
        code = client_view(&session);
    else if (code == CLIENT_OK)
        code = client_misbehave(&session, argv[optind]);
    (void)uds_pb_stub_free(session.stub);
    (void)uds_client_free(session.client);
    return code;
}
