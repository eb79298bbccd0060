/* SPDX-License-Identifier: MIT */
/*
 * protobuf_c_message_unpack() behind its scan, on a budget.
 *
 * What a message takes in memory has little to do with its length on the wire: an empty sub-message is two bytes there
 * and a hundred here, a packed number one byte and eight; and a sub-message that is sent in many pieces is put together
 * anew with each of them, so that its work grows with their square. So the allocator counts. It counts what is asked
 * for, never what is given back: that bounds the work as well, which is all in allocations and copies of them.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include <uds/pb.h>

#include "pb/pack.h"
#include "poison.h"

#define DEFAULT_FIELDS 65536u
#define DEFAULT_MEMORY (64u << 20)
#define ALLOC_COST     16u         /* of the heap itself, for each piece */
#define BUFFER_KEPT    (64u << 10) /* room of a pack buffer that is kept for the next message */

/* unpack() says NULL for bytes that it refuses and for memory that it did not get: here they are told apart. */
struct budget {
    size_t left;
    int error;
    struct udsi_pb_room *room; /* NULL: all from the heap */
};

#define ALIGN _Alignof(max_align_t)

/* NULL: it does not fit. */
static void *spend_room(struct udsi_pb_room *room, size_t size)
{
    size_t at;
    void *p;

    if (!room || !room->data)
        return NULL;
    at = (room->used + ALIGN - 1) & ~(ALIGN - 1);
    if (at > UDSI_PB_ROOM || size > UDSI_PB_ROOM - at)
        return NULL;
    p = room->data + at;
    UDSI_SHOW(p, size);
    room->used = at + size;
    return p;
}

static void *spend(void *arg, size_t size)
{
    struct budget *budget = arg;
    void *p;

    if (budget->left < ALLOC_COST || size > budget->left - ALLOC_COST) {
        budget->error = -E2BIG;
        return NULL;
    }
    budget->left -= size + ALLOC_COST;
    p = spend_room(budget->room, size);
    if (!p)
        p = malloc(size);
    if (!p)
        budget->error = -ENOMEM;
    return p;
}

static void release(void *arg, void *p)
{
    const struct udsi_pb_room *room = ((const struct budget *)arg)->room;
    const uint8_t *at = p;

    if (!room || !room->data || at < room->data || at >= room->data + UDSI_PB_ROOM)
        free(p);
}

static void room_empty(struct udsi_pb_room *room)
{
    room->used = 0;
    if (room->data)
        UDSI_HIDE(room->data, UDSI_PB_ROOM);
}

struct udsi_pb_room udsi_pb_room_take(struct udsi_pb_room *room)
{
    struct udsi_pb_room taken = *room;

    *room = (struct udsi_pb_room){0};
    return taken;
}

void udsi_pb_room_give(struct udsi_pb_room *room, struct udsi_pb_room back)
{
    udsi_pb_room_deinit(room);
    *room = back;
}

void udsi_pb_room_deinit(struct udsi_pb_room *room)
{
    if (room->data)
        UDSI_SHOW(room->data, UDSI_PB_ROOM);
    free(room->data);
    *room = (struct udsi_pb_room){0};
}

int udsi_pb_limits_set(struct uds_pb_limits *ret, const struct uds_pb_limits *limits)
{
    static const struct uds_pb_limits defaults = UDS_PB_LIMITS_INIT;

    if (!limits)
        limits = &defaults;
    if (limits->size != sizeof(*limits))
        return -EINVAL;
    *ret = *limits;
    if (ret->depth == 0)
        ret->depth = UDS_PB_DEPTH_MAX;
    if (ret->fields == 0)
        ret->fields = DEFAULT_FIELDS;
    if (ret->memory == 0)
        ret->memory = DEFAULT_MEMORY;
    return 0;
}

static int unpack(struct budget *budget,
                  const ProtobufCMessageDescriptor *desc,
                  const void *data,
                  size_t len,
                  const struct uds_pb_limits *limits,
                  ProtobufCMessage **ret)
{
    ProtobufCAllocator allocator = {.alloc = spend, .free = release, .allocator_data = budget};
    ProtobufCMessage *message;
    int r = uds_pb_scan(desc, data, len, limits->depth, limits->fields);

    if (r < 0)
        return r;
    budget->left = limits->memory;
    budget->error = -EBADMSG;
    message = protobuf_c_message_unpack(desc, &allocator, len, data);
    if (!message)
        return budget->error;
    *ret = message;
    return 0;
}

int udsi_pb_unpack(struct udsi_pb_room *room,
                   const ProtobufCMessageDescriptor *desc,
                   const void *data,
                   size_t len,
                   const struct uds_pb_limits *limits,
                   ProtobufCMessage **ret)
{
    struct budget budget = {.room = room};
    int r;

    if (!room->data)
        room->data = malloc(UDSI_PB_ROOM); /* without it the heap has to do */
    room_empty(room);
    r = unpack(&budget, desc, data, len, limits, ret);
    if (r < 0)
        room_empty(room);
    return r;
}

void udsi_pb_release(struct udsi_pb_room *room, ProtobufCMessage *message)
{
    struct budget budget = {.room = room};
    ProtobufCAllocator allocator = {.alloc = spend, .free = release, .allocator_data = &budget};

    if (!message)
        return;
    protobuf_c_message_free_unpacked(message, &allocator);
    room_empty(room);
}

int uds_pb_unpack_limited(const ProtobufCMessageDescriptor *desc,
                          const void *data,
                          size_t len,
                          const struct uds_pb_limits *limits,
                          ProtobufCMessage **ret)
{
    struct uds_pb_limits bounds;
    struct budget budget = {.room =
                                NULL}; /* malloc's own: the caller may free with a NULL allocator */
    int r = udsi_pb_limits_set(&bounds, limits);

    return r < 0 ? r : unpack(&budget, desc, data, len, &bounds, ret);
}

int uds_pb_unpack(const ProtobufCMessageDescriptor *desc,
                  const void *data,
                  size_t len,
                  ProtobufCMessage **ret)
{
    return uds_pb_unpack_limited(desc, data, len, NULL, ret);
}

const uint8_t *
udsi_pb_pack(struct udsi_pb_buffer *buffer, const ProtobufCMessage *message, size_t *ret_len)
{
    size_t len = protobuf_c_message_get_packed_size(message);

    if (!buffer->data || len > buffer->room) {
        size_t room = len < 256 ? 256 : len;
        uint8_t *data = malloc(room);

        if (!data)
            return NULL;
        free(buffer->data);
        buffer->data = data;
        buffer->room = room;
    }
    *ret_len = protobuf_c_message_pack(message, buffer->data);
    return buffer->data;
}

void udsi_pb_settle(struct udsi_pb_buffer *buffer)
{
    if (buffer->room <= BUFFER_KEPT)
        return;
    free(buffer->data);
    *buffer = (struct udsi_pb_buffer){0};
}
