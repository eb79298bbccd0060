/* SPDX-License-Identifier: MIT */
#ifndef UDSI_PB_PACK_H
#define UDSI_PB_PACK_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/pb.h>

/* Where messages are packed, one after the other, before they are copied into a frame. Zeroed: nothing yet. */
struct udsi_pb_buffer {
    uint8_t *data;
    size_t room;
};

/* The encoding of @message, the buffer's until the next one; NULL without memory. */
const uint8_t *
udsi_pb_pack(struct udsi_pb_buffer *buffer, const ProtobufCMessage *message, size_t *ret_len);
/* Done with it: memory that one large message asked for goes. */
void udsi_pb_settle(struct udsi_pb_buffer *buffer);

/* Fills @ret with @limits, defaults where it has 0. 0, or -EINVAL for a size that is not ours. NULL: all defaults. */
int udsi_pb_limits_set(struct uds_pb_limits *ret, const struct uds_pb_limits *limits);

#endif
