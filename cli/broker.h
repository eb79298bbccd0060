/* SPDX-License-Identifier: MIT */
#ifndef CLI_BROKER_H
#define CLI_BROKER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <uds/client.h>

/*
 * A verb's connection to the broker, with the two things that end a wait: the user's deadline and the user's Ctrl-C.
 * Interruptions of the connection are told on stderr; the client redials by itself.
 */
struct broker {
    uds_client *client;
    char address[UDS_ADDR_PATH_MAX + 16];
    int signal_fd;       /* SIGINT, SIGTERM */
    int64_t deadline_ms; /* CLOCK_MONOTONIC; -1 = none */
    bool lost;           /* told the user so; the first connection is no news */
};

/* @to: an address as users write it, NULL = the default. CLI_OK or an exit code after printing. */
int broker_open(struct broker *broker, const char *to);
void broker_close(struct broker *broker);

/*
 * Around what is written to standard output: whoever reads it may hold us up, and then nobody looks at the signal_fd. So
 * SIGINT and SIGTERM end the process meanwhile, as if they had never been caught: the broker sees the connection end.
 */
void broker_begin_output(void);
void broker_end_output(void);

/* @timeout_ms from now on; -1 = none. */
void broker_set_timeout(struct broker *broker, int timeout_ms);
/* Wait for something and handle it. 1 go on, 0 the time is over, -EINTR the user wants to end, -errno. */
int broker_turn(struct broker *broker);
/* The same, also for a descriptor of the caller's (-1: none), whose revents are set, and for at most @wait_ms (-1: any time). */
int broker_turn_with(struct broker *broker, struct pollfd *extra, int wait_ms);

/*
 * Print what the other side answered (a status that is not OK), on @thing. Returns the exit code: CLI_TIMEOUT for a
 * deadline, else CLI_REMOTE.
 */
int broker_report(const char *thing, uint32_t status, const char *detail, const char *rule);
/* A local failure of the connection. Returns CLI_FAILED, or CLI_UNREACHABLE when there is none. */
int broker_fail(const struct broker *broker, const char *what, const char *thing, int error);

/* What --help says about addresses, for every verb that talks to a broker. */
#define BROKER_HELP                                                                                \
    "  --to ADDR          the broker: unix:/path, unix:@abstract, seqpacket:/path, fd:3\n"         \
    "                     or a bare path; default $UDS_BROKER, $XDG_RUNTIME_DIR/uds/broker.sock\n" \
    "                     if it exists, /run/uds/broker.sock\n"

#endif
