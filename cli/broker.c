/* SPDX-License-Identifier: MIT */
/* See broker.h. */
#include "broker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/signalfd.h>

#include <uds/error.h>

#include "verbs.h"

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *connect_hint(int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        return "nobody listens there: start a broker with `uds up FILE` or `uds-broker`, or name "
               "one with --to";
    case EACCES:
    case EPERM:
        return "permission denied: the socket's mode or its directory keeps you out";
    default:
        return strerror(error);
    }
}

int broker_fail(const struct broker *broker, const char *what, const char *thing, int error)
{
    if (error == ENOTCONN || error == ECONNRESET || error == EPIPE || error == ESHUTDOWN) {
        cli_error("%s: %s: the broker at %s is gone", what, thing, broker->address);
        return CLI_UNREACHABLE;
    }
    if (error == EMSGSIZE)
        cli_error("%s: %s: larger than the broker takes: send a file as a descriptor, see --file",
                  what, thing);
    else if (error == E2BIG)
        cli_error("%s: %s: more descriptors than the broker takes", what, thing);
    else
        cli_error("%s: %s: %s", what, thing, strerror(error));
    return CLI_FAILED;
}

static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    struct broker *broker = arg;

    (void)client;
    (void)notice;
    switch (event) {
    case UDS_CLIENT_CONNECTED:
        if (broker->lost)
            cli_error("broker: %s: connected again", broker->address);
        broker->lost = false;
        break;
    case UDS_CLIENT_DISCONNECTED:
        broker->lost = true;
        cli_error("broker: %s: connection lost: %s: trying again, messages in between are lost",
                  broker->address, detail[0] != '\0' ? detail : strerror(-error));
        break;
    case UDS_CLIENT_NOTICE:
        cli_error("broker: %s: %s", broker->address, detail);
        break;
    }
}

static sigset_t ending_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

void broker_begin_output(void)
{
    sigset_t set = ending_signals();

    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void broker_end_output(void)
{
    sigset_t set = ending_signals();

    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static int open_signals(struct broker *broker)
{
    sigset_t set = ending_signals();

    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    broker->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (broker->signal_fd >= 0)
        return CLI_OK;
    cli_error("signalfd: %s", strerror(errno));
    return CLI_FAILED;
}

/*
 * In a sandbox $UDS_BROKER is a link that was made once: the first program that uses it says goodbye
 * on it, and the script that runs the next one has none. The sandbox's own socket gives each program
 * a connection, with the same identity. Only where it is not there, the link is taken.
 */
static bool open_own_socket(struct broker *broker, const struct uds_addr *link)
{
    struct uds_addr address;

    if (link->kind != UDS_ADDR_FD || getenv("UDS_BROKER_REDIAL") == NULL)
        return false;
    if (uds_addr_parse("unix:/run/uds/broker.sock", &address) < 0 ||
        uds_client_new(&broker->client, &address, NULL, 0) < 0)
        return false;
    if (uds_addr_format(&address, broker->address, sizeof(broker->address)) < 0)
        broker->address[0] = '\0';
    return true;
}

int broker_open(struct broker *broker, const char *to)
{
    static const struct uds_client_callbacks callbacks = {.on_event = on_event};
    struct uds_addr address;
    int r;

    *broker = (struct broker){.signal_fd = -1, .deadline_ms = -1};
    r = to != NULL ? uds_addr_parse(to, &address) : uds_addr_default(&address);
    if (r < 0) {
        const char *text = to != NULL ? to : getenv("UDS_BROKER");

        return cli_usage("address: %s: %s: it looks like unix:/run/uds/broker.sock",
                         text != NULL ? text : "",
                         r == -ENAMETOOLONG ? "too long" : "not an address");
    }
    if (uds_addr_format(&address, broker->address, sizeof(broker->address)) < 0)
        broker->address[0] = '\0';
    if (to != NULL || !open_own_socket(broker, &address))
        r = uds_client_new(&broker->client, to != NULL ? &address : NULL, NULL, 0);
    if (r < 0) {
        cli_error("connect: %s: %s", broker->address, connect_hint(-r));
        return CLI_UNREACHABLE;
    }
    uds_client_set_callbacks(broker->client, &callbacks, broker);
    return open_signals(broker);
}

void broker_close(struct broker *broker)
{
    if (broker->client != NULL)
        uds_client_set_callbacks(broker->client, NULL, NULL);
    broker->client = uds_client_free(broker->client);
    if (broker->signal_fd >= 0)
        (void)close(broker->signal_fd);
    broker->signal_fd = -1;
}

void broker_set_timeout(struct broker *broker, int timeout_ms)
{
    broker->deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

/* The shorter of two waits where -1 is forever. */
static int shorter(int a, int b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

int broker_turn(struct broker *broker)
{
    struct pollfd none = {.fd = -1};

    return broker_turn_with(broker, &none, -1);
}

int broker_turn_with(struct broker *broker, struct pollfd *extra, int wait_ms)
{
    struct pollfd fds[3] = {
        {.fd = uds_client_get_fd(broker->client), .events = uds_client_get_events(broker->client)},
        {.fd = broker->signal_fd, .events = POLLIN},
        *extra};
    int r;

    wait_ms = shorter(wait_ms, uds_client_get_timeout(broker->client));
    if (broker->deadline_ms >= 0) {
        int64_t left = broker->deadline_ms - now_ms();

        if (left <= 0)
            return 0;
        wait_ms = shorter(wait_ms, (int)left);
    }
    if (poll(fds, 3, wait_ms) < 0)
        return errno == EINTR ? 1 : -errno;
    extra->revents = fds[2].revents;
    if (fds[1].revents != 0)
        return -EINTR;
    r = uds_client_process(broker->client);
    return r < 0 ? r : 1;
}

int broker_report(const char *thing, uint32_t status, const char *detail, const char *rule)
{
    const char *name = uds_status_name(status);

    if (status == UDS_STATUS_NO_RESPONDERS)
        cli_error("%s: %s: nobody serves it: `uds ls subscriptions` shows who serves what", thing,
                  name);
    else if (status == UDS_STATUS_DEADLINE && detail[0] == '\0')
        cli_error("%s: %s: no reply in time: --timeout gives it more", thing, name);
    else
        cli_error("%s: %s%s%s%s%s%s", thing, name, detail[0] == '\0' ? "" : ": ", detail,
                  rule[0] == '\0' ? "" : " (", rule, rule[0] == '\0' ? "" : ")");
    return status == UDS_STATUS_DEADLINE ? CLI_TIMEOUT : CLI_REMOTE;
}
