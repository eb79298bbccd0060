/* SPDX-License-Identifier: MIT */
#ifndef UDS_MSG_H
#define UDS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/fdset.h>
#include <uds/version.h>

/*
 * One message: a type, an id, a head (fields that routers read), a body (bytes that only the ends read) and fds.
 *
 *   new ──▶ fill (set, add_field, push_fd) ──▶ sent: immutable, may be queued on many connections ──▶ last unref
 *
 * Refcounted with plain integers: a message belongs to one thread at a time. fds that nobody took are closed with it.
 * The head is a sequence of fields {u16 tag, u16 length, bytes}, docs/protocol.md "Head fields".
 *
 * Unless a comment says otherwise: @msg is not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * the one that owns the message, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_msg uds_msg;

/* Frame types, u8 on the wire. 0 and the gaps are reserved. */
enum uds_msg_type {
    UDS_MSG_HELLO = 1,   /* first frame each way; the library's own, never seen by callers */
    UDS_MSG_GOODBYE = 2, /* orderly end with a status and a reason; the library's own */
    UDS_MSG_PING = 3,    /* does the peer live? PONG answers; both the library's own */
    UDS_MSG_PONG = 4,
    UDS_MSG_FINISH = 5,   /* its side has no more messages to send; the library's own */
    UDS_MSG_ARENA = 6,    /* shared memory for large bodies; the library's own */
    UDS_MSG_RELEASE = 7,  /* and what of it is free again; the library's own */
    UDS_MSG_MESSAGE = 8,  /* a message between the two ends of a connection */
    UDS_MSG_RING = 9,     /* offers a ring, and goes over to it; the library's own */
    UDS_MSG_REQUEST = 16, /* wants exactly one REPLY with the same id */
    UDS_MSG_REPLY = 17,
    UDS_MSG_CANCEL = 18, /* the caller of that id does not want the REPLY any more */
    UDS_MSG_PART = 19,   /* callee → caller: one response of many; needs UDS_FEATURE_STREAMING */
    UDS_MSG_CREDIT = 20, /* caller → callee: so many more PARTs; needs the same */
    UDS_MSG_SUBSCRIBE = 32, /* client → broker: id names the subscription from now on */
    UDS_MSG_UNSUBSCRIBE = 33,
    UDS_MSG_PUBLISH = 34, /* client → broker; with id ≠ 0 an ACK is wanted */
    UDS_MSG_DELIVER = 35, /* broker → client: id is the subscription */
    /* broker → client: answers SUBSCRIBE, UNSUBSCRIBE and PUBLISH of that id with a status */
    UDS_MSG_ACK = 36,
    /* broker → client: something the application should know (drops, revocations) */
    UDS_MSG_NOTICE = 37,
};

/* Head field tags, u16 on the wire. Unknown tags with bit 15 set are skipped, others are a BAD_REQUEST. */
enum uds_field {
    UDS_FIELD_SUBJECT = 1,    /* string, 1–255 bytes */
    UDS_FIELD_QUEUE = 2,      /* string: queue group of a SUBSCRIBE */
    UDS_FIELD_TIMEOUT_MS = 3, /* u32: time that is left for a REQUEST; absent = no deadline */
    UDS_FIELD_STATUS = 4,     /* u32 enum uds_status: REPLY, ACK, NOTICE, GOODBYE */
    UDS_FIELD_DETAIL = 5,     /* string: one line for people */
    UDS_FIELD_METHOD = 6,     /* string "package.Service/Method" of a REQUEST */
    UDS_FIELD_SEQUENCE = 7, /* u64: per subscription, counts from 1 including dropped deliveries */
    UDS_FIELD_DROPPED = 8,  /* u64: deliveries dropped on this subscription so far */
    UDS_FIELD_SENDER = 9,   /* string, written by the broker alone: "sandbox:NAME", "uid:N" */
    UDS_FIELD_VALUE = 10,   /* u64 that goes with a STATUS: limit in bytes, signal, exit code */
    UDS_FIELD_MODE = 11,    /* u32 of a SUBSCRIBE: bit 0 = serve requests instead of deliveries */
    UDS_FIELD_HEADER = 12,  /* "name\0value": the application's; may repeat, kept in order */
    /* string: what decided a DENIED or FD_REFUSED ("policy rule 3", "default deny", "fd policy") */
    UDS_FIELD_RULE = 13,
    /* u32: how many PARTs may come: on a REQUEST to begin with, on a CREDIT in addition */
    UDS_FIELD_WINDOW = 14,
};

