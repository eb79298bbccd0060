/* SPDX-License-Identifier: MIT */
/* The names of remote statuses, as docs/protocol.md "Status" writes them. */

#include <stddef.h>

#include <uds/error.h>

const char *uds_status_name(uint32_t status)
{
    static const char *const names[] = {
        [UDS_STATUS_OK] = "ok",
        [UDS_STATUS_CANCELLED] = "cancelled",
        [UDS_STATUS_DEADLINE] = "deadline",
        [UDS_STATUS_NO_RESPONDERS] = "no-responders",
        [UDS_STATUS_DENIED] = "denied",
        [UDS_STATUS_TOO_LARGE] = "too-large",
        [UDS_STATUS_QUOTA] = "quota",
        [UDS_STATUS_BAD_REQUEST] = "bad-request",
        [UDS_STATUS_UNIMPLEMENTED] = "unimplemented",
        [UDS_STATUS_INTERNAL] = "internal",
        [UDS_STATUS_CALLEE_LOST] = "callee-lost",
        [UDS_STATUS_CALLEE_EXITED] = "callee-exited",
        [UDS_STATUS_CALLEE_CRASHED] = "callee-crashed",
        [UDS_STATUS_CALLEE_OOM] = "callee-oom",
        [UDS_STATUS_MEMORY_LIMIT] = "memory-limit",
        [UDS_STATUS_FD_REFUSED] = "fd-refused",
        [UDS_STATUS_SLOW_CONSUMER] = "slow-consumer",
        [UDS_STATUS_UNAVAILABLE] = "unavailable",
    };

    if (status >= UDS_STATUS_APPLICATION)
        return "application";
    return status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}
