/* SPDX-License-Identifier: MIT */
#ifndef UDS_DGRAM_H
#define UDS_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/addr.h>
#include <uds/msg.h>
#include <uds/version.h>

/*
 * Datagrams: messages without a connection. One message is one record, the same frame as on a connection, but there is
 * no HELLO: the sender does not know what the receiver takes, and a record that is over the receiver's limits, or no
 * frame, is dropped there and counted. Nothing that a stranger sends ends the socket.
 *
 * Who sent a record is a *claim*: the credentials are what the sender's process wrote beside it, and root of a user
 * namespace may name any process of its own, for the pid and the pidfd alike. Use claims for logs, never to decide what
 * somebody may do; for that there are connections and struct uds_cred. The sender's address is a claim, too: it is the
 * name under which the sender bound its socket, in *its* mount and network namespace.
 *
 * Three things that the kernel does and that a sender has to know (unix(7), net/unix/af_unix.c):
 *  - a receiver holds net.unix.max_dgram_qlen (10) + 1 records that it has not read; then sending to it is -EAGAIN. Only a
 *    pair has no such bound;
 *  - what was sent and not yet read counts against the *sender's* SO_SNDBUF, whoever the receiver is: one that never reads
 *    can make sends to all others -EAGAIN;
 *  - poll(2) knows the queue of the receiver only if the socket is connected to it. On one that is not, POLLOUT is always
 *    there while a send would be -EAGAIN. So uds_dgram_get_events() asks for POLLOUT only where it means something, and
 *    otherwise uds_dgram_get_timeout() says when to try again.
 *
 * The core never blocks. Any loop drives it: poll uds_dgram_get_fd() for uds_dgram_get_events(), at the latest after
 * uds_dgram_get_timeout(), then call uds_dgram_process(), or uds_dgram_receive() until it returns 0. Sends are not queued:
 * the kernel has the message, or the call says why not. Callbacks but on_rearm may do everything, uds_dgram_unref() included.
 * A dgram belongs to one thread at a time; in the child of a fork(2) it
 * may only be freed, by uds_dgram_unref(), which then leaves the socket file to the parent.
 *
 * Unless a comment says otherwise: @dgram is not NULL, nothing changes owner, there are no errors, blocking: never,
 * threads: the one that owns the dgram, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_dgram uds_dgram;

#define UDS_DGRAM_BODY_DEFAULT \
    (256u << 10) /* all that a sender with a default SO_SNDBUF can send */

/* What a sender can be made to claim; bits. */
enum uds_dgram_fact {
    UDS_DGRAM_PID = 1u << 0, /* SO_PASSCRED */
    UDS_DGRAM_UID = 1u << 1,
    UDS_DGRAM_GID = 1u << 2,
    UDS_DGRAM_PIDFD = 1u << 3, /* SO_PASSPIDFD, 6.5: of the process that the claimed pid names */
};

/*
 * What the sender of one record claims to be. No function of the library takes this, and nothing turns it into a struct
 * uds_cred: it is for people to read.
 */
struct uds_dgram_claim {
    uint32_t claimed; /* enum uds_dgram_fact bits: the others were not asked for, or did not come */
    /* as seen from our pid namespace; one that is not visible there is not claimed */
    pid_t claimed_pid;
    uid_t claimed_uid; /* as seen from our user namespace (overflow uid when not mapped) */
    gid_t claimed_gid;
    int claimed_pidfd; /* -1 when there is none; owned by the struct uds_dgram_sender */
};

struct uds_dgram_sender {
    struct uds_addr addr; /* kind 0: the sender has no name and cannot be answered */
    struct uds_dgram_claim claim;
};