#define UDS_HEAD_MAX     8192u       /* bytes of head in one frame */
#define UDS_BODY_DEFAULT (16u << 20) /* body limit unless the receiver says otherwise in HELLO */

/**
 * uds_msg_new() - make a message with a copy of a body
 * @ret:  the message, one reference; written on success only
 * @type: enum uds_msg_type
 * @id:   correlation id, 0 where the type needs none
 * @body: @len bytes, may be NULL when @len is 0; copied
 * @len:  0 … UINT32_MAX - UDS_HEAD_MAX
 *
 * Ownership: the caller owns one reference.   Errors: -EINVAL (also for the library's own types), -ENOMEM.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_msg_new(uds_msg **ret, enum uds_msg_type type, uint64_t id, const void *body, size_t len);

/**
 * uds_msg_reserve_body() - make room for a body that the caller writes in place
 * @msg: not yet sent
 * @len: bytes; replaces the former body; contents undefined until written
 * @ret_body: where to write; valid until the message is sent or its body replaced
 *
 * Ownership: the message's.   Errors: -EBUSY already sent, -EINVAL, -ENOMEM.   Blocking: never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_reserve_body(uds_msg *msg, size_t len, void **ret_body);

/** uds_msg_ref() - one more reference; returns @msg. NULL gives NULL. Since: 0.1. */
UDS_EXPORT uds_msg *uds_msg_ref(uds_msg *msg);

/** uds_msg_unref() - one reference less; the last closes untaken fds, runs the release hook, frees. NULL is fine. Returns NULL. Since: 0.1. */
UDS_EXPORT uds_msg *uds_msg_unref(uds_msg *msg);

/** uds_msg_get_type() - what it is; a received one may be of a type that this enum does not know yet. Since: 0.1. */
UDS_EXPORT enum uds_msg_type uds_msg_get_type(const uds_msg *msg);
/** uds_msg_get_id() - the correlation id; 0 where the type needs none. Since: 0.1. */
UDS_EXPORT uint64_t uds_msg_get_id(const uds_msg *msg);

/** uds_msg_get_size() - bytes that it takes as a frame: the header's 24, head and body. Since: 0.1. */
UDS_EXPORT size_t uds_msg_get_size(const uds_msg *msg);

/**
 * uds_msg_peek_body() - borrow the body
 * @ret_len: may be NULL
 *
 * What it points to does not change until the last unref, whatever the sender does: a body that came in shared memory is copied
 * out of it by the first call, and the sender gets his memory back then.
 *
 * Returns a pointer that is never NULL, also for an empty body. Since: 0.1.
 */
UDS_EXPORT const void *uds_msg_peek_body(const uds_msg *msg, size_t *ret_len);

/**
 * uds_msg_peek_body_shared() - borrow the body where it lies, without the copy
 * @ret_len: may be NULL
 *
 * THE SENDER CAN CHANGE THESE BYTES AT ANY TIME, also between two reads of the same one, if the body came in shared memory. So
 * whatever is checked must be copied first and used from the copy: a length or an index that was read here and found good may be
 * another when it is read again, and the compiler may read again. For bytes that are only passed on, summed up, drawn,
 * or that come from a peer who is trusted with this process anyway. What was not sent in shared memory is stable.
 *
 * In the child of a fork(2) the memory is the same as the parent's: what the parent gives back there may change under the child.
 *
 * Returns a pointer that is never NULL, valid until uds_msg_peek_body() is called on the message, or it is forwarded, or its last
 * unref. The sender's memory is in use until then. Since: 0.1.
 */
