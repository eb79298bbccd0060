/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CLOCK_H
#define SUPERVISOR_CLOCK_H

#include <stdint.h>
#include <time.h>

/* ms of CLOCK_MONOTONIC for deadlines and ages, of CLOCK_REALTIME for what people read. */
static inline uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
