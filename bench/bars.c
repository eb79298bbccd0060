/* SPDX-License-Identifier: MIT */
/* See bars.h. A new bar is one row of the table. */
#include "bars.h"

#include <errno.h>
#include <stdlib.h>

#include "media.h"

#define ROUNDS 60
#define RUN_NS UINT64_C(50000000)
/* An arena is made when several times its size was sent (docs/decisions/0005); an eighth of the run is not counted. */
#define ARENA_RUN_NS UINT64_C(200000000)
#define LARGE_RUN_NS UINT64_C(1000000000)

#define BOTH_PLACES                          \
    {                                        \
        [CPUS_ONE] = true, [CPUS_TWO] = true \
    }
#define ONE_CORE          \
    {                     \
        [CPUS_ONE] = true \
    }
#define TWO_CORES         \
    {                     \
        [CPUS_TWO] = true \
    }
#define UNPINNED           \
    {                      \
        [CPUS_FREE] = true \
    }

const struct bar bars[] = {
    {"blocking round trip / raw socketpair", "rtt", "libuds", "uds-stream", 64, 1, BOTH_PLACES,
     false, 1.10, 1.05, 0},
    {"round trip in an event loop / raw socketpair", "rtt", "libuds-event", "uds-stream", 64, 1,
     BOTH_PLACES, false, 1.5, 1.25, 0},
    {"coalesced messages a second / ZeroMQ PUSH-PULL", "oneway", "libuds", "zeromq", 64,
     BATCH_DEFAULT, UNPINNED, true, 2, 6, 0},
    {"round trip with a descriptor each way / raw", "fd", "libuds", "uds-stream", 64, 1,
     BOTH_PLACES, false, 1.10, 1.05, 0},
    {"ring round trip while both run / cache line", "rtt", "libuds-ring", "cacheline", 64, 1,
     TWO_CORES, false, 5, 3, 0},
    {"ring round trip, each sleeps / raw socketpair", "rtt", "libuds-ring", "uds-stream", 64, 1,
     ONE_CORE, false, 1.0, 0.75, 0},
    {"1 MiB round trip by arena, all bytes read / stream", "rtt", "libuds-arena", "uds-stream",
     1 << 20, 1, BOTH_PLACES, false, 0.6, 0.45, ARENA_RUN_NS},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 64, 1, BOTH_PLACES, false,
     1.15, 1.05, 0},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 4 << 10, 1, BOTH_PLACES,
     false, 1.15, 1.05, 0},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 16 << 10, 1, BOTH_PLACES,
     false, 1.15, 1.05, 0},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 32 << 10, 1, BOTH_PLACES,
     false, 1.15, 1.05, ARENA_RUN_NS},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 64 << 10, 1, BOTH_PLACES,
     false, 1.15, 1.05, ARENA_RUN_NS},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 256 << 10, 1, BOTH_PLACES,
     false, 1.15, 1.05, ARENA_RUN_NS},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 1 << 20, 1, BOTH_PLACES,
     false, 1.15, 1.05, ARENA_RUN_NS},
    {"choice of path / inside frames", "rtt", "libuds", "libuds-inline", 4 << 20, 1, BOTH_PLACES,
     false, 1.15, 1.05, LARGE_RUN_NS},
};
const size_t bars_count = sizeof(bars) / sizeof(bars[0]);

static int
add_bar(struct plan *plan, const struct options *options, const struct bar *bar, enum cpus cpus)
{
    struct contest *contest = plan_add(plan, workload_find(bar->workload), cpus, bar->size);

    if (!contest)
        return -ENOMEM;
    contest->rounds = options->rounds ? options->rounds : ROUNDS;
    contest->run_ns = options->run_ns ? options->run_ns : bar->run_ns ? bar->run_ns : RUN_NS;
    contest_add(contest, media_find(bar->theirs), bar->batch);
    contest_add(contest, media_find(bar->ours), bar->batch);
    return 0;
}

int bars_plan(struct plan *plan, const struct options *options, const struct bar ***ret_bars)
{
    const struct bar **owners = calloc(bars_count * CPUS_COUNT, sizeof(struct bar *));
    int r = owners ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < bars_count; i++)
        for (int place = 0; r == 0 && place < CPUS_COUNT; place++) {
            if (!bars[i].cpus[place])
                continue;
            owners[plan->count] = &bars[i];
            r = add_bar(plan, options, &bars[i], (enum cpus)place);
        }
    if (r < 0) {
        free(owners);
        return r;
    }
    *ret_bars = owners;
    return 0;
}

const struct contender *bar_contender(const struct contest *contest)
{
    return &contest->contenders[1];
}

/* Is all of the interval on the right side of @limit (1), all on the wrong (-1), or neither (0)? */
static int side_of(const struct bar *bar, const struct interval *ratio, double limit)
{
    if (bar->at_least)
        return ratio->low >= limit ? 1 : ratio->high < limit ? -1 : 0;
    return ratio->high <= limit ? 1 : ratio->low > limit ? -1 : 0;
}

enum bar_verdict bar_judge(const struct bar *bar, const struct contest *contest)
{
    const struct interval *ratio = &bar_contender(contest)->ratio;

    for (size_t i = 0; i < contest->count; i++)
        if (contest->contenders[i].left_out[0])
            return BAR_NOT_RUN;
    if (side_of(bar, ratio, bar->aim) > 0)
        return BAR_AIM_MET;
    switch (side_of(bar, ratio, bar->must)) {
    case 1:
        return BAR_MET;
    case -1:
        return BAR_MISSED;
    default:
        return BAR_OPEN;
    }
}

const char *bar_verdict_name(enum bar_verdict verdict)
{
    static const char *const names[] = {
        [BAR_MISSED] = "missed",   [BAR_OPEN] = "open",       [BAR_MET] = "met",
        [BAR_AIM_MET] = "aim met", [BAR_NOT_RUN] = "not run",
    };

    return names[verdict];
}
