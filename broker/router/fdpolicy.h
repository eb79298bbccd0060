/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_FDPOLICY_H
#define ROUTER_FDPOLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/fdset.h>
#include <uds/msg.h>

/* What the receiver of a descriptor could do with it beyond what the description says. */
struct fdpolicy_receiver {
    uint32_t mask; /* kinds that it may receive */
    bool is_sandbox;
    uint32_t sandbox_id;
    bool guarded; /* re-opening and changing passed files is refused inside that sandbox */
    uint32_t uid_first, uid_count; /* host ids of the sandbox, uids and gids alike */
};

/* Which descriptors of a message are memfds that we made of read-only files: they stand for files. */
struct fdpolicy_copies {
    uint64_t bits[4];
};

enum fdpolicy_verdict {
    FDPOLICY_PASS,
    FDPOLICY_COPY, /* descriptor @index must be replaced by a sealed copy */
    FDPOLICY_REFUSE,
};

struct fdpolicy_decision {
    enum fdpolicy_verdict verdict;
    size_t index;
    char detail[160]; /* of a refusal */
};

static inline bool fdpolicy_is_copy(const struct fdpolicy_copies *copies, size_t i)
{
    return copies != NULL && i < 256 && ((copies->bits[i / 64] >> (i % 64)) & 1) != 0;
}

/** fdpolicy_check() - may the descriptors of @msg go from a sender with @send to @receiver? @copies may be NULL. */
struct fdpolicy_decision fdpolicy_check(const uds_msg *msg,
                                        uint32_t send,
                                        const struct fdpolicy_receiver *receiver,
                                        const struct fdpolicy_copies *copies);
/** fdpolicy_may_change() - could the receiver's ids own or write the file behind this read-only description? */
bool fdpolicy_may_change(const struct fdpolicy_receiver *receiver,
                         int fd,
                         const struct uds_fd_info *info);

#endif