struct uds_dgram_options {
    /* sizeof(struct uds_dgram_options), as UDS_DGRAM_OPTIONS_INIT sets it; anything else is -EINVAL */
    size_t size;
    uint32_t max_body; /* largest body that we accept, bytes; 0 = UDS_DGRAM_BODY_DEFAULT */
    /* fds per message that we accept, 0 … UDS_FDS_MAX. 0, the default: the kernel (6.16) refuses them, and before
     * they are closed and counted */
    uint32_t max_fds;
    uint32_t claims; /* enum uds_dgram_fact bits: what receivers shall be told of the sender */
    /* without an address: the kernel chooses an abstract name, so that we can be answered */
    bool autobind;
    mode_t mode; /* of the socket file; 0 = 0600. Who may write it may send */
    uid_t owner; /* (uid_t)-1 = leave */
    gid_t group; /* (gid_t)-1 = leave */
};
#define UDS_DGRAM_OPTIONS_INIT UDS_INIT_2(uds_dgram_options, .owner = (uid_t)-1, .group = (gid_t)-1)

struct uds_dgram_callbacks {
    /* One message. Ownership: the callback owns the reference @msg; @sender is borrowed, with its pidfd. */
    void (*on_message)(uds_dgram *dgram,
                       uds_msg *msg,
                       const struct uds_dgram_sender *sender,
                       void *arg);
    /* A send that was -EAGAIN, -ETOOMANYREFS, -ENOBUFS or -ENOMEM is worth another try. May be NULL. */
    void (*on_writable)(uds_dgram *dgram, void *arg);
    /* process() is about to return @error: for who does not see that, in a loop glue. May be NULL. */
    void (*on_error)(uds_dgram *dgram, int error, void *arg);
    /* What poll must wait for (events or timeout) may have changed outside process(): a loop glue re-reads it, and does nothing
     * else, for who called it goes on with the dgram. May be NULL. */
    void (*on_rearm)(uds_dgram *dgram, void *arg);
};

struct uds_dgram_stats {
    uint64_t received;    /* messages that were given, or wait to be taken */
    uint64_t dropped;     /* records that were no frame, or over our limits, or found no memory */
    uint64_t refused_fds; /* descriptors that came with dropped records: all are closed */
};

/**
 * uds_dgram_new() - make a datagram socket
 * @ret:     one reference; written on success only
 * @addr:    where it is reached. dgram: with a path (a stale file is taken over; ids and mode are in force before the first
 *           message can arrive; the file is unlinked at the end if it still is ours) or an abstract name; fd:N a
 *           duplicate of an inherited socket, bound, connected or neither, whose file is not ours; NULL: no name, unless
 *           @options say autobind
 * @options: NULL for the defaults
 *
 * A socket at a path over 107 bytes can be reached, but is no sender that can be answered: what the kernel shows as its
 * name is the short one that it was born under.
 *
 * Ownership: the caller's. On failure nothing is left behind: no file, no socket.
 * Errors:    -EADDRINUSE a live socket is there, or a file that is no socket; -EACCES; -ENOENT directory missing; -EPERM owner or
 *            group; -ENAMETOOLONG; -EPROTOTYPE @addr is not of dgram:, or the fd no datagram socket; -EINVAL options;
 *            -ENOTSOCK, -EAFNOSUPPORT an fd that is no AF_UNIX socket; -EMFILE, -ENFILE; -ENOMEM.
 * Blocking:  file system calls.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_dgram_new(uds_dgram **ret,
                                           const struct uds_addr *addr,
                                           const struct uds_dgram_options *options);

/**
 * uds_dgram_pair() - two that are connected to each other (socketpair)
 * @ret_a, @ret_b: one reference each; written on success only
 * @options:       for both; NULL for the defaults
 *
 * Neither has a name. The one's queue is bounded by the other's SO_SNDBUF alone.
 *
 * Ownership: the caller's.   Errors: -EINVAL options, -EMFILE, -ENFILE, -ENOMEM.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_dgram_pair(uds_dgram **ret_a, uds_dgram **ret_b, const struct uds_dgram_options *options);

/** uds_dgram_ref() - one more reference, which the caller gives back by uds_dgram_unref(); returns @dgram. Since: 0.1. */
UDS_EXPORT uds_dgram *uds_dgram_ref(uds_dgram *dgram);
/** uds_dgram_unref() - one reference less; the last closes the socket and unlinks the file if it still is ours. NULL is fine. Returns NULL. Blocking: file system calls. Since: 0.1. */
UDS_EXPORT uds_dgram *uds_dgram_unref(uds_dgram *dgram);

