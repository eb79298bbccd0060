/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_RINGLINK_H
#define UDSI_CONN_RINGLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

#include "conn/recv.h"
#include "conn/ring.h"
#include "conn/sendq.h"

/*
 * The rings of a connection, and its socket beside them: what carries the bytes of the frames once a direction has gone
 * over. ringlink.c is the transport, ringoffer.c how two sides agree on one.
 *
 * I1  until out_over this side writes nothing but frames into the socket, and rings nobody
 * I2  from in_over on every byte that comes from the socket is a doorbell, and the descriptors beside it are for the
 *     next frame that claims some; nheld <= 2
 */
struct udsi_ringlink {
    struct udsi_ring ring;
    int fd;    /* the connection's socket, borrowed */
    int memfd; /* owned, kept for a move into another process image */
    void *base;
    unsigned side; /* 0: we made the memory */
    uint64_t id;   /* of the OFFER */
    bool offered;  /* it is ours and has no answer yet */
    bool in_over, out_over;

    bool listening; /* we slept since the socket was last found empty: there may be a byte in it */
    bool lazy;      /* let it lie, the caller does not poll for level */
    bool more_lies; /* the last look at the socket has not come to the bottom of it */
    unsigned naps;  /* sleeps since then: at most as many bytes have come from an honest peer */
    bool ending;    /* epoll has told of the end, which may lie behind doorbells */
    bool ended;     /* the socket is at its end */
    bool socket_full; /* descriptors wait for POLLOUT */
    int nap_fd;       /* epoll, -1 until the first blocking wait */
    uint32_t spin_ns; /* how long the next spin may last */
    unsigned waits;

    uint32_t max_fds;                     /* in a batch, as our HELLO said */
    struct udsi_batch held[UDSI_BATCHES]; /* descriptors whose frame has not been parsed */
    size_t nheld;
    enum udsi_rule rule; /* what the peer broke, with -EPROTO */
};

struct udsi_ringlink *udsi_ringlink_free(struct udsi_ringlink *link);

/* ---- the transport; all of it as udsi_recv() and udsi_sendq_send() ---- */

/* Bytes, 0 the end, -EAGAIN, -EPROTO, or what recvmsg said. */
ssize_t udsi_ringlink_read(struct udsi_ringlink *link, const struct iovec *iov, size_t niov);

/* The descriptors of the frame that is parsed now, into @ret. 0, -EPROTO none came before it. */
int udsi_ringlink_claim(struct udsi_ringlink *link, struct udsi_batch *ret);

/* Keeps descriptors that came with bytes behind the peer's last frame on the stream. Takes them in any case. */
int udsi_ringlink_hold(struct udsi_ringlink *link, struct udsi_batch *batch);

/* 0 nothing is left, -EAGAIN no room (or the socket is full, for descriptors), or -errno. */
int udsi_ringlink_send(struct udsi_ringlink *link, struct udsi_sendq *queue);

/* ---- waiting ---- */

/* Before the caller may wait: which of enum udsi_ring_need can be served at once; for 0 the peer will ring. */
uint32_t udsi_ringlink_sleep(uds_conn *conn);
/* Awake again. @lazy: a byte may be left in the socket, the caller does not poll for it. @conn has a ring. */
void udsi_ringlink_wake(uds_conn *conn, bool lazy);
/* Does a byte on the socket mean something even if no message is wanted? */
bool udsi_ringlink_wants_bell(const uds_conn *conn);
/* Looks for bytes (@needs: UDSI_RING_DATA) or room a little while, if the peer runs elsewhere. True: there are. */
bool udsi_ringlink_spin(uds_conn *conn, uint32_t needs);
/* Sleeps until the socket has something, @timeout_ms at most. 0, or -errno. After udsi_ringlink_sleep(). */
int udsi_ringlink_nap(uds_conn *conn, int timeout_ms);

bool udsi_ringlink_check(const struct udsi_ringlink *link);

/* ---- agreeing, and moving ---- */

/* The peer's HELLO has come: offers a ring, if we are to. */
void udsi_ring_propose(uds_conn *conn);

/* The OFFER at the head of the queue cannot be sent: as if there had been none. False: there is no such thing. */
bool udsi_ring_take_back(uds_conn *conn);
/* A RING frame. May make the connection CLOSED. */
void udsi_ring_take(uds_conn *conn, uds_msg *msg);
void udsi_ringlink_serialise(const uds_conn *conn, uds_snapshot *s);
int udsi_ringlink_restore(uds_conn *conn, uds_snapshot *s);

#endif
