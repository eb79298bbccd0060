/* SPDX-License-Identifier: MIT */

/*
 * The arenas that we own and send from: when one is made, where a body goes, what comes back.
 *
 * An arena costs before it gains: its pages are made, mapped on both sides and thrown away in the end. So it is rented
 * before it is bought, as with skis: bodies of a class travel inside their frames until what that has cost in all is what
 * an arena costs, and a connection that sends a few large bodies in its life never makes one. Whatever the traffic does
 * then, it has paid at most twice of what would have been best.
 */

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/arena.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "conn/slotcopy.h"
#include "socket/memfd.h"

/*
 * An arena is made when so many times its size has travelled inside frames for want of a slot. Measured on the same machine:
 * to make, map twice and unmap costs 0.9 to 1.1 ms for each MiB, and 1 MiB that travels by arena saves 0.12 ms.
 */
#define RENT_FACTOR 8
#define BACKOFF_MAX 10 /* doublings of that after refusals */

/* May a body of @len bytes, with whatever head, be more than a record holds? Then it has no other way. */
static bool is_over_record(const uds_conn *conn, size_t len)
{
    return conn->record_max > 0 && UDSI_HEADER_SIZE + UDS_HEAD_MAX + len > conn->record_max;
}

static bool is_worth(const uds_conn *conn, size_t len)
{
    return len >= UDSI_ARENA_BODY_MIN || is_over_record(conn, len);
}

static uint64_t limit_of(const uds_conn *conn)
{
    return conn->arena_bytes < conn->peer_arena_bytes ? conn->arena_bytes : conn->peer_arena_bytes;
}

static bool may_use(const uds_conn *conn)
{
    return (conn->in.limits.features & UDS_FEATURE_ARENA) && conn->state == UDSI_CONN_OPEN &&
           conn->send_error == 0 && conn->peer_max_fds > 0;
}

static uint64_t size_of(const struct udsi_own_arena *arena)
{
    return (uint64_t)__builtin_popcountll(arena->all) * arena->slot_size;
}

/* Takes note of messages that are gone. Returns the slots that nobody has. */
static uint64_t free_slots(struct udsi_own_arena *arena)
{
    if (!arena->region)
        return 0;
    if (arena->held)
        arena->held &= ~atomic_exchange_explicit(&arena->region->let_go, 0, memory_order_acquire);
    return arena->all & ~(arena->out | arena->held);
}

static bool is_idle(struct udsi_own_arena *arena)
{
    (void)free_slots(arena);
    return arena->out == 0 && arena->held == 0;
}

static void drop(struct udsi_arenas *arenas, struct udsi_own_arena *arena)
{
    arenas->own_bytes -= size_of(arena);
    (void)udsi_region_unref(arena->region);
    *arena = arenas->own[--arenas->nown];
}

static struct udsi_own_arena *find(struct udsi_arenas *arenas, uint64_t number)
{
    for (unsigned i = 0; arenas && i < arenas->nown; i++) {
        if (arenas->own[i].number == number)
            return &arenas->own[i];
    }
    return NULL;
}

/* Tells the peer that it is over with an idle arena. 0 or -ENOMEM. */
static int withdraw(uds_conn *conn, struct udsi_own_arena *arena)
{
    int r = udsi_arena_queue_frame(conn, UDS_MSG_ARENA, arena->number, NULL, 0, -1);

    if (r == 0)
        drop(conn->arenas, arena);
    return r;
}

size_t uds_conn_trim_arenas(uds_conn *conn)
{
    struct udsi_arenas *arenas = conn->arenas;
    bool was_empty = conn->out.count == 0;
    uint64_t before;

    if (!arenas || conn->state != UDSI_CONN_OPEN || conn->send_error != 0)
        return 0;
    before = arenas->own_bytes;
    for (unsigned i = arenas->nown; i-- > 0;) {
        if (is_idle(&arenas->own[i]) && withdraw(conn, &arenas->own[i]) < 0)
            break;
    }
    if (was_empty && arenas->own_bytes < before)
        udsi_conn_rearm(conn);
    return (size_t)(before - arenas->own_bytes);
}

/* How many bytes could be had for a new arena, idle ones given up. */
static uint64_t available(const uds_conn *conn)
{
    struct udsi_arenas *arenas = conn->arenas;
    uint64_t kept = arenas->own_bytes, limit = limit_of(conn);

    for (unsigned i = 0; i < arenas->nown; i++) {
        if (is_idle(&arenas->own[i]))
            kept -= size_of(&arenas->own[i]);
    }
    return limit > kept ? limit - kept : 0;
}

