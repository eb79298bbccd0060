/* SPDX-License-Identifier: MIT */
#ifndef UDS_CONN_H
#define UDS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/addr.h>
#include <uds/cred.h>
#include <uds/msg.h>
#include <uds/snapshot.h>
#include <uds/version.h>

/*
 * A connection: framed messages both ways over one socket, with descriptors.
 *
 *   OPENING ── HELLO arrived ──▶ OPEN ── uds_conn_shutdown(), GOODBYE ──▶ CLOSING ──▶ CLOSED(reason)
 *
 * The core never blocks. Any loop drives it: poll uds_conn_get_fd() for uds_conn_get_events(), at the latest after
 * uds_conn_get_timeout(), then call uds_conn_process(). Messages are sent in order; until the peer's HELLO has come they
 * wait in the queue. Everything that is queued when process() or flush() runs goes out in as few sendmsg as the fd
 * rules permit. The blocking calls (…_wait) are the same core with poll(2) between.
 *
 * Callbacks come last in process() with a reference held: they may send, shut down, and unref the connection. on_rearm and the
 * loop hook alone come in the middle of other functions: they may look at fd, events and timeout and take note, and no more.
 * A connection belongs to one thread at a time; it is not usable after fork(2) in the child, except to be freed.
 *
 * Unless a comment says otherwise: @conn is not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * the one that owns the connection, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_conn uds_conn;

/*
 * How a body that is large enough for an arena travels. Which way is fastest depends on the caches that the two sides
 * share at the time, so a connection measures it with the bodies that it sends, and goes on measuring. Until it has, they go
 * inside their frames: those below 256 KiB for the first 32 MiB of their class of sizes. The other values are for who has
 * measured better.
 */
enum uds_body_path {
    UDS_BODY_PATH_MEASURED, /* the way that was fastest lately */
    UDS_BODY_PATH_ARENA,    /* in an arena, if there is room */
    UDS_BODY_PATH_UNCACHED, /* the same, written past the caches of our core where the machine can (x86) */
    UDS_BODY_PATH_IN_FRAMES, /* over the socket */
};

struct uds_conn_options {
    /* sizeof(struct uds_conn_options), as UDS_CONN_OPTIONS_INIT sets it; anything else is -EINVAL */
    size_t size;
    /* largest body that we accept, bytes; 0 = UDS_BODY_DEFAULT. Told to the peer in HELLO */
    uint32_t max_body;
    /* fds per message that we accept, 0 … UDS_FDS_MAX. Set by UDS_CONN_OPTIONS_INIT to UDS_FDS_DEFAULT. 0: the kernel
     * refuses them as well (6.16), before they are here; a socket that refuses them already (a listener's refuse_fds)
     * makes it 0 */
    uint32_t max_fds;
    /* bound of the send queue, bytes; 0 = 32 MiB. One message always fits when the queue is empty */
    size_t send_queue_bytes;
    size_t send_queue_fds;        /* bound of queued fds; 0 = 1024 */
    size_t high_water, low_water; /* bytes for on_writable; 0 = half and an eighth of the bound */
    /* 0 = none. When nothing came from the peer for so long it is asked for a sign of life (PING), and given up with
     * -ETIMEDOUT when nothing comes for as long again. Only while we read, and while somebody drives the connection;
     * nothing happens with a peer that lacks UDS_FEATURE_HEARTBEAT. At most a day */
    uint32_t heartbeat_ms;
    /* Bound of the shared memory for large bodies, bytes: of what we make of it, and of what we map of the peer's, which the
     * peer pays for. 0 = none. Set by UDS_CONN_OPTIONS_INIT to UDS_ARENA_DEFAULT */
    size_t arena_bytes;
    /* how large bodies of ours travel where arenas are in use; 0 = UDS_BODY_PATH_MEASURED */
    enum uds_body_path body_path;
    /* 0 = no ring. Otherwise frames go through shared memory, if both sides want that: of each direction that we
     * offer, and the most that we take of a peer. A power of two, 4096 … 16 MiB; stream sockets only */
    uint32_t ring_bytes;
    /* offer one as soon as the peer's HELLO has come, if it can have rings. The other side only takes; when both
     * offer, one of the two stands. Nothing happens without ring_bytes */
    bool ring_propose;
    /* how long a message with fds may stand at the head of the send queue because too many of this user are in flight
     * (-ETOOMANYREFS), before on_refused gives it back; 0 = for ever. Up to INT32_MAX */
    uint32_t max_stall_ms;
};
#define UDS_CONN_OPTIONS_INIT \
    UDS_INIT_2(uds_conn_options, .max_fds = UDS_FDS_DEFAULT, .arena_bytes = UDS_ARENA_DEFAULT)

