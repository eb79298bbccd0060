/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_HEAD_H
#define ROUTER_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/msg.h>

#include "subject.h"

#define HEAD_FIELD_SUBSCRIPTION \
    0x8001u /* extension: u64, the serve subscription a REQUEST is for */
#define HEAD_DETAIL_MAX 1024

/* What a peer's head says, after every rule about it was checked. */
struct head {
    bool has_timeout;
    uint32_t timeout_ms, mode, status;
    uint64_t value;
    bool has_value, has_window;
    uint32_t window;
    char subject[SUBJECT_MAX + 1]; /* "" when absent, the same below */
    char queue[SUBJECT_MAX + 1];
    char method[SUBJECT_MAX + 1];
    char detail[HEAD_DETAIL_MAX + 1];
};

/**
 * head_parse() - read the head of a frame of a peer
 * @fields: tags that may be there, as bits 1u << tag
 * @ret_problem: on failure one line for the peer, static
 * Returns 0 or -EBADMSG: unknown or misplaced tag, a field twice, a bad length, control characters.
 */
int head_parse(const uds_msg *msg, uint32_t fields, struct head *ret, const char **ret_problem);

/* A head that we write. What does not fit sets @overflow and leaves the rest alone. */
struct head_out {
    size_t len;
    bool overflow;
    uint8_t data[UDS_HEAD_MAX];
};

static inline void head_begin(struct head_out *out)
{
    out->len = 0;
    out->overflow = false;
}
/** head_string() - NULL and "" are left out. */
void head_string(struct head_out *out, uint16_t tag, const char *text);
void head_u32(struct head_out *out, uint16_t tag, uint32_t value);
void head_u64(struct head_out *out, uint16_t tag, uint64_t value);
/** head_headers() - the application's HEADER fields of @msg, in order. */
void head_headers(struct head_out *out, const uds_msg *msg);

#endif
