/* SPDX-License-Identifier: MIT */

/*
 * The arenas that the peer owns and we read: taken after a look at what they are, named by frames, and given back slot by slot.
 *
 * Nothing that the peer says is used before it is checked: an arena must be memory that cannot vanish and that is paid for
 * (socket/memfd.c), a body must lie in one slot of one arena, and the slot must not be in our hands already, so that
 * all bodies together are never more than the arenas, and those never more than our limit. What the peer cannot be
 * stopped from is changing a body while it is here: messages show a private copy (uds_msg_peek_body()) or say that it
 * is not one (uds_msg_peek_body_shared()).
 *
 * An arena that we cannot map (EMFILE, ENOMEM) is refused by a RELEASE of nothing, and the peer does without.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "conn/arena.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "socket/memfd.h"

/*
 * RELEASE waits while so many frames do. Otherwise a peer that does not read, but names slots again that it cannot know
 * to be free, or announces arenas that we cannot take, would make the queue grow by one RELEASE each time.
 */
#define QUEUE_MAX 32

static struct udsi_peer_arena *find(struct udsi_arenas *arenas, uint64_t number)
{
    for (unsigned i = 0; arenas && i < arenas->npeer; i++) {
        if (arenas->peer[i].number == number)
            return &arenas->peer[i];
    }
    return NULL;
}

static int queue_release(uds_conn *conn, uint64_t number, uint64_t slots)
{
    uint8_t body[sizeof(slots)];

    udsi_write_u64(&(struct udsi_writer){.at = body, .left = sizeof(body)}, slots);
    return udsi_arena_queue_frame(conn, UDS_MSG_RELEASE, number, body, sizeof(body), -1);
}

/* What udsi_memfd_check() found, as a rule that was broken, or as our own trouble. */
static enum udsi_rule blame(int error, int *ret_error)
{
    switch (error) {
    case -EFBIG:
        return UDSI_RULE_ARENA_LIMITS;
    case -EINVAL:  /* no memfd */
    case -EPERM:   /* a seal is missing */
    case -ENODATA: /* sparse */
    case -EACCES:  /* not open for reading */
    case -EBADF:   /* not open at all: O_PATH */
        return UDSI_RULE_ARENA_MEMORY;
    default:
        *ret_error = error;
        return UDSI_RULE_NONE;
    }
}

enum udsi_rule udsi_arena_adopt(struct udsi_arenas *arenas,
                                uint64_t limit,
                                uint64_t number,
                                uint64_t slot_size,
                                int fd,
                                int *ret_error)
{
    struct udsi_region *region;
    uint64_t size = 0;
    unsigned count;
    void *base;
    int r;

    if (arenas->npeer == UDSI_ARENAS_MAX || arenas->peer_bytes > limit)
        return UDSI_RULE_ARENA_LIMITS;
    r = udsi_memfd_check(fd, UDSI_MEMFD_ARENA, limit - arenas->peer_bytes, &size);
    if (r < 0)
        return blame(r, ret_error);
    count = udsi_slots_count(size, slot_size);
    if (count == 0)
        return UDSI_RULE_ARENA_SLOTS;
    r = udsi_memfd_map(fd, (size_t)size, &base);
    if (r < 0)
        return blame(r, ret_error);
    region = udsi_region_new(base, (size_t)size);
    if (!region) {
        udsi_memfd_unmap(base, (size_t)size);
        *ret_error = -ENOMEM;
        return UDSI_RULE_NONE;
    }
    /* Granted as any slot is: as if a message had had it. */
    atomic_init(&region->let_go, udsi_slots_all(count));
    arenas->peer[arenas->npeer++] = (struct udsi_peer_arena){
        .region = region,
        .fd = fd,
        .number = number,
        .slot_size = slot_size,
        .count = count,
        .in_hand = udsi_slots_all(count),
    };
    arenas->peer_bytes += size;
    return UDSI_RULE_NONE;
}

static void take_new(uds_conn *conn, struct udsi_arenas *arenas, uds_msg *msg)
{
    struct udsi_reader reader = {.at = msg->body, .left = msg->body_len};
    uint64_t slot_size = udsi_read_u64(&reader);
    enum udsi_rule rule;
    int error = msg->error; /* -EMFILE: the kernel had no room for the fd */

    if (reader.bad || reader.left > 0 || (msg->nfds != 1 && error == 0) ||
        msg->id <= arenas->peer_last) {
        udsi_conn_fail_rule(conn, UDSI_RULE_ARENA_FRAME);
        return;
    }
    if (arenas->npeer + arenas->nrefused == UDSI_ARENAS_MAX) {
        udsi_conn_fail_rule(conn, UDSI_RULE_ARENA_LIMITS);
        return;
    }
    arenas->peer_last = msg->id;
    if (error == 0) {
        rule = udsi_arena_adopt(arenas, conn->arena_bytes, msg->id, slot_size, msg->fds[0], &error);
        if (rule != UDSI_RULE_NONE) {
            udsi_conn_fail_rule(conn, rule);
            return;
        }
    }
    if (error == 0)
        msg->nfds = 0; /* the arena's */
    else
        arenas->refused[arenas->nrefused++] = msg->id;
}