/* Two slots for the largest bodies that were seen to gain much, 4 MiB. Nothing of it is made before a connection has sent
 * several times as much in large bodies. */
#define UDS_ARENA_DEFAULT ((size_t)8 << 20)

/*
 * Abilities beyond the first frames of the protocol, bits of FEATURES in HELLO (docs/protocol.md, "Versions and
 * extensions"). One is in use when both sides have it: uds_conn_get_features().
 */
enum uds_feature {
    UDS_FEATURE_HEARTBEAT = 1u << 0, /* PING and PONG */
    UDS_FEATURE_FINISH = 1u << 1,    /* half-close */
    UDS_FEATURE_ARENA = 1u << 2,     /* large bodies in shared memory */
    UDS_FEATURE_RING = 1u << 3,      /* frames in shared memory */
    UDS_FEATURE_STREAMING = 1u << 4, /* calls with more than one reply */
};

struct uds_conn_callbacks {
    /* One message. Ownership: the callback owns the reference @msg. */
    void (*on_message)(uds_conn *conn, uds_msg *msg, void *arg);
    /* Once, when the connection is over: @error 0 for an orderly end, else -errno (-EPROTO, -ECONNRESET, -EPIPE …). Called
     * by process() and the receive calls, never from inside send() or flush(); until then get_timeout() is 0. */
    void (*on_close)(uds_conn *conn, int error, void *arg);
    /* The send queue fell to the low-water mark after it had been above the high-water mark. May be NULL. */
    void (*on_writable)(uds_conn *conn, void *arg);
    /* What poll must wait for (events or timeout) may have changed outside process(): a loop glue re-reads it, and does nothing
     * else, for who called it goes on with the connection. May be NULL. */
    void (*on_rearm)(uds_conn *conn, void *arg);
    /* A frame that is only partly here holds @bytes of memory and @fds descriptors; 0, 0: none does any more. Called by
     * process() when either has changed, so that who serves many strangers can bound what they park. May be NULL. */
    void (*on_unfinished)(uds_conn *conn, size_t bytes, size_t fds, void *arg);
    /* A message that was queued is not sent, because of its fds; the connection goes on, and what was queued behind it has gone
     * out or will. @error -EPERM: the peer's socket refuses fds (SO_PASSRIGHTS) whatever its HELLO said; -ETOOMANYREFS: max_stall_ms
     * passed. @type and @id are the frame's, @payload (its body and fds; NULL: no body) is borrowed. With
     * a PART the rest of that answer that is queued is given back, too. Called by process() and the receive
     * calls; until then sends with fds fail with @error. May be NULL: then it is only counted. */
    void (*on_refused)(uds_conn *conn,
                       enum uds_msg_type type,
                       uint64_t id,
                       uds_msg *payload,
                       int error,
                       void *arg);
    /* The peer has no more messages to send (uds_conn_finish() there); ours still reach it. Called by process(), after its last
     * message was given out. May be NULL. */
    void (*on_finish)(uds_conn *conn, void *arg);
};

