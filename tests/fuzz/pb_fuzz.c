/* SPDX-License-Identifier: MIT */

/*
 * What stands between a peer's bytes and protobuf-c: any bytes as messages of several schemas, recursive ones among them,
 * under any limits. What the scan passes either unpacks within its depth and its budget of memory, or is refused cleanly;
 * what it does not pass never is unpacked. What was unpacked can be packed, and read again as the same.
 *
 * Built and run by tests/fuzz/run.sh.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/pb.h>

#include "admin.pb-c.h"
#include "supervisor.pb-c.h"
#include "test.pb-c.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a message is made of, as far as it can be seen from outside. */
struct extent {
    unsigned depth;
    size_t memory;
};

static void measure(const ProtobufCMessage *message, unsigned depth, struct extent *extent);

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    default:
        return 4;
    }
}

/* One value of @field, which lies at @at. */
static void measure_value(const ProtobufCFieldDescriptor *field,
                          const void *at,
                          unsigned depth,
                          struct extent *extent)
{
    const ProtobufCMessage *const *inner = at;
    const char *const *text = at;
    const ProtobufCBinaryData *bytes = at;

    if (field->type == PROTOBUF_C_TYPE_MESSAGE && *inner && *inner != field->default_value)
        measure(*inner, depth + 1, extent);
    else if (field->type == PROTOBUF_C_TYPE_STRING && *text && *text != field->default_value)
        extent->memory += strlen(*text) + (**text ? 1 : 0); /* "" may be the schema's own */
    else if (field->type == PROTOBUF_C_TYPE_BYTES)
        extent->memory += bytes->data ? bytes->len : 0;
}

static void measure(const ProtobufCMessage *message, unsigned depth, struct extent *extent)
{
    const ProtobufCMessageDescriptor *desc = message->descriptor;
    const uint8_t *base = (const uint8_t *)message;

    if (depth > extent->depth)
        extent->depth = depth;
    extent->memory += desc->sizeof_message;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        const void *at = base + field->offset;
        uint32_t which;
        size_t count;

        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const uint8_t *const *array = at;

            memcpy(&count, base + field->quantifier_offset, sizeof(count));
            extent->memory += count * size_of(field->type);
            for (size_t j = 0; j < count; j++)
                measure_value(field, *array + j * size_of(field->type), depth, extent);
            continue;
        }
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            memcpy(&which, base + field->quantifier_offset, sizeof(which));
            if (which != field->id)
                continue;
        }
        measure_value(field, at, depth, extent);
    }
    for (size_t i = 0; i < message->n_unknown_fields; i++)
        extent->memory += sizeof(*message->unknown_fields) + message->unknown_fields[i].len;
}

static uint8_t *pack(const ProtobufCMessage *message, size_t *ret_len)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len + 1);

    if (!bytes || protobuf_c_message_pack(message, bytes) != len)
        abort();
    *ret_len = len;
    return bytes;
}

/* Packed, it is a message that the scan passes, too, and that says the same. */
static void check_round_trip(const ProtobufCMessage *message, const struct uds_pb_limits *limits)
{
    struct uds_pb_limits wide = {
        .size = sizeof(wide), .depth = limits->depth, .fields = SIZE_MAX, .memory = SIZE_MAX};
    ProtobufCMessage *again;
    uint8_t *bytes, *more;
    size_t len, more_len;

    bytes = pack(message, &len);
    if (uds_pb_unpack_limited(message->descriptor, bytes, len, &wide, &again) < 0)
        abort();
    more = pack(again, &more_len);
    if (more_len != len || memcmp(more, bytes, len) != 0)
        abort();
    protobuf_c_message_free_unpacked(again, NULL);
    free(more);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const schemas[] = {
        &uds__test__words__descriptor,          &uds__test__knot__descriptor,
        &uds__test__left__descriptor,           &uds__test__mapped__descriptor,
        &uds__test__above_knot__descriptor,     &uds__test__diamond__descriptor,
        &uds__admin__sandbox_event__descriptor,
    };
    const ProtobufCServiceDescriptor *services[] = {&uds__supervisor__router__descriptor,
                                                    &uds__supervisor__supervisor__descriptor,
                                                    &uds__admin__broker__descriptor};
    struct udsi_reader in = {.at = data, .left = size};
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    const ProtobufCMessageDescriptor *desc;
    ProtobufCMessage *message = NULL;
    struct extent extent = {0};
    unsigned which = udsi_read_u8(&in);
    int scanned, r;

    limits.depth = 1u + udsi_read_u8(&in) % 64;
    limits.fields = 1u + udsi_read_u8(&in);
    limits.memory = 1u + udsi_read_u16(&in);
    if (in.bad)
        return 0;
    if (which & 0x80) {
        const ProtobufCServiceDescriptor *service = services[which % 3];
        const ProtobufCMethodDescriptor *method =
            &service->methods[(which & 0x7f) / 6 % service->n_methods];

        desc = (which & 0x7f) / 3 & 1 ? method->input : method->output;
    } else {
        desc = schemas[which % (sizeof(schemas) / sizeof(schemas[0]))];
    }
    scanned = uds_pb_scan(desc, in.at, in.left, limits.depth, limits.fields);
    r = uds_pb_unpack_limited(desc, in.at, in.left, &limits, &message);
    if (scanned < 0 ? r != scanned : r != 0 && r != -EBADMSG && r != -E2BIG)
        abort();
    if ((r == 0) != (message != NULL))
        abort();
    if (!message)
        return 0;
    measure(message, 1, &extent);
    if (extent.depth > limits.depth || extent.memory > limits.memory ||
        !protobuf_c_message_check(message))
        abort();
    check_round_trip(message, &limits);
    protobuf_c_message_free_unpacked(message, NULL);
    return 0;
}
