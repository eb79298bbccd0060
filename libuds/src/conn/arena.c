/* SPDX-License-Identifier: MIT */

/*
 * What both halves of arenas (arena-own.c, arena-peer.c) share: the table, the frames, and the move to another image.
 *
 * A new image cannot write to the arenas of the old one: F_SEAL_FUTURE_WRITE refuses it the mapping. It keeps their numbers
 * and what is out, so that frames that are queued stay good and RELEASE is understood, and withdraws each when all of
 * it is back; bodies of its own go to arenas of its own. The peer's arenas are mapped again. Messages of the old image
 * die with it, so what they held is let go of.
 */

#include "conn/arena.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"

struct udsi_arenas *udsi_arenas_get(uds_conn *conn)
{
    static const enum udsi_way ways[] = {
        [UDS_BODY_PATH_ARENA] = UDSI_WAY_SLOT,
        [UDS_BODY_PATH_UNCACHED] = UDSI_WAY_PAST,
        [UDS_BODY_PATH_IN_FRAMES] = UDSI_WAY_FRAME,
    };

    if (conn->arenas)
        return conn->arenas;
    conn->arenas = calloc(1, sizeof(*conn->arenas));
    for (unsigned i = 0; conn->arenas && i < UDSI_CLASSES; i++)
        if (conn->body_path != UDS_BODY_PATH_MEASURED)
            udsi_pace_fix(&conn->arenas->paces[i], ways[conn->body_path]);
    return conn->arenas;
}

int udsi_arena_queue_frame(
    uds_conn *conn, uint8_t type, uint64_t number, const void *body, size_t len, int fd)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = udsi_msg_alloc(&msg, type, number, 0, len);

    if (r < 0)
        return r;
    if (len > 0)
        memcpy(msg->body, body, len);
    msg->body_len = len;
    if (fd >= 0)
        r = udsi_msg_adopt_fds(msg, &fd, 1);
    if (r < 0)
        return r;
    msg->sealed = true;
    r = udsi_sendq_push(&conn->out, type, number, NULL, 0, msg, true);
    if (r < 0)
        msg->nfds = 0; /* the caller's again */
    return r;
}

void udsi_arenas_free(uds_conn *conn)
{
    struct udsi_arenas *arenas = conn->arenas;

    if (!arenas)
        return;
    conn->arenas = NULL;
    for (unsigned i = 0; i < arenas->nown; i++)
        (void)udsi_region_unref(arenas->own[i].region);
    for (unsigned i = 0; i < arenas->npeer; i++) {
        (void)udsi_region_unref(arenas->peer[i].region);
        udsi_close(arenas->peer[i].fd);
    }
    free(arenas);
}

void udsi_arenas_serialise(uds_conn *conn, uds_snapshot *s)
{
    static const struct udsi_arenas none = {0};
    const struct udsi_arenas *arenas = conn->arenas ? conn->arenas : &none;

    uds_snapshot_put_u64(s, conn->peer_arena_bytes);
    uds_snapshot_put_u64(s, arenas->own_last);
    uds_snapshot_put_u64(s, arenas->peer_last);
    uds_snapshot_put_u32(s, arenas->nown);
    for (unsigned i = 0; i < arenas->nown; i++) {
        const struct udsi_own_arena *own = &arenas->own[i];

        uds_snapshot_put_u64(s, own->number);
        uds_snapshot_put_u64(s, own->slot_size);
        uds_snapshot_put_u64(s, own->all);
        uds_snapshot_put_u64(s, own->out);
        uds_snapshot_put_u32(s, own->granted);
    }
    uds_snapshot_put_u32(s, arenas->npeer);
    for (unsigned i = 0; i < arenas->npeer; i++) {
        const struct udsi_peer_arena *peer = &arenas->peer[i];

        uds_snapshot_put_u64(s, peer->number);
        uds_snapshot_put_u64(s, peer->slot_size);
        uds_snapshot_put_u64(s, peer->in_hand);
        uds_snapshot_put_fd(s, peer->fd);
    }
}