/**
 * uds_dgram_connect() - choose where messages go that are sent to NULL
 * @to: path or abstract; NULL: nowhere any more
 *
 * From now on the kernel takes messages from there only, too. It forgets the destination when that socket is closed: the
 * next send is -ECONNREFUSED and further ones are -ENOTCONN until this is called again.
 *
 * Errors:   -ECONNREFUSED, -ENOENT nobody is there; -EACCES; -EPERM it is connected to somebody else; -EPROTOTYPE no
 *           dgram: address, or a socket of another type; -EINVAL kind fd.
 * Blocking: file system calls.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_dgram_connect(uds_dgram *dgram, const struct uds_addr *to);

/**
 * uds_dgram_set_callbacks() - who is told by uds_dgram_process()
 * @callbacks: copied; NULL removes them
 * @arg:       their last argument
 *
 * Replaces the former ones; allowed inside any callback. Since: 0.1.
 */
UDS_EXPORT void
uds_dgram_set_callbacks(uds_dgram *dgram, const struct uds_dgram_callbacks *callbacks, void *arg);

/**
 * uds_dgram_set_loop_hook() - a loop glue's own on_rearm, so that the application's callbacks stay the application's
 * @hook: told with @arg, before on_rearm, whenever that is. NULL removes it
 *
 * One hook a dgram; libuds-event uses it. Since: 0.1.
 */
UDS_EXPORT void
uds_dgram_set_loop_hook(uds_dgram *dgram, void (*hook)(uds_dgram *dgram, void *arg), void *arg);

/** uds_dgram_get_fd() - the socket, to be polled, and for setsockopt(2) of SO_SNDBUF and SO_RCVBUF; it stays the dgram's. Since: 0.1. */
UDS_EXPORT int uds_dgram_get_fd(const uds_dgram *dgram);
/** uds_dgram_get_events() - POLLIN, and POLLOUT while a send to where the socket is connected waits. Since: 0.1. */
UDS_EXPORT short uds_dgram_get_events(const uds_dgram *dgram);
/** uds_dgram_get_timeout() - ms after which process() or receive() is due whatever poll says; 0 at once, -1 never. Since: 0.1. */
UDS_EXPORT int uds_dgram_get_timeout(const uds_dgram *dgram);

/**
 * uds_dgram_get_addr() - where we are reached
 * @ret: written on success only: as it was given, or what the kernel chose, or what an inherited socket has
 *
 * Errors: -ENOENT no name. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_dgram_get_addr(const uds_dgram *dgram, struct uds_addr *ret);

/**
 * uds_dgram_get_max_size() - the largest record that can be sent, bytes, header and head included
 *
 * The kernel takes SO_SNDBUF - 32 (net/unix/af_unix.c, unix_dgram_sendmsg()): more with a larger SO_SNDBUF, up to
 * net.core.wmem_max. What the receiver takes is its own affair. uds_msg_get_size() says what a message needs. Since: 0.1.
 */
UDS_EXPORT size_t uds_dgram_get_max_size(const uds_dgram *dgram);

/** uds_dgram_get_stats() - what came so far. @ret not NULL. Since: 0.1. */
UDS_EXPORT void uds_dgram_get_stats(const uds_dgram *dgram, struct uds_dgram_stats *ret);

/** uds_dgram_get_drop_text() - why the last dropped record was dropped, with the number of the protocol rule; "" if none was. The library's. Since: 0.1. */
UDS_EXPORT const char *uds_dgram_get_drop_text(const uds_dgram *dgram);

/**
 * uds_dgram_process() - do what can be done without blocking: receive and dispatch
 *
 * Bounded: at most 256 records are dealt with in one call. Without an on_message the messages wait for uds_dgram_receive().
 *
 * Returns 1 there is more to do at once, 0 wait in poll. Errors: what recvmsg(2) says: -ECONNRESET the peer that we were
 * connected to went elsewhere; -ENOBUFS, -ENOMEM (a record may be lost then, and is counted). The socket stays usable. Since: 0.1.
 */
