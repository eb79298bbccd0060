/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CLOCK_H
#define UDSI_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The one clock that deadlines are kept in, in every layer: ms of CLOCK_MONOTONIC, absolute. */
static inline uint64_t udsi_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* For what is too short for ms. */
static inline uint64_t udsi_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
