/* SPDX-License-Identifier: MIT */
/* See body.h. */
#include "body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t word_of(uint64_t message, uint64_t index)
{
    uint64_t z = (message + 1) * 0x9e3779b97f4a7c15 + index * 0xd1342543de82ef95;

    z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9;
    return z ^ (z >> 32);
}

static void fill(uint8_t *bytes, size_t size, uint64_t message)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(word_of(message, i / 8) >> (i % 8 * 8));
}

int body_source_init(struct body_source *source, size_t size, bool verify)
{
    *source = (struct body_source){.size = size, .verify = verify, .bytes = malloc(size)};
    if (!source->bytes)
        return -ENOMEM;
    fill(source->bytes, size, 0);
    return 0;
}

void body_source_deinit(struct body_source *source)
{
    free(source->bytes);
    source->bytes = NULL;
}

const void *body_source_next(struct body_source *source)
{
    if (source->verify)
        fill(source->bytes, source->size, source->made);
    source->made++;
    return source->bytes;
}

static void check(struct body_sink *sink, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t position = sink->taken + i, offset = position % sink->size;

        if (data[i] != (uint8_t)(word_of(position / sink->size, offset / 8) >> (offset % 8 * 8)))
            sink->wrong = true;
    }
}

/* Four sums: one would wait for itself at every step. */
static uint64_t sum_of(const uint8_t *data, size_t len)
{
    uint64_t sums[4] = {0}, words[4];
    size_t i = 0;

    for (; i + sizeof(words) <= len; i += sizeof(words)) {
        memcpy(words, data + i, sizeof(words));
        for (size_t k = 0; k < 4; k++)
            sums[k] += words[k];
    }
    for (; i < len; i++)
        sums[0] += data[i];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

void body_sink_take(struct body_sink *sink, const void *data, size_t len)
{
    if (sink->verify)
        check(sink, data, len);
    else
        sink->sum += sum_of(data, len);
    sink->taken += len;
}