static int make_room(uds_conn *conn, uint64_t size)
{
    struct udsi_arenas *arenas = conn->arenas;

    for (unsigned i = arenas->nown; i-- > 0;) {
        int r;

        if (arenas->nown < UDSI_ARENAS_MAX && arenas->own_bytes + size <= limit_of(conn))
            return 0;
        if (!is_idle(&arenas->own[i]))
            continue;
        r = withdraw(conn, &arenas->own[i]);
        if (r < 0)
            return r;
    }
    return arenas->nown < UDSI_ARENAS_MAX && arenas->own_bytes + size <= limit_of(conn) ? 0
                                                                                        : -ENOBUFS;
}

/*
 * Makes an arena and announces it; its slots are the peer's until it grants them. 0; -ENOBUFS not before others have gone;
 * -ENOMEM, -EMFILE, -ENFILE, -EPERM as udsi_memfd_new(). What fails here only means no arena.
 */
static int make_arena(uds_conn *conn, uint64_t slot_size, unsigned count)
{
    struct udsi_arenas *arenas = conn->arenas;
    size_t size = (size_t)slot_size * count;
    _cleanup_close_ int fd = -1;
    struct udsi_region *region;
    uint8_t body[sizeof(uint64_t)];
    struct udsi_writer writer = {.at = body, .left = sizeof(body)};
    void *base;
    int r = make_room(conn, size);

    if (r < 0)
        return r;
    fd = udsi_memfd_new("uds-arena", UDSI_MEMFD_ARENA, size, &base);
    if (fd < 0)
        return fd;
    region = udsi_region_new(base, size);
    if (!region) {
        udsi_memfd_unmap(base, size);
        return -ENOMEM;
    }
    udsi_write_u64(&writer, slot_size);
    r = udsi_arena_queue_frame(conn, UDS_MSG_ARENA, arenas->own_last + 1, body, sizeof(body), fd);
    if (r < 0) {
        (void)udsi_region_unref(region);
        return r;
    }
    (void)udsi_take_fd(&fd);
    arenas->own[arenas->nown++] = (struct udsi_own_arena){
        .region = region,
        .number = ++arenas->own_last,
        .slot_size = slot_size,
        .all = udsi_slots_all(count),
        .out = udsi_slots_all(count),
    };
    arenas->own_bytes += size;
    return 0;
}

/* A body of @len bytes travels inside its frame for want of a slot: is it time to buy? */
static void pay_rent(uds_conn *conn, size_t len)
{
    struct udsi_arenas *arenas = conn->arenas;
    uint64_t slot_size = udsi_slots_class(len);
    unsigned count, rank, doublings;

    count = udsi_slots_plan(slot_size, available(conn));
    if (count == 0)
        return;
    rank = udsi_slots_rank(slot_size);
    doublings = arenas->refusals < BACKOFF_MAX ? arenas->refusals : BACKOFF_MAX;
    arenas->rent[rank] += len;
    if (arenas->rent[rank] < (slot_size * count * RENT_FACTOR) << doublings)
        return;
    arenas->rent[rank] = 0;
    (void)make_arena(conn, slot_size, count);
}

/* What is known about ways for bodies of @len bytes, at least UDSI_ARENA_BODY_MIN. */
static struct udsi_pace *pace_of(struct udsi_arenas *arenas, size_t len)
{
    return &arenas->paces[udsi_slots_rank(udsi_slots_class(len))];
}

/* The way of a body of @len bytes that an arena is worth; what fits no record does not go inside frames. */
static enum udsi_way way_of(const uds_conn *conn, size_t len)
{
    enum udsi_way way = udsi_pace_way(pace_of(conn->arenas, len));

    return way == UDSI_WAY_FRAME && is_over_record(conn, len) ? UDSI_WAY_SLOT : way;
}

/* The smallest free slot that @len bytes fit in. */
static bool find_free(struct udsi_arenas *arenas, size_t len, struct udsi_place *ret)
{
    struct udsi_own_arena *best = NULL;
    uint64_t slots = 0;

    for (unsigned i = 0; arenas && i < arenas->nown; i++) {
        struct udsi_own_arena *arena = &arenas->own[i];
        uint64_t free_now;

        if (arena->slot_size < len || (best && best->slot_size <= arena->slot_size))
            continue;
        free_now = free_slots(arena);
        if (free_now) {
            best = arena;
            slots = free_now;
        }
    }
    if (!best)
        return false;
    *ret = (struct udsi_place){.arena = best, .bit = udsi_slots_lowest(slots)};
    return true;
}