/**
 * uds_conn_new() - make a connection of a connected socket
 * @ret:     one reference; written on success only
 * @fd:      connected SOCK_STREAM or SOCK_SEQPACKET AF_UNIX socket; made FD_CLOEXEC and, as O_NONBLOCK of a description
 *           that a peer may share is worth nothing, blocking: the library says MSG_DONTWAIT with each call instead
 * @options: NULL for the defaults
 *
 * Queues our HELLO; nothing is sent before process(), flush() or a …_wait call.
 *
 * Ownership: success moves @fd into the connection, failure leaves it.
 * Errors:    -EINVAL option out of range or @options->size unknown, -ENOTSOCK, -EAFNOSUPPORT not AF_UNIX,
 *            -EPROTOTYPE a datagram socket, -ENOMEM.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_conn_new(uds_conn **ret, int fd, const struct uds_conn_options *options);

/**
 * uds_conn_connect() - connect to an address
 * @addr:       kind path, abstract or fd (adopted, see uds_conn_new(); the fd is duplicated)
 * @options:    NULL for the defaults
 * @timeout_ms: how long connect(2) may wait for a full backlog; -1 forever, 0 not at all
 * @ret:        one reference; written on success only
 *
 * Ownership: the caller's.
 * Errors:    as uds_conn_new(); -ECONNREFUSED nobody listens; -ENOENT no such socket; -EACCES; -ETIMEDOUT; -EAGAIN.
 * Blocking:  up to @timeout_ms.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_connect(uds_conn **ret,
                                              const struct uds_addr *addr,
                                              const struct uds_conn_options *options,
                                              int timeout_ms);

/**
 * uds_conn_pair() - two connections that are each other's peer (socketpair)
 * @ret_a, @ret_b: one reference each; written on success only
 * @options:       for both; NULL for the defaults
 *
 * Ownership: the caller's.   Errors: -EINVAL options, -EMFILE, -ENFILE, -ENOMEM.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_conn_pair(uds_conn **ret_a, uds_conn **ret_b, const struct uds_conn_options *options);

/** uds_conn_pair_records() - the same with a SEQPACKET socketpair: one frame a record, see uds_conn_get_max_record(). Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int
uds_conn_pair_records(uds_conn **ret_a, uds_conn **ret_b, const struct uds_conn_options *options);

/** uds_conn_ref() - one more reference, which the caller gives back by uds_conn_unref(); returns @conn. Since: 0.1. */
UDS_EXPORT uds_conn *uds_conn_ref(uds_conn *conn);

/**
 * uds_conn_unref() - one reference less; the last closes the socket at once and drops what is queued
 * @conn: NULL is fine
 *
 * What shall still go out is sent by uds_conn_shutdown() and process() first. on_close does not run for this.
 * Returns NULL. Ownership: the caller's reference is gone. Since: 0.1.
 */
UDS_EXPORT uds_conn *uds_conn_unref(uds_conn *conn);

/**
 * uds_conn_set_callbacks() - who is told
 * @callbacks: copied; NULL removes them: then take every message by uds_conn_receive(), for reading stops at the first that
 *             nobody took
 * @arg:       their last argument
 *
 * Replaces the former ones; allowed inside any callback. Since: 0.1.
 */
UDS_EXPORT void
uds_conn_set_callbacks(uds_conn *conn, const struct uds_conn_callbacks *callbacks, void *arg);

/**
 * uds_conn_set_loop_hook() - a loop glue's own on_rearm, so that the application's callbacks stay the application's
 * @hook: told with @arg, before on_rearm, whenever that is; and in every case right before the connection closes its socket,
 *        when uds_conn_get_fd() already says -1: the last moment to take the number out of the loop. NULL removes it
 *
 * One hook a connection; libuds-event uses it. Since: 0.1.
 */
UDS_EXPORT void
uds_conn_set_loop_hook(uds_conn *conn, void (*hook)(uds_conn *conn, void *arg), void *arg);

/** uds_conn_get_fd() - the socket, to be polled and nothing else; it stays the connection's. -1 once closed. Since: 0.1. */
UDS_EXPORT int uds_conn_get_fd(const uds_conn *conn);
/** uds_conn_get_events() - POLLIN | POLLOUT; 0: leave the fd out of the poll set (a hang-up would wake it again and again). Since: 0.1. */
UDS_EXPORT short uds_conn_get_events(const uds_conn *conn);
/** uds_conn_get_timeout() - ms after which process() is due whatever poll says; 0 at once, -1 never. Since: 0.1. */
UDS_EXPORT int uds_conn_get_timeout(const uds_conn *conn);

/**
 * uds_conn_process() - do what can be done without blocking: receive, dispatch, send
 *
 * Bounded: at most 256 messages are dispatched in one call, so that one peer cannot hold the loop.
 *
 * Returns 1 there is more to do at once, 0 wait in poll; -ECONNRESET, -EPROTO, -EPIPE, … once the connection is closed
 * (on_close has been called; uds_conn_get_error_text() has the words), -ESHUTDOWN after an orderly end.
 * Blocking: never. Threads: owner. Since: 0.1.
 */