static void take_withdrawal(uds_conn *conn, struct udsi_arenas *arenas, const uds_msg *msg)
{
    struct udsi_peer_arena *arena = find(arenas, msg->id);

    if (!arena || msg->body_len > 0) {
        udsi_conn_fail_rule(conn, UDSI_RULE_ARENA_FRAME);
        return;
    }
    if (arena->in_hand) {
        udsi_conn_fail_rule(conn, UDSI_RULE_ARENA_WITHDRAWN);
        return;
    }
    arenas->peer_bytes -= arena->count * arena->slot_size;
    (void)udsi_region_unref(arena->region);
    udsi_close(arena->fd);
    *arena = arenas->peer[--arenas->npeer];
}

void udsi_arena_take(uds_conn *conn, uds_msg *msg)
{
    struct udsi_arenas *arenas = udsi_arenas_get(conn);

    if (!arenas)
        udsi_conn_fail(conn, -ENOMEM, NULL);
    else if (msg->head_len > 0)
        udsi_conn_fail_rule(conn, UDSI_RULE_ARENA_FRAME);
    else if (msg->nfds > 0 || msg->error != 0)
        take_new(conn, arenas, msg);
    else
        take_withdrawal(conn, arenas, msg);
}

bool udsi_arena_open_body(uds_conn *conn, uds_msg *msg)
{
    struct udsi_bodyref ref =
        udsi_bodyref_decode(msg->body); /* its length was checked with the header */
    struct udsi_peer_arena *arena = find(conn->arenas, ref.arena);
    struct udsi_lease *lease;
    uint64_t bit;

    if (!arena || ref.length == 0 || ref.length > arena->slot_size ||
        ref.length > conn->in.limits.max_body ||
        !udsi_slots_find(ref.offset, arena->slot_size, arena->count, &bit)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_BODY_PLACE);
        return false;
    }
    if (arena->in_hand & bit) {
        udsi_conn_fail_rule(conn, UDSI_RULE_BODY_IN_HAND);
        return false;
    }
    lease = udsi_lease_new(arena->region, bit, ref.offset);
    if (!lease || udsi_msg_lease_body(msg, lease, (size_t)ref.length) < 0) {
        udsi_lease_free(lease);
        udsi_conn_fail(conn, -ENOMEM, NULL);
        return false;
    }
    arena->in_hand |= bit;
    return true;
}

static bool may_release(const uds_conn *conn)
{
    return conn->arenas && conn->out.released && !conn->said_goodbye && !conn->peer_done &&
           conn->send_error == 0 && conn->state != UDSI_CONN_CLOSED;
}

static void queue_refusals(uds_conn *conn)
{
    struct udsi_arenas *arenas = conn->arenas;

    while (arenas->nrefused > 0 && conn->out.count < QUEUE_MAX &&
           queue_release(conn, arenas->refused[arenas->nrefused - 1], 0) == 0)
        arenas->nrefused--;
}

bool udsi_arena_queue_releases(uds_conn *conn)
{
    size_t before = conn->out.count;

    if (!may_release(conn))
        return false;
    queue_refusals(conn);
    for (unsigned i = 0; i < conn->arenas->npeer && conn->out.count < QUEUE_MAX; i++) {
        struct udsi_peer_arena *arena = &conn->arenas->peer[i];
        uint64_t slots;

        if (atomic_load_explicit(&arena->region->let_go, memory_order_relaxed) == 0)
            continue;
        slots = atomic_exchange_explicit(&arena->region->let_go, 0, memory_order_acquire);
        if (queue_release(conn, arena->number, slots) < 0) {
            atomic_fetch_or_explicit(&arena->region->let_go, slots, memory_order_relaxed);
            break;
        }
        arena->in_hand &= ~slots;
    }
    (void)udsi_arena_withdraw_former(conn);
    return conn->out.count > before;
}

/* Of a peer whose bodies have no other way, it waits: everything that it may name is in our hands. */
static bool holds_all(const uds_conn *conn, const struct udsi_peer_arena *arena)
{
    return conn->in.records && arena->in_hand == udsi_slots_all(arena->count);
}

bool udsi_arena_is_exhausted(const uds_conn *conn)
{
    for (unsigned i = 0; conn->arenas && i < conn->arenas->npeer; i++) {
        if (holds_all(conn, &conn->arenas->peer[i]))
            return may_release(conn);
    }
    return false;
}

bool udsi_arena_is_urgent(const uds_conn *conn)
{
    if (!may_release(conn))
        return false;
    if (conn->arenas->nrefused > 0)
        return true;
    for (unsigned i = 0; i < conn->arenas->npeer; i++) {
        const struct udsi_peer_arena *arena = &conn->arenas->peer[i];
        uint64_t slots = atomic_load_explicit(&arena->region->let_go, memory_order_relaxed);

        if (2 * (unsigned)__builtin_popcountll(slots) > arena->count ||
            (slots && holds_all(conn, arena)))
            return true;
    }
    return false;
}
