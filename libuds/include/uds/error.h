/* SPDX-License-Identifier: MIT */
#ifndef UDS_ERROR_H
#define UDS_ERROR_H

#include <stdint.h>

#include <uds/version.h>

/*
 * Two kinds of failure that are never mixed:
 *
 *  - a *local* failure is a function's negative return value, -errno;
 *  - a *remote* failure is what the other side (or a broker between) answered: an uds_status with a text.
 *
 * -EPROTO always means "the peer broke the protocol", -ECONNRESET "the peer is gone", -EMSGSIZE "over a limit that
 * can be asked for", -ENOBUFS "our bounded queue is full", -ETIMEDOUT "the deadline passed", -EAGAIN "would block",
 * and of a message with descriptors -E2BIG "more than the receiver said it takes", -EPERM "its kernel refuses them for it",
 * -ETOOMANYREFS "too many of this user are in flight".
 */

UDS_BEGIN_DECLS

/* Remote status, u32 on the wire (docs/protocol.md, "Status"). Values from UDS_STATUS_APPLICATION on are the application's. */
enum uds_status {
    UDS_STATUS_OK = 0,
    UDS_STATUS_CANCELLED = 1,     /* the caller took the call back */
    UDS_STATUS_DEADLINE = 2,      /* the time the caller gave is over */
    UDS_STATUS_NO_RESPONDERS = 3, /* nobody serves that subject */
    /* policy says no; the detail names the rule that is missing or that denied */
    UDS_STATUS_DENIED = 4,
    UDS_STATUS_TOO_LARGE = 5,     /* body, head or number of fds over a limit of the receiver */
    UDS_STATUS_QUOTA = 6,         /* the sender is over one of its quotas; the detail names it */
    UDS_STATUS_BAD_REQUEST = 7,   /* the request could not be understood */
    UDS_STATUS_UNIMPLEMENTED = 8, /* no such method */
    UDS_STATUS_INTERNAL = 9,      /* the callee failed in a way that it did not name */
    UDS_STATUS_CALLEE_LOST = 10,  /* the callee's connection ended and nobody knows why */
    /* the callee's process exited before it answered; value = exit code */
    UDS_STATUS_CALLEE_EXITED = 11,
    /* the callee's process was killed by a signal; value = signal */
    UDS_STATUS_CALLEE_CRASHED = 12,
    /* the callee ran into its cgroup memory limit; value = limit in bytes */
    UDS_STATUS_CALLEE_OOM = 13,
    /* an allocation failed under an rlimit (not an OOM kill); value = limit in bytes */
    UDS_STATUS_MEMORY_LIMIT = 14,
    /* a descriptor is of a kind that may not be sent or received; the detail says which */
    UDS_STATUS_FD_REFUSED = 15,
    UDS_STATUS_SLOW_CONSUMER = 16, /* the receiver did not keep up and the message was dropped */
    UDS_STATUS_UNAVAILABLE = 17, /* the callee is starting, restarting or in back-off; try again */
    UDS_STATUS_APPLICATION = 1000,
};

/**
 * uds_status_name() - the symbolic name of a remote status
 * @status: any value, known or not
 *
 * Returns a static string such as "no-responders"; "application" from UDS_STATUS_APPLICATION on, "unknown" otherwise.
 *
 * Ownership: the library's.   Errors: none.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT const char *uds_status_name(uint32_t status);

UDS_END_DECLS

#endif