UDS_EXPORT int uds_conn_process(uds_conn *conn);

/**
 * uds_conn_send() - queue a message
 * @msg: becomes immutable
 *
 * The message goes out at the next process() or flush(). Use one flush for many sends. A large body is copied into shared memory
 * that the peer reads (docs/protocol.md, "Large bodies") when both sides allow it and the connection sends many;
 * otherwise, and always when no room is free there, it goes over the socket. Order is the same. On a SEQPACKET socket what is
 * over uds_conn_get_max_record() goes by shared memory alone: while none is free, -ENOBUFS, and on_writable tells when to
 * try again; the first one always has to wait so.
 *
 * Ownership: takes its own reference, or copies what is small; the caller's stays.
 * Errors:    -EMSGSIZE body over the peer's limit, or all of it over uds_conn_get_max_record() and shared memory not agreed or too
 *            small for it (arena_bytes); -E2BIG more fds than the peer
 *            takes; -EPERM, -ETOOMANYREFS @msg has fds and another one's were refused (on_refused); -ENOBUFS queue bound reached, or no slot free (nothing was queued),
 *            -ESTALE a descriptor was taken out of it, -EPIPE after uds_conn_finish(), -ENOTCONN closed or closing, -ENOMEM;
 *            -EMFILE, -ENFILE, -EPERM there is no descriptor for the shared memory that a body needs, or memfds are forbidden.
 * Blocking:  never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_send(uds_conn *conn, uds_msg *msg);

/**
 * uds_conn_reserve_body() - room for a body where the peer will read it: a send without a copy
 * @conn: the one that @msg will be sent on
 * @msg:  not yet sent
 * @len:  bytes; replaces the former body
 * @ret_body: where to write; valid until the message is sent or its body replaced; written on success only
 *
 * As uds_msg_reserve_body(), which it falls back to: when arenas are not in use, the body is small, no slot is free, or bodies
 * go inside their frames, as they do at first and where that is found to be faster (body_path; UDS_BODY_PATH_ARENA asks for a
 * slot each time). What is at *@ret_body is undefined until it is written. There is nothing to commit: uds_conn_send() names
 * the place instead of copying. uds_msg_reserve_body() with a smaller length keeps place and contents. A message that is not
 * sent after all gives its slot back with its last reference; one that is sent on another connection is copied. Keep messages
 * no longer than needed: while one lives, its slot serves no other.
 *
 * Ownership: the message's.   Errors: -EBUSY already sent, -EINVAL, -ENOMEM.   Blocking: never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_conn_reserve_body(uds_conn *conn, uds_msg *msg, size_t len, void **ret_body);

/**
 * uds_conn_trim_arenas() - give back the shared memory for large bodies that is not in use
 *
 * For a connection that will be idle for long: what it made for large bodies stays with it otherwise, up to arena_bytes. The
 * peer is told with the next flush.
 *
 * Returns how many bytes were given back. Since: 0.1.
 */
UDS_EXPORT size_t uds_conn_trim_arenas(uds_conn *conn);

/**
 * uds_conn_forward() - queue a new frame that shares a body (and fds) with a message that came from elsewhere
 * @type, @id: of the new frame
 * @head:      encoded head fields, copied; @head_len <= UDS_HEAD_MAX
 * @payload:   body to share; NULL = empty. Its fds go along if @with_fds. Becomes immutable
 *
 * What a router needs: one parsed message to many receivers without copying its body (but for one that lies in shared memory of
 * another peer, which is copied: nobody sees memory of a third party).
 *
 * Ownership: takes its own reference of @payload.
 * Errors:    as uds_conn_send(); -EINVAL @head_len over UDS_HEAD_MAX, or no @head for it.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_forward(uds_conn *conn,
                                              enum uds_msg_type type,
                                              uint64_t id,
                                              const void *head,
                                              size_t head_len,
                                              uds_msg *payload,
                                              bool with_fds);

/**
 * uds_conn_flush() - send what the socket takes now
 *
 * Returns 0 all gone; 1 some is left: wait as get_events and get_timeout say.
 * Errors: -EPIPE, -ECONNRESET the peer reads no more (what it sent before is still received); as process() once closed. No
 * callback but on_rearm runs. Since: 0.1.
 */
UDS_EXPORT int uds_conn_flush(uds_conn *conn);

