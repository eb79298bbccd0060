/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "meter.h"

/*
 * One way to carry messages (a medium) between two processes (a link): what the media have in common, and what each
 * must provide. One file a medium family in media/, one line in the table of media.c.
 *
 *   open() ── fork ──▶ attach() in each of the two ──▶ send(), receive() … finish() ──▶ close()
 *
 * The driver has the meter; the peer serves it. Code on both sides is the same, and as good as that medium allows.
 */

enum side {
    SIDE_DRIVER,
    SIDE_PEER
};

struct medium;

struct link {
    const struct medium *medium;
    enum side side;
    bool one_way; /* the peer sends, the driver receives; otherwise messages go to and fro */
    bool with_fd; /* each message hands a descriptor over */
    size_t batch; /* messages for each call of send() */
    struct body_source out;
    struct body_sink in;
    int fd;             /* with_fd: the descriptor that is handed over next; the link's */
    atomic_bool *stop;  /* one way: the driver has seen enough */
    void *state;        /* the medium's own */
    const char *failed; /* what a call was doing when it returned an error */
};

enum medium_trait {
    MEDIUM_CARRIES_FDS = 1u << 0,
    MEDIUM_ONLY_BATCHES = 1u << 1, /* gathers messages by itself: there is no un-batched form */
    MEDIUM_SPINS = 1u << 2,        /* never sleeps: needs a core for each side */
    MEDIUM_OWNS_ITS_LOOP =
        1u << 3, /* drive() and serve() instead of send() and receive(): rtt and oneway only */
    MEDIUM_ROUND_TRIPS_ONLY = 1u << 4,
    MEDIUM_STARTS = 1u << 5, /* carries nothing: drive() starts programs and waits for their end */
};

/* Every call returns >= 0, or -errno with link->failed saying of what. */
struct medium {
    const char *name;
    const char *summary;
    unsigned traits;
    uint32_t block;     /* round trips of small bodies for each reading of the clock; 0: one */
    const char *absent; /* not in this build, and why */

    /* Before the fork: what both sides inherit. -EMSGSIZE: this medium cannot carry bodies of that size. */
    int (*open)(struct link *link);
    /* After it, in each of the two processes; link->side, out and in are set. */
    int (*attach)(struct link *link);
    /* All that is left of open() and attach(), in each of the three processes. */
    void (*close)(struct link *link);

    /* Makes @count messages and sends them, as few system calls as the medium permits. Blocks. */
    int (*send)(struct link *link, size_t count);
    /* Blocks until at least one message is here, gives all bytes to link->in. Returns their number; 0: the other side
     * has finished. */
    int (*receive)(struct link *link);
    /* Nothing more will be sent. */
    int (*finish)(struct link *link);

    /* With MEDIUM_OWNS_ITS_LOOP. drive() starts the meter after the first round trip; one way, it sets link->stop when the
     * meter has enough, and takes what still comes. */
    int (*drive)(struct link *link, struct meter *meter);
    int (*serve)(struct link *link);
};

/* Says what failed and passes the error on. */
static inline int link_fail(struct link *link, int error, const char *what)
{
    link->failed = what;
    return error;
}

#endif
