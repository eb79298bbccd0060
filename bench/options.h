/* SPDX-License-Identifier: MIT */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contest.h"
#include "cpus.h"
#include "workload.h"

/* The command line: which workloads, over what, how long. */

#define SIZES_MAX 16

enum command {
    COMMAND_COMPARE, /* every workload of @selected */
    COMMAND_BARS,
    COMMAND_LIST,
};

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* a run went wrong, or output could not be written */
    EXIT_USAGE = 2,
    EXIT_MISSED = 3, /* bars: one is not met, or not shown to be */
};

struct options {
    enum command command;
    const struct workload *only; /* NULL: the usual comparison, or all bars */
    const struct medium *media[CONTENDERS_MAX];
    size_t media_count; /* 0: the workload's own */
    size_t sizes[SIZES_MAX];
    size_t sizes_count; /* 0: the workload's own */
    bool cpus[CPUS_COUNT];
    bool cpus_chosen;
    size_t batch;
    unsigned rounds; /* 0: the command's own */
    uint64_t run_ns; /* 0: the command's own */
    bool json;
    bool quiet;
};

/* -1: go on, otherwise the exit code: help was printed, or what is wrong. */
int options_parse(struct options *options, int argc, char **argv);

/* "64", "4K", "1M" (1024 and its square), 1 byte to 16 MiB. 0, -EINVAL, -ERANGE. */
int options_parse_size(const char *text, size_t *ret);
/* A list of them, separated by commas. 0, -EINVAL, -ERANGE; -E2BIG: more than @max. */
int options_parse_sizes(const char *text, size_t *sizes, size_t max, size_t *ret_count);
/* A list of names of media. 0; -ENOENT, *@ret_unknown names it (static until the next call); -E2BIG. */
int options_parse_media(const char *text,
                        const struct medium **list,
                        size_t max,
                        size_t *ret_count,
                        const char **ret_unknown);

#endif
