/* SPDX-License-Identifier: MIT */
/* See bars.h. A new bar is one row of the table. */
#include "bars.h"

#include <errno.h>
#include <stdlib.h>

#include "media.h"

#define ROUNDS 40
#define RUN_NS UINT64_C(30000000)
/* An arena is made when several times its size was sent, and then the ways are tried (docs/decisions/0005, 0007). */
#define ARENA_ROUNDS  12
#define ARENA_WARM_NS UINT64_C(100000000)
#define ARENA_RUN_NS  UINT64_C(60000000)
/* Small ones go inside frames for longer, and more of them make a burst. */
#define SMALL_WARM_NS UINT64_C(250000000)
/* Large ones are few in a second: a trial takes long, and so does a median that can be trusted. */
#define LARGE_ROUNDS  12
#define LARGE_WARM_NS UINT64_C(450000000)
#define LARGE_RUN_NS  UINT64_C(150000000)

/* A start takes milliseconds: a few dozen of them in a run. */
#define START_ROUNDS 12
#define START_RUN_NS UINT64_C(120000000)

#define BY_ARENA     .rounds = ARENA_ROUNDS, .run_ns = ARENA_RUN_NS, .warm_ns = ARENA_WARM_NS
#define BY_SMALL     .rounds = ARENA_ROUNDS, .run_ns = ARENA_RUN_NS, .warm_ns = SMALL_WARM_NS
#define BY_LARGE     .rounds = LARGE_ROUNDS, .run_ns = LARGE_RUN_NS, .warm_ns = LARGE_WARM_NS

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

/* The choice is held against the fastest of the ways that it chooses from; bodies below 32 KiB have only one. */
#define ALL_PATHS .theirs = "libuds-inline,libuds-slots,libuds-uncached"
#define CHOICE(bytes, ...)                                                                       \
    {                                                                                            \
        .what = "choice of path / fastest path", .workload = "rtt", .ours = "libuds",            \
        .size = (bytes), .batch = 1, .cpus = BOTH_PLACES, .must = 1.15, .aim = 1.05, __VA_ARGS__ \
    }

/* From the start of /bin/true to where it has ended and nothing of it is left. */
#define START(text, one, other, least, goal, ...)                                             \
    {                                                                                         \
        .what = (text), .workload = "start", .ours = (one), .theirs = (other), .size = 1,     \
        .batch = 1, .cpus = UNPINNED, .must = (least), .aim = (goal), .rounds = START_ROUNDS, \
        .run_ns = START_RUN_NS, __VA_ARGS__                                                   \
    }

static const struct bar bars[] = {
    {.what = "blocking round trip / raw socketpair",
     .workload = "rtt",
     .ours = "libuds",
     .theirs = "uds-stream",
     .size = 64,
     .batch = 1,
     .cpus = BOTH_PLACES,
     .must = 1.10,
     .aim = 1.05},
    {.what = "round trip in an event loop / raw socketpair",
     .workload = "rtt",
     .ours = "libuds-event",
     .theirs = "uds-stream",
     .size = 64,
     .batch = 1,
     .cpus = BOTH_PLACES,
     .must = 1.5,
     .aim = 1.25},
    {.what = "coalesced messages a second / ZeroMQ PUSH-PULL",
     .workload = "oneway",
     .ours = "libuds",
     .theirs = "zeromq",
     .size = 64,
     .batch = BATCH_DEFAULT,
     .cpus = UNPINNED,
     .at_least = true,
     .must = 2,
     .aim = 6},
    {.what = "round trip with a descriptor each way / raw",
     .workload = "fd",
     .ours = "libuds",
     .theirs = "uds-stream",
     .size = 64,
     .batch = 1,
     .cpus = BOTH_PLACES,
     .must = 1.10,
     .aim = 1.05},
    {.what = "ring round trip while both run / cache line",
     .workload = "rtt",
     .ours = "libuds-ring",
     .theirs = "cacheline",
     .size = 64,
     .batch = 1,
     .cpus = TWO_CORES,
     .must = 5,
     .aim = 3},
    {.what = "ring round trip, each sleeps / raw socketpair",
     .workload = "rtt",
     .ours = "libuds-ring",
     .theirs = "uds-stream",
     .size = 64,
     .batch = 1,
     .cpus = ONE_CORE,
     .must = 1.0,
     .aim = 0.75},
    {.what = "1 MiB round trip by arena, all bytes read / stream",
     .workload = "rtt",
     .ours = "libuds-arena",
     .theirs = "uds-stream",
     .size = 1 << 20,
     .batch = 1,
     .cpus = BOTH_PLACES,
     .must = 0.6,
     .aim = 0.45,
     BY_ARENA},
    CHOICE(64, .theirs = "libuds-inline"),
    CHOICE(4 << 10, .theirs = "libuds-inline"),
    CHOICE(16 << 10, .theirs = "libuds-inline"),
    CHOICE(32 << 10, ALL_PATHS, BY_SMALL),
    CHOICE(64 << 10, ALL_PATHS, BY_SMALL),
    CHOICE(256 << 10, ALL_PATHS, BY_ARENA),
    CHOICE(1 << 20, ALL_PATHS, BY_ARENA),
    CHOICE(4 << 20, ALL_PATHS, BY_LARGE),
    START("start, no cgroup, no net / clone3 and exec", "sandbox-bare", "exec", 3, 2.2),
    START("start, no cgroup / clone3 and exec", "sandbox-net", "exec", 4, 3),
    START("start, all isolation / clone3 and exec", "sandbox", "exec", 5.5, 4),
    START("start from a warm pool / clone3 and exec", "sandbox-warm", "exec", 2, 1.5),
    START("bwrap --unshare-all / warm start by request",
          "bwrap",
          "broker-warm",
          4,
          6,
          .at_least = true),
    START("bwrap --unshare-all / uds run", "bwrap", "uds-run", 1.6, 2.5, .at_least = true),
    START("bwrap --unshare-all / uds run --no-cgroup",
          "bwrap",
          "uds-run-bare",
          1.6,
          2.5,
          .at_least = true),
    START("runc / uds run, both with limits", "runc", "uds-run-limits", 8, 15, .at_least = true),
};
static const size_t bars_count = sizeof(bars) / sizeof(bars[0]);

static int
add_bar(struct plan *plan, const struct options *options, const struct bar *bar, enum cpus cpus)
{
    struct contest *contest = plan_add(plan, workload_find(bar->workload), cpus, bar->size);
    const struct medium *theirs[CONTENDERS_MAX];
    const char *unknown;
    size_t count = 0;

    if (!contest)
        return -ENOMEM;
    contest->rounds = options->rounds ? options->rounds : bar->rounds ? bar->rounds : ROUNDS;
    contest->run_ns = options->run_ns ? options->run_ns : bar->run_ns ? bar->run_ns : RUN_NS;
    contest->warm_ns = options->run_ns ? 0 : bar->warm_ns;
    (void)options_parse_media(bar->theirs, theirs, CONTENDERS_MAX - 1, &count, &unknown);
    for (size_t i = 0; i < count; i++)
        contest_add(contest, theirs[i], bar->batch);
    contest_add(contest, media_find(bar->ours), bar->batch);
    contest->last_against_best = count > 1;
    if (options->rounds == 0) {
        contest->limits[0] = bar->must;
        contest->limits[1] = bar->aim;
        contest->limits_count = 2;
    }
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
    return &contest->contenders[contest->count - 1];
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
