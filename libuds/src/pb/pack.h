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

/*
 * Memory for one unpacked message after the other: what fits lies in a block that is used again and again, and the rest
 * comes from the heap. One message at a time. Zeroed: nothing yet.
 */
#define UDSI_PB_ROOM 8192u
struct udsi_pb_room {
    uint8_t *data;
    size_t used;
};

/* As uds_pb_unpack_limited(), with limits that udsi_pb_limits_set() has filled. */
int udsi_pb_unpack(struct udsi_pb_room *room,
                   const ProtobufCMessageDescriptor *desc,
                   const void *data,
                   size_t len,
                   const struct uds_pb_limits *limits,
                   ProtobufCMessage **ret);
/* The message goes, its memory stays with @room. NULL is fine. */
void udsi_pb_release(struct udsi_pb_room *room, ProtobufCMessage *message);
/* A callback may bring the next message while the first still lives: that one then has a room of its own. */
struct udsi_pb_room udsi_pb_room_take(struct udsi_pb_room *room);
void udsi_pb_room_give(struct udsi_pb_room *room, struct udsi_pb_room back);
void udsi_pb_room_deinit(struct udsi_pb_room *room);

/* Fills @ret with @limits, defaults where it has 0. 0, or -EINVAL for a size that is not ours. NULL: all defaults. */
int udsi_pb_limits_set(struct uds_pb_limits *ret, const struct uds_pb_limits *limits);

#endif