/* Was the body built in a slot of this connection that the peer does not have? */
static bool is_built_here(struct udsi_arenas *arenas, const uds_msg *msg, struct udsi_place *ret)
{
    const struct udsi_lease *lease = msg->lease;

    if (!lease || !lease->region || msg->body != lease->at)
        return false;
    for (unsigned i = 0; arenas && i < arenas->nown; i++) {
        struct udsi_own_arena *arena = &arenas->own[i];

        if (arena->region == lease->region && !(arena->out & lease->bit)) {
            *ret = (struct udsi_place){.arena = arena, .bit = lease->bit};
            return true;
        }
    }
    return false;
}

bool udsi_arena_place(uds_conn *conn, const uds_msg *msg, struct udsi_place *ret)
{
    enum udsi_way way;

    if (!msg || msg->body_len == 0 || !may_use(conn))
        return false;
    if (is_built_here(conn->arenas, msg, ret))
        return true;
    if (!is_worth(conn, msg->body_len) || !udsi_arenas_get(conn))
        return false;
    /* Chosen to go inside its frame; perhaps for another connection than this, where it cannot. */
    if (msg->is_placed && !msg->lease && !is_over_record(conn, msg->body_len))
        return false;
    way = way_of(conn, msg->body_len);
    if (way == UDSI_WAY_FRAME && !udsi_pace_needs_slots(pace_of(conn->arenas, msg->body_len)))
        return false;
    if (!find_free(conn->arenas, msg->body_len, ret)) {
        /* What fits no record pays nothing: it does not travel. */
        if (!is_over_record(conn, msg->body_len))
            pay_rent(conn, msg->body_len);
        return false;
    }
    pace_of(conn->arenas, msg->body_len)->has_slots = true;
    ret->past = way == UDSI_WAY_PAST;
    return way != UDSI_WAY_FRAME;
}

static void count_body(uds_conn *conn, size_t len)
{
    udsi_pace_count(pace_of(conn->arenas, len), len, udsi_slots_class(len), udsi_now_ns());
}

void udsi_arena_count(uds_conn *conn, const uds_msg *msg)
{
    if (msg && msg->body_len >= UDSI_ARENA_BODY_MIN && !msg->is_placed && conn->arenas &&
        may_use(conn))
        count_body(conn, msg->body_len);
}

/* Is there an arena for @len bytes, free or not? */
static bool has_for(const struct udsi_arenas *arenas, size_t len)
{
    for (unsigned i = 0; i < arenas->nown; i++) {
        if (arenas->own[i].region && arenas->own[i].slot_size >= len)
            return true;
    }
    return false;
}

/*
 * What is bought here is not weighed against a way inside frames, for there is none. The slots of a new arena are the
 * peer's to grant, so the first body has to wait as well.
 */
int udsi_arena_require(uds_conn *conn, size_t len)
{
    uint64_t slot_size = udsi_slots_class(len);
    struct udsi_arenas *arenas;
    unsigned count;
    int r;

    if (conn->arena_bytes == 0)
        return -EMSGSIZE;
    if (conn->out.released) {
        if (!may_use(conn) || slot_size == 0 || udsi_slots_plan(slot_size, limit_of(conn)) == 0)
            return -EMSGSIZE;
        arenas = udsi_arenas_get(conn);
        if (!arenas)
            return -ENOMEM;
        if (arenas->refusals >= BACKOFF_MAX)
            return -EMSGSIZE; /* the peer takes none, whatever it says */
        count = has_for(arenas, len) ? 0 : udsi_slots_plan(slot_size, available(conn));
        r = count > 0 ? make_arena(conn, slot_size, count) : 0;
        if (r < 0 && r != -ENOBUFS)
            return r;
    }
    conn->slot_due = true;
    return -ENOBUFS;
}

void udsi_arena_tell_slot(uds_conn *conn)
{
    conn->writable |= conn->slot_due;
    conn->slot_due = false;
}

void udsi_arena_reference(const struct udsi_place *place,
                          size_t len,
                          uint8_t ret_ref[UDSI_BODYREF_SIZE])
{
    const struct udsi_own_arena *arena = place->arena;

    udsi_bodyref_encode(
        &(struct udsi_bodyref){.arena = arena->number,
                               .offset = udsi_slots_offset(place->bit, arena->slot_size),
                               .length = len},
        ret_ref);
}

void udsi_arena_fill(const struct udsi_place *place, const uds_msg *msg)
{
    struct udsi_own_arena *arena = place->arena;
    uint8_t *at = arena->region->base + udsi_slots_offset(place->bit, arena->slot_size);
    /* From where it lies, be that an arena of another peer, who may change it meanwhile: what he did is what is sent. */
    const void *body = uds_msg_peek_body_shared(msg, NULL);

    if (body != at) {
        if (place->past)
            udsi_slot_copy_past(at, body, msg->body_len);
        else
            memcpy(at, body, msg->body_len);
    }
    arena->out |= place->bit;
}

