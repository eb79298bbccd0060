/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ENVIRONMENT_H
#define BENCH_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What figures depend on beside the code, so that a reader of a result knows what it is worth and nobody compares
 * machines by mistake. Each fact is a name and a text; what cannot be read here is missing.
 */
#define ENVIRONMENT_FACTS 24

struct environment_fact {
    const char *name;
    char text[128];
    bool is_number;
};

/* How busy the machine was at a moment. */
struct environment_load {
    double load1; /* of /proc/loadavg; negative: unknown */
    uint64_t
        steal_ticks; /* of all CPUs together, since boot: time that the hypervisor gave to others */
    uint64_t all_ticks;
};

struct environment {
    struct environment_fact facts[ENVIRONMENT_FACTS];
    size_t count;
    struct environment_load before, after;
};

/* Takes everything but @after. */
void environment_take(struct environment *environment);
void environment_take_load(struct environment_load *load);

/* NULL: unknown. */
const char *environment_find(const struct environment *environment, const char *name);
/* Percent of all CPU time between the two. */
double environment_steal_percent(const struct environment *environment);

/* Was this program built with sanitizers or without optimisation? Its figures then say nothing. */
bool environment_is_slow_build(void);

#endif
