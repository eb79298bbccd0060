/* SPDX-License-Identifier: MIT */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "meter.h"

/* What the two sides of a link do with it. A new one is a file in workloads/ and a line in workload.c. */
struct workload {
    const char *name;
    const char *summary;
    bool one_way; /* judged by messages a second; otherwise by the time of a round trip */
    bool with_fd;
    bool starts;       /* no messages: programs are started, and each is gone again */
    bool usual;        /* part of the comparison that no command chooses */
    size_t reply_size; /* bytes of each reply; 0: as large as the request */
    const char *sizes; /* when none are asked for, as --size takes them */
    const char *media; /* the same for --media */

    int (*drive)(struct link *link, struct meter *meter);
    int (*serve)(struct link *link);
};

extern const struct workload workloads[];
extern const size_t workload_count;

const struct workload *workload_find(const char *name);

/* Why @medium cannot do this, or NULL. */
const char *workload_refuses(const struct workload *workload, const struct medium *medium);

int roundtrip_drive(struct link *link, struct meter *meter);
int roundtrip_serve(struct link *link);
int oneway_drive(struct link *link, struct meter *meter);
int oneway_serve(struct link *link);

#endif