UDS_EXPORT int uds_dgram_process(uds_dgram *dgram);

/**
 * uds_dgram_receive() - take the next message
 * @ret:        written when 1 is returned; one reference
 * @ret_sender: NULL if nobody cares; otherwise written when 1 is returned, to be released by uds_dgram_sender_clear()
 *
 * A message whose fds the kernel could not install comes without them, and uds_msg_get_error() says so.
 *
 * Returns 1 and a message, 0 none is there. Ownership: the caller's.   Errors: as uds_dgram_process(). Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_dgram_receive(uds_dgram *dgram, uds_msg **ret, struct uds_dgram_sender *ret_sender);

/** uds_dgram_sender_clear() - closes the pidfd. NULL is fine. Since: 0.1. */
UDS_EXPORT void uds_dgram_sender_clear(struct uds_dgram_sender *sender);

/**
 * uds_dgram_send() - send one message
 * @to:  path or abstract; NULL: where the socket is connected to
 * @msg: becomes immutable; any type
 *
 * Ownership: @msg stays the caller's, and its fds with it: the receiver gets duplicates.
 * Errors:    -EMSGSIZE over uds_dgram_get_max_size(); -EAGAIN the receiver's queue or our send buffer is full;
 *            -ECONNREFUSED, -ENOENT nobody is there; -ENOTCONN @to is NULL and we are not connected; -EACCES may not write the
 *            file; -EPERM it takes no descriptors and @msg has some, or it is connected to somebody else; -ETOOMANYREFS too many
 *            descriptors of this user in flight, try later; -ENOBUFS, -ENOMEM the same; -ESTALE a descriptor was taken out;
 *            -EPROTOTYPE no dgram: address, or a socket of another type; -EINVAL kind fd or 0; -ENAMETOOLONG.
 * Blocking:  file system calls.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_dgram_send(uds_dgram *dgram, const struct uds_addr *to, uds_msg *msg);

/**
 * uds_dgram_send_many() - send messages in order, many with one system call
 * @msgs:  @count messages
 * @count: at least 1
 *
 * Returns how many the kernel took, at least 1; the next call tells what is wrong with the first of the rest. Ownership and errors
 * as uds_dgram_send() (for the first). Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_dgram_send_many(uds_dgram *dgram,
                                                 const struct uds_addr *to,
                                                 uds_msg *const *msgs,
                                                 size_t count);

/**
 * uds_dgram_reply() - send to the sender of a received message
 * @to: of uds_dgram_receive() or on_message
 *
 * An answer goes to whoever has that name in *our* namespaces. A sender without a name is answered only where we are
 * connected; a name that means something else here than there (a relative path, one with "..", one below /proc) is not
 * answered at all.
 *
 * Errors: -EDESTADDRREQ it cannot be answered; otherwise as uds_dgram_send(). Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_dgram_reply(uds_dgram *dgram, const struct uds_dgram_sender *to, uds_msg *msg);

/**
 * uds_dgram_receive_wait() / uds_dgram_send_wait() - the blocking forms
 * @timeout_ms: -1 forever
 *
 * Both return 0 on success (unlike receive(), which returns 1). send_wait waits while the error is -EAGAIN, -ETOOMANYREFS,
 * -ENOBUFS or -ENOMEM; to a receiver that we are not connected to it does so by trying again after 1, 2, 4, 8, 10, 10 … ms.
 *
 * Errors: as above and -ETIMEDOUT.   Blocking: up to @timeout_ms. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_dgram_receive_wait(uds_dgram *dgram,
                                                    uds_msg **ret,
                                                    struct uds_dgram_sender *ret_sender,
                                                    int timeout_ms);
UDS_EXPORT UDS_NODISCARD int
uds_dgram_send_wait(uds_dgram *dgram, const struct uds_addr *to, uds_msg *msg, int timeout_ms);

UDS_END_DECLS

#endif
