/* SPDX-License-Identifier: MIT */

/*
 * See slotcopy.h. On other machines than x86 there is no such store that anybody has measured here: all is memcpy(), and
 * who compares the ways (pace.h) finds two of them equal.
 */

#include "conn/slotcopy.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>

#define LINE 64

/* Whole lines, @to aligned if they go past the caches. Returns how many bytes that were. */
static inline __attribute__((always_inline)) size_t
copy_lines(uint8_t *to, const uint8_t *from, size_t len, bool past)
{
    size_t done = 0;

    for (; len - done >= LINE; done += LINE) {
        const __m128i *a = (const __m128i *)(const void *)(from + done);
        __m128i *b = (__m128i *)(void *)(to + done);
        __m128i w = _mm_loadu_si128(a), x = _mm_loadu_si128(a + 1);
        __m128i y = _mm_loadu_si128(a + 2), z = _mm_loadu_si128(a + 3);

        if (past) {
            _mm_stream_si128(b, w);
            _mm_stream_si128(b + 1, x);
            _mm_stream_si128(b + 2, y);
            _mm_stream_si128(b + 3, z);
        } else {
            _mm_storeu_si128(b, w);
            _mm_storeu_si128(b + 1, x);
            _mm_storeu_si128(b + 2, y);
            _mm_storeu_si128(b + 3, z);
        }
    }
    return done;
}

/* Stores past the caches are weakly ordered, hence the fence at the end of a run of them. */
void udsi_slot_copy_past(void *to, const void *from, size_t len)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    size_t at = (size_t) - (uintptr_t)out % LINE;

    if (at > len)
        at = len;
    memcpy(out, in, at);
    at += copy_lines(out + at, in + at, len - at, true);
    memcpy(out + at, in + at, len - at);
    _mm_sfence();
}

void udsi_slot_wipe_past(void *to, size_t len)
{
    const __m128i zero = _mm_setzero_si128();

    for (uint8_t *at = to; len >= LINE; at += LINE, len -= LINE) {
        __m128i *out = (__m128i *)(void *)at;

        _mm_stream_si128(out, zero);
        _mm_stream_si128(out + 1, zero);
        _mm_stream_si128(out + 2, zero);
        _mm_stream_si128(out + 3, zero);
    }
    _mm_sfence();
}

/*
 * Not memcpy(): for bodies up to about 1 MiB glibc takes rep movsb, which did not fetch ahead from memory or from another
 * core's cache where we have measured.
 */
void udsi_slot_copy_out(void *to, const void *from, size_t len)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    size_t at = copy_lines(out, in, len, false);

    memcpy(out + at, in + at, len - at);
}

#else

void udsi_slot_copy_past(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
}

void udsi_slot_wipe_past(void *to, size_t len)
{
    (void)to;
    (void)len;
}

void udsi_slot_copy_out(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
}

#endif