/**
 * uds_conn_receive() - take the next message, when no on_message is set
 * @ret: written when 1 is returned
 *
 * Returns 1 and a message, 0 none is there. Ownership: the caller unrefs the message. Errors: -ENODATA the peer has finished
 * (uds_conn_finish()): no message will come, but ours still reach it; as uds_conn_process(); on_close runs before the first
 * of those is returned. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_receive(uds_conn *conn, uds_msg **ret);

/**
 * uds_conn_receive_wait() / uds_conn_send_wait() - the blocking forms
 * @timeout_ms: -1 forever
 *
 * send_wait returns when the kernel has taken every byte. On SEQPACKET it waits for shared memory, too, if the message fits no
 * record; -ENOBUFS: it cannot, because what would bring it is behind a message that is still to be received. receive_wait returns 0 and a message (unlike receive(), 0 is success).
 * Errors: as above and -ETIMEDOUT (for send: the message may be partly out, it goes on with the next call); of receive_wait
 * -ECANCELED a callback has given up the last reference. -EPERM and
 * -ETOOMANYREFS of send_wait are @msg's own: it has not gone, and on_refused does not tell it again.
 * Blocking: up to @timeout_ms. Threads: owner. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_receive_wait(uds_conn *conn, uds_msg **ret, int timeout_ms);
UDS_EXPORT UDS_NODISCARD int uds_conn_send_wait(uds_conn *conn, uds_msg *msg, int timeout_ms);

/**
 * uds_conn_shutdown() - end in order: what is queued goes out, then GOODBYE with a status, then the socket closes
 * @status: enum uds_status
 * @reason: one line for people, copied; NULL for none
 *
 * Only queues: process() or flush() does the rest, and on_close tells when. Nothing can be sent any more. A peer that does not
 * read holds the connection open: with heartbeat_ms it is given up (-ETIMEDOUT) when it has taken nothing for twice as long;
 * without, unref at a time of your own.
 * Errors: -ENOTCONN closed, or said before; -ENOMEM. 0 when the peer said GOODBYE first.   Since: 0.1.
 */
UDS_EXPORT int uds_conn_shutdown(uds_conn *conn, uint32_t status, const char *reason);

/**
 * uds_conn_finish() - half-close: say that no more messages come from our side, and go on receiving
 *
 * Goes out after what is queued. The peer's on_finish runs, its receive calls say -ENODATA. When both sides have finished, the
 * connection ends in order. Afterwards send() is -EPIPE; calls (rpc.h) cannot be made nor answered.
 * Errors: -EOPNOTSUPP the peer lacks UDS_FEATURE_FINISH; -EAGAIN its HELLO has not come; -EALREADY said before; -ENOTCONN
 * closed or closing; -ENOMEM. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_finish(uds_conn *conn);

/**
 * uds_conn_pause() / uds_conn_resume() - stop reading for a reason, and go on when no reason is left
 * @reason: bits of the caller's choice; each pauses and resumes for itself
 *
 * Sending goes on. Messages that were received and not yet dispatched wait, too. on_rearm runs. Since: 0.1.
 */
UDS_EXPORT void uds_conn_pause(uds_conn *conn, uint32_t reason);
UDS_EXPORT void uds_conn_resume(uds_conn *conn, uint32_t reason);

/** uds_conn_get_queued_bytes() - what waits to be sent, heads and headers included; 0 once closed. Since: 0.1. */
UDS_EXPORT size_t uds_conn_get_queued_bytes(const uds_conn *conn);
/** uds_conn_get_queued_fds() - descriptors that wait to be sent; 0 once closed. Since: 0.1. */
UDS_EXPORT size_t uds_conn_get_queued_fds(const uds_conn *conn);
/**
 * uds_conn_get_max_record() - the largest frame that a SEQPACKET socket takes, bytes, header and head included; 0 for a stream
 *
 * What is larger goes by shared memory if at all, see uds_conn_send(). SO_SNDBUF - 32 when the connection was made (net/unix/af_unix.c, unix_dgram_sendmsg()); uds_msg_get_size() says what a
 * message needs. Since: 0.1.
 */
