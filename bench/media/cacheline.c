/* SPDX-License-Identifier: MIT */
/*
 * Two cache lines, each written by one side and watched by the other: the least that any exchange between two cores
 * costs. It carries no bodies and never sleeps, so it is a floor and nothing else.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <sys/mman.h>

#include "media.h"

#define LINE 64
#define END  UINT32_MAX

struct line {
    _Alignas(2 * LINE) atomic_uint turn; /* two lines apart: adjacent ones are fetched together */
};

struct cacheline {
    struct line sides[2];
};

static int open_lines(struct link *link)
{
    void *lines = mmap(NULL, sizeof(struct cacheline), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (lines == MAP_FAILED)
        return link_fail(link, -errno, "mmap");
    link->state = lines;
    return 0;
}

static int attach(struct link *link)
{
    (void)link;
    return 0;
}

static void close_lines(struct link *link)
{
    if (link->state)
        (void)munmap(link->state, sizeof(struct cacheline));
    link->state = NULL;
}

static int drive(struct link *link, struct meter *meter)
{
    struct cacheline *lines = link->state;
    atomic_uint *mine = &lines->sides[SIDE_DRIVER].turn, *theirs = &lines->sides[SIDE_PEER].turn;
    unsigned turn = 0;

    do {
        if (turn == 1)
            meter_start(meter);
        turn = turn + 1 == END ? 2 : turn + 1;
        atomic_store_explicit(mine, turn, memory_order_release);
        while (atomic_load_explicit(theirs, memory_order_acquire) != turn)
            ;
    } while (turn == 1 || meter_tick(meter, 1));
    atomic_store_explicit(mine, END, memory_order_release);
    return 0;
}

static int serve(struct link *link)
{
    struct cacheline *lines = link->state;
    atomic_uint *theirs = &lines->sides[SIDE_DRIVER].turn, *mine = &lines->sides[SIDE_PEER].turn;
    unsigned turn = 0;

    for (;;) {
        unsigned now = atomic_load_explicit(theirs, memory_order_acquire);

        if (now == turn)
            continue;
        if (now == END)
            return 0;
        turn = now;
        atomic_store_explicit(mine, turn, memory_order_release);
    }
}

const struct medium medium_cacheline = {
    .name = "cacheline",
    .summary = "two cache lines between two cores, spinning: no bodies, the floor of all",
    .traits = MEDIUM_SPINS | MEDIUM_OWNS_ITS_LOOP | MEDIUM_ROUND_TRIPS_ONLY,
    .block = 1000,
    .open = open_lines,
    .attach = attach,
    .close = close_lines,
    .drive = drive,
    .serve = serve,
};
