/* SPDX-License-Identifier: MIT */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpus.h"
#include "histogram.h"
#include "workload.h"

/*
 * One run: two fresh processes, a driver and a peer, joined by a medium, do a workload for a while. Every run has
 * processes of its own, so that chance in where memory lies and who runs first is drawn anew each time.
 */
struct run_spec {
    const struct workload *workload;
    const struct medium *medium;
    enum cpus cpus;
    size_t size;
    size_t batch; /* one way: messages that are sent together */
    uint64_t run_ns;
    uint64_t warm_ns; /* before that, not counted; 0: an eighth of it */
    bool verify;      /* a few messages whose every byte is checked, instead of time */
};

/* What one process used, over all of its messages. */
struct run_usage {
    uint64_t cpu_ns, switches;
};

struct run_result {
    struct histogram
        histogram; /* ns: of a round trip; one way, of a message, averaged over blocks of them */
    uint64_t messages, elapsed_ns; /* while measuring */
    uint64_t all_messages;         /* warming included, which is what the usage is for */
    struct run_usage usage;        /* both processes */
};

#define RUN_ERROR_MAX 256

/*
 * 0, or -errno with a line in @error (RUN_ERROR_MAX bytes) that says which side could not do what. -EMSGSIZE and -ENODEV
 * mean that this machine or medium cannot do it, the others that something is wrong: a side that died, a wrong byte, no
 * end in time. Nothing is left running in any case.
 */
int run_once(const struct run_spec *spec, struct run_result *ret, char *error);

#endif
