/* SPDX-License-Identifier: MIT */
/* See plan.h. */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "media.h"

#define BATCH_BYTES \
    ((size_t)256 << 10) /* a batch of large messages is smaller: it is the bytes that count then */
#define ROUNDS       15
#define RUN_NS       UINT64_C(20000000)
#define START_RUN_NS UINT64_C(120000000) /* some tens of milliseconds each */

struct contest *
plan_add(struct plan *plan, const struct workload *workload, enum cpus cpus, size_t size)
{
    struct contest **contests = realloc(plan->contests, (plan->count + 1) * sizeof(*contests));
    struct contest *contest;

    if (!contests)
        return NULL;
    plan->contests = contests;
    contest = calloc(1, sizeof(*contest));
    if (!contest)
        return NULL;
    contest->workload = workload;
    contest->cpus = cpus;
    contest->size = size;
    contests[plan->count++] = contest;
    return contest;
}

void plan_deinit(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        contest_deinit(plan->contests[i]);
        free(plan->contests[i]);
    }
    free(plan->contests);
    *plan = (struct plan){0};
}

bool plan_is_batched(const struct contest *contest)
{
    return contest->count > 0 && contest->contenders[0].batch > 1;
}

static size_t batch_for(const struct options *options, size_t size)
{
    size_t batch = options->batch ? options->batch : BATCH_DEFAULT;

    if (batch > BATCH_BYTES / size)
        batch = BATCH_BYTES / size;
    return batch > 0 ? batch : 1;
}

static int add_cell(struct plan *plan,
                    const struct options *options,
                    const struct workload *workload,
                    enum cpus cpus,
                    size_t size,
                    size_t batch)
{
    struct contest *contest = plan_add(plan, workload, cpus, size);
    const struct medium *list[CONTENDERS_MAX];
    size_t count = options->media_count;
    const char *unknown;

    if (!contest)
        return -ENOMEM;
    contest->rounds = options->rounds ? options->rounds : ROUNDS;
    contest->run_ns = options->run_ns ? options->run_ns : workload->starts ? START_RUN_NS : RUN_NS;
    if (count == 0)
        (void)options_parse_media(workload->media, list, CONTENDERS_MAX, &count, &unknown);
    for (size_t i = 0; i < count; i++) {
        const struct medium *medium = options->media_count ? options->media[i] : list[i];

        contest_add(contest, medium, batch);
        if (workload->one_way && batch == 1 && size < BATCH_BYTES &&
            medium->traits & MEDIUM_ONLY_BATCHES)
            contest_leave_out(contest, "gathers messages by itself: see its batches");
    }
    return 0;
}

static int add_size(struct plan *plan,
                    const struct options *options,
                    const struct workload *workload,
                    size_t size)
{
    size_t batch = workload->one_way ? batch_for(options, size) : 1;
    int r = 0;

    for (int i = 0; r == 0 && i < CPUS_COUNT; i++) {
        if (!options->cpus[i])
            continue;
        r = add_cell(plan, options, workload, (enum cpus)i, size, 1);
        if (r == 0 && batch > 1)
            r = add_cell(plan, options, workload, (enum cpus)i, size, batch);
    }
    return r;
}

static int
add_workload(struct plan *plan, const struct options *options, const struct workload *workload)
{
    size_t sizes[SIZES_MAX], count = options->sizes_count;
    int r = 0;

    if (count == 0)
        (void)options_parse_sizes(workload->sizes, sizes, SIZES_MAX, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_size(plan, options, workload, options->sizes_count ? options->sizes[i] : sizes[i]);
    return r;
}

int plan_comparison(struct plan *plan, const struct options *options)
{
    int r = 0;

    if (options->only)
        return add_workload(plan, options, options->only);
    for (size_t i = 0; r == 0 && i < workload_count; i++)
        if (workloads[i].usual)
            r = add_workload(plan, options, &workloads[i]);
    return r;
}
