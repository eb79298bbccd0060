/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CLOCK_H
#define SBXI_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What deadlines are kept in: ms of CLOCK_MONOTONIC, absolute. */
static inline uint64_t sbxi_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
