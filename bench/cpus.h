/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CPUS_H
#define BENCH_CPUS_H

#include <stdbool.h>

/* Where the two sides of a run are put: whether they share a core decides more than the medium does. */
enum cpus {
    CPUS_ONE,  /* both on one core: the software path and a switch */
    CPUS_TWO,  /* one on each of two: a wake-up of another core, too */
    CPUS_FREE, /* wherever the scheduler likes */
};
#define CPUS_COUNT 3

const char *cpus_name(enum cpus cpus); /* "1cpu", "2cpu", "free" */

/* How many cores this process may use. */
int cpus_allowed(void);

/* Puts the calling process on the core of side 0 or 1: the first two that it may use. 0 or -errno; -ENODEV: there is no
 * second one. */
int cpus_pin(enum cpus cpus, int side);

#endif
