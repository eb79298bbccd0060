/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_ARENA_H
#define UDSI_CONN_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

#include "conn/pace.h"
#include "conn/region.h"
#include "conn/slots.h"
#include "wire/bodyref.h"
#include "wire/frame.h"

/*
 * The arenas of a connection: memory that one side owns, writes and announces, and the other maps for reading only. docs/
 * protocol.md has the frames. A slot goes round like this, and its owner and its reader each know where it is:
 *
 *      owner                                                              reader
 *   ┌─ out (the peer has it) ◀── ARENA: all of them ─────────────────▶ in hand ──┐
 *   │                                                                            │ the message is gone
 *   └──▶ free ◀───────────────── RELEASE ◀────────────────────────── let go ◀────┘
 *          │ a message is built in it, or its body copied there
 *          ▼
 *        held ── the frame is queued: out, and held until the message itself goes
 *
 * Nothing ever waits for a slot where a body can travel inside its frame: without a free one it does. On SEQPACKET what fits
 * no record cannot, and waits with the application, which is told by on_writable.
 */

struct udsi_out;

/*
 * Bodies from here on can gain by an arena, one copy on each side included; whether they do is found out (pace.h). Below, the
 * copies are short and the rest is the same: send, wake, receive.
 */
#define UDSI_ARENA_BODY_MIN (32u << 10)

#define UDSI_ARENAS_MAX     16 /* live at a time, each way; the peer may not announce more */

/* One of ours. I1 (out | held) is a subset of all. I2 region NULL: from a former image, only waits for what is out. */
struct udsi_own_arena {
    struct udsi_region *region;
    uint64_t number;
    uint64_t slot_size;
    uint64_t all, out, held;
    bool granted; /* the peer has released something: it took the arena */
};

/* One of the peer's. I3 let_go of its region is a subset of in_hand, which is one of all. */
struct udsi_peer_arena {
    struct udsi_region *region;
    int fd; /* for another image of us; nothing else needs it once it is mapped */
    uint64_t number;
    uint64_t slot_size;
    unsigned count;
    uint64_t in_hand; /* what the peer may not name now */
};

/* Made when the first large body or the first ARENA comes. */
struct udsi_arenas {
    uint64_t own_bytes, peer_bytes; /* I4 the sums of sizes below */
    uint64_t own_last, peer_last;   /* the highest number so far */
    uint64_t rent[UDSI_CLASSES];    /* bytes that went inside frames since the class got an arena */
    struct udsi_pace paces[UDSI_CLASSES];
    unsigned refusals; /* arenas that the peer could not take */
    unsigned nown, npeer;
    /* I5 npeer + nrefused <= UDSI_ARENAS_MAX: for the peer they are live until it hears */
    unsigned nrefused;
    uint64_t refused
        [UDSI_ARENAS_MAX]; /* arenas of the peer's that we cannot take, and it does not know yet */
    struct udsi_own_arena own[UDSI_ARENAS_MAX];
    struct udsi_peer_arena peer[UDSI_ARENAS_MAX];
};

/* Where a body will lie. Good until the next arena comes or goes. */
struct udsi_place {
    struct udsi_own_arena *arena;
    uint64_t bit;
    bool past; /* to be written past the caches */
};

/* ---- arenas of ours (arena-own.c) ---- */

/*
 * Finds a free slot for the body of @msg, or the one that it was built in. False: it travels inside its frame. May
 * announce a new arena, for later.
 */
bool udsi_arena_place(uds_conn *conn, const uds_msg *msg, struct udsi_place *ret);

/* A frame with @msg was queued, its body in a slot or not: it counts for which way the next ones go. */
void udsi_arena_count(uds_conn *conn, const uds_msg *msg);

/*
 * A body of @len bytes that fits no record of SEQPACKET, and found no slot. Sees to it that there will be one, and that
 * on_writable tells when: -ENOBUFS. -EMSGSIZE there can be none; otherwise there is no memory for it now: as udsi_memfd_new().
 */
int udsi_arena_require(uds_conn *conn, size_t len);

/* Slots have come back, or will never: whoever waits for one tries again. */
void udsi_arena_tell_slot(uds_conn *conn);

/* What the frame says instead of a body of @len bytes. */
void udsi_arena_reference(const struct udsi_place *place,
                          size_t len,
                          uint8_t ret_ref[UDSI_BODYREF_SIZE]);

/* The body moves there, unless it is there already, and the slot is the peer's. */
void udsi_arena_fill(const struct udsi_place *place, const uds_msg *msg);

/* The body of @msg would find a slot if only the peer's RELEASE were read. */
bool udsi_arena_is_starved(const uds_conn *conn, const uds_msg *msg);

/* The front of the queue is an ARENA that cannot go out now (too many fds in flight): it is taken back. False: it is not. */
bool udsi_arena_take_back(uds_conn *conn);

/* The slot that @out names is free again: the frame will not be sent. */
void udsi_arena_unsend(uds_conn *conn, const struct udsi_out *out);

void udsi_release_take(uds_conn *conn, const uds_msg *msg);

/* Withdraws arenas of a former image of which everything is back. 0 or -ENOMEM. */
int udsi_arena_withdraw_former(uds_conn *conn);

/* ---- arenas of the peer (arena-peer.c) ---- */

void udsi_arena_take(uds_conn *conn, uds_msg *msg);

/* The body of @msg is a reference: makes it a lease on the slot. False: the connection has failed. */
bool udsi_arena_open_body(uds_conn *conn, uds_msg *msg);

/* Queues RELEASE for all that was let go of, and withdraws what is of no use any more. True: there is more to send. */
bool udsi_arena_queue_releases(uds_conn *conn);

/*
 * SEQPACKET: does the peer perhaps wait for a slot that we have? Messages may be let go of at any time and by any thread, which
 * nobody tells us: while this is true, process() looks every UDSI_ARENA_LOOK_MS.
 */
#define UDSI_ARENA_LOOK_MS 20
bool udsi_arena_is_exhausted(const uds_conn *conn);

/* Is it worth a send of its own? So much was let go of that the peer may run out. */
bool udsi_arena_is_urgent(const uds_conn *conn);

/* ---- both (arena.c) ---- */

/* conn->arenas, made if it is not there. NULL: no memory. */
struct udsi_arenas *udsi_arenas_get(uds_conn *conn);

/* A frame without fields: ARENA or RELEASE. @fd: −1 none; success takes it. 0 or -ENOMEM. */
int udsi_arena_queue_frame(
    uds_conn *conn, uint8_t type, uint64_t number, const void *body, size_t len, int fd);

void udsi_arenas_free(uds_conn *conn);
void udsi_arenas_serialise(uds_conn *conn, uds_snapshot *s);
int udsi_arenas_restore(uds_conn *conn, uds_snapshot *s);
bool udsi_arenas_check(const uds_conn *conn);

/* Maps an arena of the peer's whose fd is @fd, which success takes. A rule, or 0 with @ret_error 0 or a local -errno. */
enum udsi_rule udsi_arena_adopt(struct udsi_arenas *arenas,
                                uint64_t limit,
                                uint64_t number,
                                uint64_t slot_size,
                                int fd,
                                int *ret_error);

#endif