UDS_EXPORT const void *uds_msg_peek_body_shared(const uds_msg *msg, size_t *ret_len);

/** uds_msg_peek_head() - borrow the encoded head. @ret_len may be NULL. Since: 0.1. */
UDS_EXPORT const void *uds_msg_peek_head(const uds_msg *msg, size_t *ret_len);

/**
 * uds_msg_add_string() / add_u32() / add_u64() / add_bytes() - append a field to the head
 * @msg:  not yet sent
 * @tag:  enum uds_field or an extension tag with bit 15 set
 * @text: NUL-terminated, not NULL; the NUL does not travel
 * @data: @len bytes, may be NULL when @len is 0
 *
 * Ownership: copied.   Errors: -EBUSY already sent, -ENOSPC head would exceed UDS_HEAD_MAX, -ENOMEM.
 * Blocking:  never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_add_string(uds_msg *msg, uint16_t tag, const char *text);
UDS_EXPORT UDS_NODISCARD int uds_msg_add_u32(uds_msg *msg, uint16_t tag, uint32_t value);
UDS_EXPORT UDS_NODISCARD int uds_msg_add_u64(uds_msg *msg, uint16_t tag, uint64_t value);
UDS_EXPORT UDS_NODISCARD int
uds_msg_add_bytes(uds_msg *msg, uint16_t tag, const void *data, size_t len);

/**
 * uds_msg_find() - borrow the first field with a tag
 * @ret_data, @ret_len: written on success only; @ret_data points into the message and is *not* NUL-terminated
 *
 * Returns 0, or -ENOENT. A received message's head was already checked to be well-formed. Threads: owner. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_msg_find(const uds_msg *msg, uint16_t tag, const void **ret_data, size_t *ret_len);

/**
 * uds_msg_get_u32() / get_u64() - a number field
 * @ret: written on success only
 * Returns 0. Errors: -ENOENT no such field, -EBADMSG its length is not 4 / 8. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_get_u32(const uds_msg *msg, uint16_t tag, uint32_t *ret);
UDS_EXPORT UDS_NODISCARD int uds_msg_get_u64(const uds_msg *msg, uint16_t tag, uint64_t *ret);

/**
 * uds_msg_get_string() - copy a string field out, NUL-terminated
 * @buf:  written on success only
 * @size: bytes in @buf, the NUL included
 * Returns 0. Errors: -ENOENT; -EBADMSG it holds a NUL or a control character; -ENOBUFS @size is too small. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_msg_get_string(const uds_msg *msg, uint16_t tag, char *buf, size_t size);

/**
 * uds_msg_next() - walk all fields
 * @pos: *@pos is 0 at the start, and the walk's afterwards
 * @ret_tag, @ret_data, @ret_len: the field, borrowed; written when 1 is returned
 *
 * Returns 1 and a field, or 0 at the end. Since: 0.1.
 */
UDS_EXPORT int uds_msg_next(
    const uds_msg *msg, size_t *pos, uint16_t *ret_tag, const void **ret_data, size_t *ret_len);

/**
 * uds_msg_add_header() - append a header, the application's own: a name and a value
 * @msg:   not yet sent
 * @name:  not empty, no control characters; may be there already: all of them travel, in order
 * @value: any text, not NULL; the NUL does not travel
 *
 * A router passes it on as it is, and reads it not. Ownership: copied.
 * Errors:    -EBUSY already sent, -EINVAL the name, -ENOSPC the head would exceed UDS_HEAD_MAX, -ENOMEM.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_add_header(uds_msg *msg, const char *name, const char *value);

/**
 * uds_msg_next_header() - walk the headers, in the order in which they were added
 * @pos: *@pos is 0 at the start, and the walk's afterwards
 * @ret_name: NUL-terminated, without control characters. @ret_value: @ret_len bytes, *not* NUL-terminated, without a NUL.
 *            Both borrowed; written when 1 is returned
 *
 * What they say is the sender's claim. A HEADER that is not well-formed is passed over. Returns 1 and a header, or 0 at the end.
 * Since: 0.1.
 */