UDS_EXPORT size_t uds_conn_get_max_record(const uds_conn *conn);
/**
 * uds_conn_get_stall_ms() - since when the kernel has no room for what is to be sent, ms; -1 it has, or poll(2) can wait for it
 *
 * Too many fds of this *user* are in flight, in sockets of whichever process (RLIMIT_NOFILE, unix(7)), or there is no memory.
 * It is tried again after 10 ms, 20, … up to 160; all that is queued waits, in order. Since: 0.1.
 */
UDS_EXPORT int uds_conn_get_stall_ms(const uds_conn *conn);
/** uds_conn_get_refused_count() - messages of ours that were not sent because of their fds. Since: 0.1. */
UDS_EXPORT uint64_t uds_conn_get_refused_count(const uds_conn *conn);
/** uds_conn_get_refused_fds() - fds that came although we take none, or not so many; all are closed. Since: 0.1. */
UDS_EXPORT uint64_t uds_conn_get_refused_fds(const uds_conn *conn);
/** uds_conn_get_peer_max_body() - the largest body that the peer takes, bytes, as its HELLO said; 0 before that came. Since: 0.1. */
UDS_EXPORT uint32_t uds_conn_get_peer_max_body(const uds_conn *conn);
/** uds_conn_get_peer_max_fds() - how many fds the peer takes with one message; 0 before its HELLO came. Since: 0.1. */
UDS_EXPORT uint32_t uds_conn_get_peer_max_fds(const uds_conn *conn);
/** uds_conn_get_features() - bits of enum uds_feature that both sides have; 0 before the peer's HELLO came. Since: 0.1. */
UDS_EXPORT uint64_t uds_conn_get_features(const uds_conn *conn);
/**
 * uds_conn_uses_ring() - do frames go through shared memory, both ways?
 *
 * False until both sides have agreed and each has gone over to it (uds_conn_options: ring_bytes). Nothing else changes: the fd to
 * poll is still the socket, which now carries wake-ups and descriptors. Messages that were queued before keep their place.
 * Since: 0.1.
 */
UDS_EXPORT bool uds_conn_uses_ring(const uds_conn *conn);
/** uds_conn_is_open() - true between the peer's HELLO and the first sign of an end. Since: 0.1. */
UDS_EXPORT bool uds_conn_is_open(const uds_conn *conn);

/** uds_conn_get_error_text() - why it closed, with the number of the protocol rule that was broken; after the peer's
 *  goodbye, its status and reason; "" while open and after our own shutdown. The connection's. Since: 0.1. */
UDS_EXPORT const char *uds_conn_get_error_text(const uds_conn *conn);

/**
 * uds_conn_get_cred() - uds_cred_from_socket() on this connection's socket
 * @facts: bits of enum uds_cred_fact
 * @ret:   written on success only; the caller releases it by uds_cred_clear()
 *
 * Errors: as there; -ENOTCONN closed. Blocking: reads of /proc, when @facts ask for what is there. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_conn_get_cred(uds_conn *conn, uint32_t facts, struct uds_cred *ret);

/**
 * uds_conn_serialise() / uds_conn_restore() - move a connection into another process image, mid-frame if need be
 *
 * Writes options, state, partial receive buffer, received but undelivered messages, unclaimed fds, the send queue with the
 * partial offset, and the socket itself. After a successful serialise the connection must only be unref'd.
 * Ownership: the snapshot holds duplicates; @ret is one reference of the caller's, written on success only.
 * Errors: serialise: -ENOTCONN closed, uds_snapshot_error(); restore: -EBADMSG, -ENOMEM (every fd that was read is closed).
 * Release hooks of queued messages do not travel: the caller re-creates its charges. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_conn_serialise(uds_conn *conn, uds_snapshot *s);
UDS_EXPORT UDS_NODISCARD int uds_conn_restore(uds_conn **ret, uds_snapshot *s);

/**
 * uds_conn_each_queued() - visit every message in the send queue (to re-create charges after a restore)
 * @visit: @payload is borrowed, @bytes is the whole frame's size; it must not send or free the connection
 *
 * Frames without a body are passed over, and small messages without fds and release hook of which the queue has a copy
 * (uds_conn_send()); right after a restore there are none. Since: 0.1.
 */
UDS_EXPORT void uds_conn_each_queued(uds_conn *conn,
                                     void (*visit)(uds_msg *payload, size_t bytes, void *arg),
                                     void *arg);

UDS_END_DECLS

#endif