int uds_conn_reserve_body(uds_conn *conn, uds_msg *msg, size_t len, void **ret_body)
{
    struct udsi_place place;
    struct udsi_lease *lease;
    enum udsi_way way;

    if (msg->sealed)
        return -EBUSY;
    msg->is_placed = false;
    if (!is_worth(conn, len) || len > UINT32_MAX || !may_use(conn) || !conn->arenas)
        return uds_msg_reserve_body(msg, len, ret_body);
    way = way_of(conn, len);
    if (way == UDSI_WAY_FRAME && !udsi_pace_needs_slots(pace_of(conn->arenas, len))) {
        count_body(conn, len);
        msg->is_placed = true;
    }
    if (way == UDSI_WAY_FRAME || !find_free(conn->arenas, len, &place))
        return uds_msg_reserve_body(msg, len, ret_body);
    lease = udsi_lease_new(place.arena->region, place.bit,
                           udsi_slots_offset(place.bit, place.arena->slot_size));
    if (!lease)
        return -ENOMEM;
    count_body(conn, len);
    msg->is_placed = true;
    if (way == UDSI_WAY_PAST)
        udsi_slot_wipe_past(lease->at, len);
    place.arena->held |= place.bit;
    udsi_msg_build_in(msg, lease, len, (size_t)place.arena->slot_size);
    *ret_body = msg->body;
    return 0;
}

bool udsi_arena_is_starved(const uds_conn *conn, const uds_msg *msg)
{
    size_t len = msg->body_len;
    struct udsi_arenas *arenas = conn->arenas;
    struct udsi_place place;
    bool some_out = false;

    if (!arenas || !is_worth(conn, len) || !may_use(conn) || way_of(conn, len) == UDSI_WAY_FRAME)
        return false;
    for (unsigned i = 0; i < arenas->nown; i++)
        some_out = some_out ||
                   (arenas->own[i].region && arenas->own[i].slot_size >= len && arenas->own[i].out);
    return some_out && !find_free(arenas, len, &place);
}

bool udsi_arena_take_back(uds_conn *conn)
{
    struct udsi_own_arena *arena;
    struct udsi_out *front;

    if (conn->out.count == 0 || conn->out.sent > 0)
        return false;
    front = udsi_sendq_at(&conn->out, 0);
    if (front->nfds == 0 || !front->payload || front->payload->type != UDS_MSG_ARENA)
        return false;
    arena = find(conn->arenas, front->payload->id);
    if (arena)
        drop(conn->arenas, arena);
    if (conn->arenas)
        conn->arenas->refusals++;
    udsi_sendq_drop_first(&conn->out);
    udsi_arena_tell_slot(conn);
    return true;
}

void udsi_arena_unsend(uds_conn *conn, const struct udsi_out *out)
{
    struct udsi_bodyref ref = udsi_bodyref_decode(out->own_head + out->head_len);
    struct udsi_own_arena *arena = find(conn->arenas, ref.arena);
    uint64_t bit;

    if (arena && udsi_slots_find(ref.offset, arena->slot_size, UDSI_SLOTS_MAX, &bit))
        arena->out &= ~bit;
    udsi_arena_tell_slot(conn);
}

void udsi_release_take(uds_conn *conn, const uds_msg *msg)
{
    struct udsi_own_arena *arena = find(conn->arenas, msg->id);
    struct udsi_reader reader = {.at = msg->body, .left = msg->body_len};
    uint64_t slots = udsi_read_u64(&reader);

    if (!arena || reader.bad || reader.left > 0 || msg->head_len > 0 || msg->nfds > 0 ||
        msg->error != 0 || (slots & ~arena->out) ||
        (slots == 0 && (arena->granted || arena->out != arena->all))) {
        udsi_conn_fail_rule(conn, UDSI_RULE_RELEASE);
        return;
    }
    udsi_arena_tell_slot(conn);
    if (slots == 0) {
        drop(conn->arenas, arena);
        conn->arenas->refusals++;
        return;
    }
    arena->granted = true;
    arena->out &= ~slots;
}

int udsi_arena_withdraw_former(uds_conn *conn)
{
    for (unsigned i = conn->arenas->nown; i-- > 0;) {
        struct udsi_own_arena *arena = &conn->arenas->own[i];
        int r = !arena->region && arena->out == 0 ? withdraw(conn, arena) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}