static int restore_own(uds_snapshot *s, struct udsi_arenas *arenas)
{
    struct udsi_own_arena *own = &arenas->own[arenas->nown];
    uint64_t count;

    *own = (struct udsi_own_arena){0};
    own->number = uds_snapshot_get_u64(s);
    own->slot_size = uds_snapshot_get_u64(s);
    own->all = uds_snapshot_get_u64(s);
    own->out = uds_snapshot_get_u64(s);
    own->granted = uds_snapshot_get_u32(s) != 0;
    count = (uint64_t)__builtin_popcountll(own->all);
    if (uds_snapshot_error(s) || own->number == 0 || own->number > arenas->own_last ||
        own->slot_size > UINT32_MAX || count == 0 || own->all != udsi_slots_all((unsigned)count) ||
        (own->out & ~own->all) || udsi_slots_count(count * own->slot_size, own->slot_size) != count)
        return -EBADMSG;
    arenas->own_bytes += count * own->slot_size;
    arenas->nown++;
    return 0;
}

static int restore_peer(uds_snapshot *s, struct udsi_arenas *arenas, uint64_t limit)
{
    uint64_t number = uds_snapshot_get_u64(s), slot_size = uds_snapshot_get_u64(s);
    uint64_t in_hand = uds_snapshot_get_u64(s);
    _cleanup_close_ int fd = uds_snapshot_get_fd(s);
    struct udsi_peer_arena *peer;
    int error = 0;

    if (fd < 0 || number == 0 || number > arenas->peer_last ||
        udsi_arena_adopt(arenas, limit, number, slot_size, fd, &error) != UDSI_RULE_NONE)
        return -EBADMSG;
    if (error < 0)
        return error;
    (void)udsi_take_fd(&fd);
    peer = &arenas->peer[arenas->npeer - 1];
    if (in_hand & ~udsi_slots_all(peer->count))
        return -EBADMSG;
    peer->in_hand = in_hand;
    atomic_store_explicit(&peer->region->let_go, in_hand, memory_order_relaxed);
    return 0;
}

int udsi_arenas_restore(uds_conn *conn, uds_snapshot *s)
{
    struct udsi_arenas *arenas;
    uint64_t own_last, peer_last;
    uint32_t count;
    int r = 0;

    conn->peer_arena_bytes = uds_snapshot_get_u64(s);
    own_last = uds_snapshot_get_u64(s);
    peer_last = uds_snapshot_get_u64(s);
    if (own_last == 0 && peer_last == 0) { /* there were none, ever */
        uint32_t own = uds_snapshot_get_u32(s), peer = uds_snapshot_get_u32(s);

        return uds_snapshot_error(s) || own > 0 || peer > 0 ? -EBADMSG : 0;
    }
    arenas = udsi_arenas_get(conn);
    if (!arenas)
        return -ENOMEM;
    arenas->own_last = own_last;
    arenas->peer_last = peer_last;
    count = uds_snapshot_get_u32(s);
    if (count > UDSI_ARENAS_MAX)
        return -EBADMSG;
    while (r == 0 && count-- > 0)
        r = restore_own(s, arenas);
    count = uds_snapshot_get_u32(s);
    if (count > UDSI_ARENAS_MAX)
        return -EBADMSG;
    while (r == 0 && count-- > 0)
        r = restore_peer(s, arenas, conn->arena_bytes);
    return r;
}

bool udsi_arenas_check(const uds_conn *conn)
{
    const struct udsi_arenas *arenas = conn->arenas;
    uint64_t own_bytes = 0, peer_bytes = 0;

    if (!arenas)
        return true;
    for (unsigned i = 0; i < arenas->nown; i++) {
        const struct udsi_own_arena *own = &arenas->own[i];

        if (((own->out | own->held) & ~own->all) || own->number > arenas->own_last ||
            (!own->region && own->held))
            return false;
        own_bytes += (uint64_t)__builtin_popcountll(own->all) * own->slot_size;
    }
    for (unsigned i = 0; i < arenas->npeer; i++) {
        const struct udsi_peer_arena *peer = &arenas->peer[i];

        if ((peer->in_hand & ~udsi_slots_all(peer->count)) ||
            (atomic_load(&peer->region->let_go) & ~peer->in_hand) || peer->fd < 0 ||
            peer->number > arenas->peer_last)
            return false;
        peer_bytes += peer->count * peer->slot_size;
    }
    return arenas->npeer + arenas->nrefused <= UDSI_ARENAS_MAX && own_bytes == arenas->own_bytes &&
           peer_bytes == arenas->peer_bytes && peer_bytes <= conn->arena_bytes;
}