UDS_EXPORT int uds_msg_next_header(const uds_msg *msg,
                                   size_t *pos,
                                   const char **ret_name,
                                   const char **ret_value,
                                   size_t *ret_len);

/**
 * uds_msg_find_header() - borrow the value of the first header of a name
 * @name: compared byte by byte
 * @ret_value, @ret_len: as above; written on success only
 *
 * Returns 0, or -ENOENT. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_msg_find_header(const uds_msg *msg, const char *name, const char **ret_value, size_t *ret_len);

/**
 * uds_msg_push_fd() - give a descriptor to a message
 * @msg: not yet sent
 * @fd:  >= 0
 *
 * Ownership: success moves @fd into the message; on failure it stays the caller's.
 * Errors:    -EBUSY already sent, -EINVAL, -ENOSPC UDS_FDS_MAX reached, -ENOMEM.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_push_fd(uds_msg *msg, int fd);

/** uds_msg_push_dup_fd() - the same with a CLOEXEC duplicate; @fd stays the caller's. Also -EMFILE, -EBADF. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_msg_push_dup_fd(uds_msg *msg, int fd);

/** uds_msg_get_fd_count() - how many slots for descriptors there are, those that were taken included. Since: 0.1. */
UDS_EXPORT size_t uds_msg_get_fd_count(const uds_msg *msg);

/**
 * uds_msg_peek_fd() - borrow a descriptor
 * @index: from 0, in the order they were pushed
 *
 * Returns the fd, the message's until its last unref. Errors: -ENOENT out of range, -ESTALE already taken. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_peek_fd(const uds_msg *msg, size_t index);

/**
 * uds_msg_take_fd() - move a descriptor out; the slots keep their index
 * Returns the fd (O_CLOEXEC), which the caller closes; -ENOENT out of range; -ESTALE already taken; -EBUSY a send queue still
 * has to send it. Threads: owner. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_take_fd(uds_msg *msg, size_t index);

/**
 * uds_msg_check_fds() - are all descriptors of a message what we want?
 * @wants:     of each; not NULL
 * @bad_index: which one is not, NULL if nobody cares; written when -EACCES is returned
 * @verdict:   why, as uds_fd_check(); may be NULL; written when -EACCES is returned
 *
 * Those that were taken out are passed over. Returns 0 all are (also when there are none: uds_msg_get_fd_count() says).
 * Errors: -EACCES; -EINVAL; the error of uds_msg_get_error() if there is one: nobody knows what was lost. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_msg_check_fds(const uds_msg *msg,
                                               const struct uds_fd_wants *wants,
                                               size_t *bad_index,
                                               struct uds_fd_verdict *verdict);

/**
 * uds_msg_get_error() - did the kernel lose something of this message?
 * Returns 0, or -EMFILE when MSG_CTRUNC cut its fds off (every fd that did arrive is already closed; the count is 0). Since: 0.1.
 */
UDS_EXPORT int uds_msg_get_error(const uds_msg *msg);

/**
 * uds_msg_set_release() - call back when the last reference goes
 * @release: called once with @arg after the message's fds are closed; replaces the former hook; NULL removes it
 *
 * What a broker hangs its charges on. Threads: owner. Since: 0.1.
 */
UDS_EXPORT void uds_msg_set_release(uds_msg *msg, void (*release)(void *arg), void *arg);

UDS_END_DECLS

#endif
