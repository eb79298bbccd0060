/* SPDX-License-Identifier: MIT */
#ifndef SBX_NOTIFY_H
#define SBX_NOTIFY_H

#include <sbx/sandbox.h>

/*
 * What a payload tells by NOTIFY_SOCKET, in the protocol of sd_notify(3): READY, RELOADING, STOPPING, STATUS, ERRNO,
 * WATCHDOG, WATCHDOG_USEC, MAINPID, EXTEND_TIMEOUT_USEC, FDSTORE, FDSTOREREMOVE, FDNAME, FDPOLL, BARRIER.
 *
 * spec.notify makes the socket, /run/host/notify inside; every process of the sandbox may use it and nobody else can
 * reach it. PID 1 of the sandbox reads it. What it passes on is bounded and checked again here; what is refused is
 * counted and said, because the protocol itself has no answer but BARRIER's.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a store belongs to one at a time, with the sandboxes that push into it, since: 0.1.
 */

UDS_BEGIN_DECLS

struct sbx_notify {
    uint32_t changes; /* grows with every change of what follows */
    bool ready, reloading, stopping;
    int err;          /* ERRNO=, 0 = none */
    char status[256]; /* STATUS=: UTF-8 without control characters, the rest cut off */
    uint32_t refused; /* lines and descriptors that were not taken */
    char why[256];    /* one line, of the first that the last message with such had */
};

/** sbx_get_notify() - what it has told so far; all zero without spec.notify. Changes only in sbx_process(). */
UDS_EXPORT void sbx_get_notify(const sbx *s, struct sbx_notify *ret);

/*
 * Descriptors that a payload has pushed by FDSTORE=1, to be passed to its next life: name them in spec.fds then, and
 * give the same store as spec.fdstore. A name is not unique. Memfds, files, pipes, eventfds, sockets and pidfds are
 * taken; directories, devices, O_PATH, namespaces, io_uring and what is none of these are refused.
 *
 * One whose other end has hung up is dropped when the store is looked at, unless it came with FDPOLL=0.
 */
typedef struct sbx_fdstore sbx_fdstore;

#define SBX_FDSTORE_MAX 100u

/**
 * sbx_fdstore_new() - an empty store
 * @max: descriptors that it takes, 1 to SBX_FDSTORE_MAX; more are refused
 *
 * Ownership: the caller frees @ret, after every sandbox that was started with it.   Errors: -EINVAL @max; -ENOMEM.
 */
UDS_EXPORT UDS_NODISCARD int sbx_fdstore_new(sbx_fdstore **ret, unsigned max);
/** sbx_fdstore_free() - close all that is in it. NULL is fine. Returns NULL. Blocking: as uds_fd_close(). */
UDS_EXPORT sbx_fdstore *sbx_fdstore_free(sbx_fdstore *store);
/** sbx_fdstore_clear() - close all that is in it, and it goes on. NULL is fine. Blocking: as uds_fd_close(). */
UDS_EXPORT void sbx_fdstore_clear(sbx_fdstore *store);
/**
 * sbx_fdstore_list() - what is in it, oldest first
 * @ret: room for SBX_FDSTORE_MAX entries
 *
 * Returns how many there are.
 *
 * Ownership: names and descriptors stay the store's, valid until it changes: in sbx_process() of its sandbox, or the
 *   next list.
 */
UDS_EXPORT size_t sbx_fdstore_list(sbx_fdstore *store, struct sbx_named_fd ret[SBX_FDSTORE_MAX]);

/**
 * sbx_notify_send() - tell our own service manager, if the environment names one in NOTIFY_SOCKET
 * @text: as sd_notify(3) has it
 *
 * Returns 1 it was sent, 0 nobody to tell: always, in a program that has more rights than who runs it (secure_getenv(3)).
 *
 * Errors: -errno of the socket; -EAGAIN its queue is full.   Threads: any, while nobody calls setenv(3).
 */
UDS_EXPORT int sbx_notify_send(const char *text);

UDS_END_DECLS

#endif
