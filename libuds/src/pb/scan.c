/* SPDX-License-Identifier: MIT */
/*
 * What stands between a peer's bytes and protobuf_c_message_unpack().
 *
 * protobuf-c unpacks sub-messages by recursion without a limit: 29 KB of a message type that contains itself overflow an
 * 8 MiB stack. The scan walks the same bytes before it, with a stack of its own: one entry per open sub-message, each
 * with the type it is of and the offset at which it ends.
 *
 *   1. ends never grow towards the inside: a sub-message ends at or before the one around it;
 *   2. the walk never reads at or after the innermost end;
 *   3. each step takes at least one byte off the input or one entry off the stack, so that the walk ends.
 *
 * What the scan accepts unpack may still refuse (a required field that is missing, a number on the wire where the schema
 * says string): that is a clean refusal, not a crash.
 */
#include <errno.h>
#include <stdlib.h>

#include <uds/pb.h>

#define UDSI_PB_DEPTH_CEILING 256u /* entries of the stack below, 4 KiB */

struct cursor {
    const uint8_t *data;
    size_t at, end; /* end of the innermost open message */
};

/* LEB128 of at most @max_bytes bytes; what does not fit in 64 bits is cut off, as protobuf-c does. */
static int take_varint(struct cursor *c, unsigned max_bytes, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < max_bytes; i++) {
        uint8_t byte;

        if (c->at == c->end)
            return -EBADMSG;
        byte = c->data[c->at++];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *ret = value;
            return 0;
        }
    }
    return -EBADMSG;
}

static int skip(struct cursor *c, uint64_t n)
{
    if (n > c->end - c->at)
        return -EBADMSG;
    c->at += (size_t)n;
    return 0;
}

/*
 * One field: its tag and, unless it opens a message, its value. Groups (wire types 3 and 4) nest by themselves and
 * protobuf-c does not know them: refused. Returns 1 with the type and length of a message to descend into, else 0.
 */
static int take_field(struct cursor *c,
                      const ProtobufCMessageDescriptor *desc,
                      const ProtobufCMessageDescriptor **ret_inner,
                      size_t *ret_len)
{
    const ProtobufCFieldDescriptor *field;
    uint64_t tag, value;
    int r;

    r = take_varint(c, 5, &tag);
    if (r < 0)
        return r;
    if (tag > UINT32_MAX || tag >> 3 == 0)
        return -EBADMSG;

    switch ((ProtobufCWireType)(tag & 7)) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return take_varint(c, 10, &value);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return skip(c, 8);
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return skip(c, 4);
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        break;
    default:
        return -EBADMSG;
    }

    r = take_varint(c, 5, &value);
    if (r < 0)
        return r;
    if (value > c->end - c->at)
        return -EBADMSG;
    /* Field numbers outside the schema (NULL) are bytes that unpack copies without a look inside. */
    field = protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
    if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return skip(c, value);

    *ret_inner = field->descriptor;
    *ret_len = (size_t)value;
    return 1;
}

int uds_pb_scan(const ProtobufCMessageDescriptor *desc,
                const void *data,
                size_t len,
                unsigned max_depth,
                size_t max_fields)
{
    struct {
        const ProtobufCMessageDescriptor *desc;
        size_t end;
    } open[UDSI_PB_DEPTH_CEILING];
    struct cursor c = {.data = data, .at = 0, .end = len};
    unsigned depth = 0; /* index of the innermost open message */
    size_t fields = 0;

    if (max_depth > UDSI_PB_DEPTH_CEILING)
        max_depth = UDSI_PB_DEPTH_CEILING;
    if (max_depth == 0)
        return -ELOOP;
    open[0].desc = desc;
    open[0].end = len;

    for (;;) {
        const ProtobufCMessageDescriptor *inner = NULL;
        size_t inner_len = 0;
        int r;

        while (c.at == open[depth].end) {
            if (depth == 0)
                return 0;
            depth--;
        }
        c.end = open[depth].end;

        if (fields++ == max_fields)
            return -E2BIG;
        r = take_field(&c, open[depth].desc, &inner, &inner_len);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        if (depth + 1 >= max_depth)
            return -ELOOP;
        depth++;
        open[depth].desc = inner;
        open[depth].end = c.at + inner_len;
    }
}

/* The message types that can be reached from one, each once, in the order in which they were found. */
struct reach {
    const ProtobufCMessageDescriptor **types;
    size_t n, room;
};

static bool reach_contains(const struct reach *reach, const ProtobufCMessageDescriptor *desc)
{
    for (size_t i = 0; i < reach->n; i++)
        if (reach->types[i] == desc)
            return true;
    return false;
}

static bool reach_add(struct reach *reach, const ProtobufCMessageDescriptor *desc)
{
    if (reach_contains(reach, desc))
        return true;
    if (reach->n == reach->room) {
        size_t room = reach->room ? 2 * reach->room : 16;
        const ProtobufCMessageDescriptor **types;

        types = reallocarray(reach->types, room, sizeof(*types));
        if (!types)
            return false;
        reach->types = types;
        reach->room = room;
    }
    reach->types[reach->n++] = desc;
    return true;
}

static const ProtobufCMessageDescriptor *message_of(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

static bool contains_any(const ProtobufCMessageDescriptor *desc, const struct reach *reach)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCMessageDescriptor *inner = message_of(&desc->fields[i]);

        if (inner && reach_contains(reach, inner))
            return true;
    }
    return false;
}

bool uds_pb_is_acyclic(const ProtobufCMessageDescriptor *desc)
{
    struct reach left = {0};
    bool acyclic = false;
    size_t removed;

    if (!reach_add(&left, desc))
        goto out; /* no memory: not proved */
    for (size_t i = 0; i < left.n; i++)
        for (unsigned f = 0; f < left.types[i]->n_fields; f++) {
            const ProtobufCMessageDescriptor *inner = message_of(&left.types[i]->fields[f]);

            if (inner && !reach_add(&left, inner))
                goto out;
        }

    /* Take away types that contain none of those left, until nothing changes. What stays is in, or above, a cycle. */
    do {
        removed = 0;
        for (size_t i = left.n; i-- > 0;)
            if (!contains_any(left.types[i], &left)) {
                left.types[i] = left.types[--left.n];
                removed++;
            }
    } while (removed > 0);
    acyclic = left.n == 0;
out:
    free(left.types);
    return acyclic;
}
