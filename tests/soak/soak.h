/* SPDX-License-Identifier: MIT */
#ifndef SOAK_H
#define SOAK_H

/*
 * The soak's two processes, what they tell each other, and what they measure of themselves. See soak.c.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

#include <uds/conn.h>
#include <uds/listener.h>
#include <uds/msg.h>

#define BODY_MAX   (512u << 10) /* large enough for arenas */
#define RECORD_MAX 100000       /* of a message over seqpacket */
#define RING       (64u << 10)

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "soak: %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
                    strerror(errno));                                                \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* A listener each. */
enum way {
    WAY_STREAM,
    WAY_RECORD,
    WAY_CALLS,
    WAYS
};

/* ---- messages: label.c ---- */

/* What every body begins with. */
struct label {
    uint64_t number;
    uint32_t len;  /* of the whole body */
    uint32_t nfds; /* that come with it */
    uint8_t which[8];
};

/* What a call asks for; it comes with one descriptor, the one of its number. */
struct question {
    uint64_t number;
    uint32_t parts;
};

void random_seed(uint64_t seed);
uint64_t random_next(void);

/* Once, before the processes part: the descriptors that go back and forth. */
void cargo_make(void);
void cargo_close(void);
/* Borrowed. Who gets it knows it again. */
int cargo_of(uint64_t which);
bool cargo_is(int fd, uint64_t which);

/* One in how many messages is large: on few connections many are, for that is when arenas come into being. */
unsigned large_draw(void);
/* How long message @number shall be, at most @max, and what comes with it. */
struct label label_draw(uint64_t number, size_t max, unsigned one_in);
/* @body has room for label->len bytes. */
void label_write(const struct label *label, uint8_t *body);
/* Ends the run if @msg is not what message @number must be. Takes some of its descriptors. */
void label_check(uds_msg *msg, uint64_t number);

/* What label_check() has seen. */
struct seen {
    uint64_t messages, bytes, fds;
    uint64_t in_arenas; /* messages whose body came in shared memory */
};
extern struct seen seen;

/* ---- descriptors and memory: level.c ---- */

/*
 * This process: at the end it may hold as many descriptors as before its first connection, and as much memory as after the
 * first tenth of the messages.
 */
void level_begin(const char *who);
/* Now and then, messages being on their way. */
void level_look(void);
/* The first tenth is over: once or more. */
void level_settle(void);
/* Prints what was, is, and was received. There must be no connection any more. */
bool level_is_kept(void);

/* ---- the processes ---- */

/* Returns the exit status, when @end has been closed. */
int serve(uds_listener *const listeners[WAYS], int end, uint64_t messages);
/* Returns whether it holds what it may. */
bool ask(const struct uds_addr addrs[WAYS], uint64_t messages);
/* client-calls.c: one connection's life with streamed calls, until @life messages came, about. Returns how many. */
uint64_t live_with_calls(const struct uds_addr *addr, uint64_t life);

/* What the client has done. */
struct tally {
    uint64_t by_stream, by_ring, by_record, by_calls; /* messages */
    uint64_t calls, cancelled;
    uint64_t in_order, half_closed, broken_off; /* connections */
};
extern struct tally tally;

/* With a ring and with arenas, or not, as is drawn. */
uds_conn *connect_to(const struct uds_addr *addr);

#endif
