/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_DGRAM_H
#define UDSI_CONN_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/dgram.h>

#include "socket/io.h"
#include "socket/path.h"
#include "wire/frame.h"

/*
 * Records that one system call brought and nobody has taken yet: slots[first … end) are full, each with its bytes in a
 * part of room of its own. What one costs is decided by our limits, before anything has come.
 *
 * I1  first <= end <= nslots; a slot before first owns no descriptor any more
 * I2  room holds nslots * slot_size bytes, or is NULL
 */
struct udsi_inbox {
    struct udsi_record *slots;
    uint8_t *room;
    size_t slot_size;
    unsigned nslots, first, end;
    bool large; /* a record made more of the room resident than is kept while nothing comes */
};

struct uds_dgram {
    unsigned refs;
    int fd;
    pid_t owner;        /* the process that may unlink the file */
    uint32_t claims;    /* what senders are told of */
    bool connected;     /* there is a default destination, whose queue poll(2) knows */
    bool more;          /* process() stopped at its bound */
    bool wants_pollout; /* a send to the default destination was -EAGAIN */
    /* ms of CLOCK_MONOTONIC: a send failed that poll(2) cannot wait for; 0 none */
    uint64_t retry_at;
    unsigned retries; /* in a row: how long the next wait is */
    struct udsi_limits limits;
    struct udsi_path path;
    struct uds_addr addr; /* as it was given; kind 0: ask the kernel */

    struct udsi_inbox in;
    struct uds_dgram_stats stats;
    const char *drop_text;

    struct uds_dgram_callbacks callbacks;
    void *arg;
    void (*loop_hook)(uds_dgram *dgram, void *arg);
    void *loop_arg;
};

/* Do the invariants hold? For tests and fuzzers. */
bool udsi_dgram_check(const uds_dgram *dgram);

/* ---- between the files of this noun ---- */

/* Room for datagrams with bodies up to @max_body; 0 or -ENOMEM. */
int udsi_inbox_init(struct udsi_inbox *inbox, uint32_t max_body);
/* Closes and frees all. */
void udsi_inbox_clear(struct udsi_inbox *inbox);

/* Tells the loop that poll must wait for something else. A callback: last. */
void udsi_dgram_rearm(uds_dgram *dgram);

#endif
