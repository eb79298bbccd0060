/* SPDX-License-Identifier: MIT */

/*
 * Any 24 bytes as a header, the rest as a head: no read past the end, and a head that is called valid can be walked to
 * its last byte.
 *
 * Built and run by tests/fuzz/run.sh: clang -fsanitize=fuzzer,address,undefined with libuds/src and tests/support.
 */

#include <stdlib.h>
#include <string.h>

#include <uds/msg.h>

#include "wire/frame.h"
#include "wire/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(const uint8_t *head, size_t len)
{
    size_t pos = 0, walked = 0, data_len;
    const void *field;
    uint16_t tag;
    bool valid = udsi_head_is_valid(head, len);

    while (udsi_head_next(head, len, &pos, &tag, &field, &data_len) > 0) {
        const uint8_t *at = field;

        if (at < head || at + data_len > head + len)
            abort();
        walked += UDSI_FIELD_OVERHEAD + data_len;
    }
    if (walked != pos || valid != (pos == len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct udsi_limits limits = {.max_body = 1000, .max_fds = 16};
    uint8_t again[UDSI_HEADER_SIZE];
    struct udsi_header header, quick;

    if (size < UDSI_HEADER_SIZE)
        return 0;
    if (udsi_header_decode(data, &limits, &header) == UDSI_RULE_NONE) {
        if (header.body_length > limits.max_body || header.fd_count > limits.max_fds ||
            header.head_length > UDS_HEAD_MAX)
            abort();
        udsi_header_encode(&header, again);
        if (memcmp(again, data, sizeof(again)) != 0)
            abort();
    }
    /* The short way says nothing else, of what it says anything of. */
    if (udsi_header_is_common(data, &limits, &quick) &&
        (udsi_header_decode(data, &limits, &header) != UDSI_RULE_NONE ||
         quick.type != header.type || quick.flags != header.flags ||
         quick.head_length != header.head_length || quick.fd_count != header.fd_count ||
         quick.body_length != header.body_length || quick.id != header.id))
        abort();
    check_head(data + UDSI_HEADER_SIZE, size - UDSI_HEADER_SIZE);
    return 0;
}
