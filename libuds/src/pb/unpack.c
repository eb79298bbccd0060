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
#include <stdlib.h>

#include <uds/pb.h>

#include "pb/pack.h"

#define DEFAULT_FIELDS 65536u
#define DEFAULT_MEMORY (64u << 20)
#define ALLOC_COST     16u         /* of the heap itself, for each piece */
#define BUFFER_KEPT    (64u << 10) /* room of a pack buffer that is kept for the next message */

/* unpack() says NULL for bytes that it refuses and for memory that it did not get: here they are told apart. */
struct budget {
    size_t left;
    int error;
};

static void *spend(void *arg, size_t size)
{
    struct budget *budget = arg;
    void *p;

    if (budget->left < ALLOC_COST || size > budget->left - ALLOC_COST) {
        budget->error = -E2BIG;
        return NULL;
    }
    budget->left -= size + ALLOC_COST;
    p = malloc(size);
    if (!p)
        budget->error = -ENOMEM;
    return p;
}

static void release(void *arg, void *p)
{
    (void)arg;
    free(p);
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

int uds_pb_unpack_limited(const ProtobufCMessageDescriptor *desc,
                          const void *data,
                          size_t len,
                          const struct uds_pb_limits *limits,
                          ProtobufCMessage **ret)
{
    struct uds_pb_limits bounds;
    struct budget budget = {.error = -EBADMSG};
    /* malloc and free underneath, as in protobuf-c's default: the caller may free with a NULL allocator. */
    ProtobufCAllocator allocator = {.alloc = spend, .free = release, .allocator_data = &budget};
    ProtobufCMessage *message;
    int r = udsi_pb_limits_set(&bounds, limits);

    if (r == 0)
        r = uds_pb_scan(desc, data, len, bounds.depth, bounds.fields);
    if (r < 0)
        return r;
    budget.left = bounds.memory;
    message = protobuf_c_message_unpack(desc, &allocator, len, data);
    if (!message)
        return budget.error;
    *ret = message;
    return 0;
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
