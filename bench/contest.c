/* SPDX-License-Identifier: MIT */
/* See contest.h. */
#include "contest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ALONE_NS \
    UINT64_C(1000000) /* a verifying pass ends by its count; this only bounds the wait */
#define LOOK_FIRST 8
#define LOOK_EVERY 4

void contest_add(struct contest *contest, const struct medium *medium, size_t batch)
{
    struct contender *contender = &contest->contenders[contest->count++];

    *contender = (struct contender){.medium = medium, .batch = batch};
}

static void leave_out(struct contender *contender, const char *why)
{
    (void)snprintf(contender->left_out, sizeof(contender->left_out), "%s", why);
}

void contest_leave_out(struct contest *contest, const char *why)
{
    leave_out(&contest->contenders[contest->count - 1], why);
}

static bool takes_part(const struct contender *contender)
{
    return contender->left_out[0] == '\0';
}

const struct contender *contest_reference(const struct contest *contest)
{
    const struct contender *best = NULL;

    for (size_t i = 0; i < contest->count; i++) {
        const struct contender *c = &contest->contenders[i];

        if (!takes_part(c))
            continue;
        if (!contest->last_against_best)
            return c;
        if (!best || (i + 1 < contest->count && c->middle < best->middle))
            best = c;
    }
    return best;
}

static int run_contender(const struct contest *contest,
                         const struct contender *contender,
                         bool verify,
                         struct run_result *ret,
                         char *error)
{
    const struct run_spec spec = {
        .workload = contest->workload,
        .medium = contender->medium,
        .cpus = contest->cpus,
        .size = contest->size,
        .batch = contender->batch,
        .run_ns = verify ? RUN_ALONE_NS : contest->run_ns,
        .warm_ns = verify ? 0 : contest->warm_ns,
        .verify = verify,
    };

    return run_once(&spec, ret, error);
}

/* Puts the contender's name before an error, and passes the number on. */
static int blame(const struct contender *contender, int r, char *error)
{
    char why[RUN_ERROR_MAX];

    (void)snprintf(why, sizeof(why), "%s", error);
    (void)snprintf(error, RUN_ERROR_MAX, "%s: %.200s", contender->medium->name, why);
    return r;
}

/* Sends bytes that are all different through every contender, and looks at each. Who cannot do it is left out. */
static int verify_all(struct contest *contest, struct run_result *result, char *error)
{
    for (size_t i = 0; i < contest->count; i++) {
        struct contender *contender = &contest->contenders[i];
        const char *why = workload_refuses(contest->workload, contender->medium);
        int r = 0;

        if (!takes_part(contender))
            continue;
        if (!why && contender->medium->traits & MEDIUM_SPINS && contest->cpus != CPUS_TWO)
            why = "spins: needs a core for each side (2cpu)";
        if (!why)
            r = run_contender(contest, contender, true, result, error);
        if (r == -EMSGSIZE || r == -ENODEV)
            why = error;
        else if (r < 0)
            return blame(contender, r, error);
        if (why)
            leave_out(contender, why);
    }
    return 0;
}

static int allocate(const struct contest *contest, struct contender *contender)
{
    contender->p50 = calloc(contest->rounds, sizeof(double));
    contender->p99 = calloc(contest->rounds, sizeof(double));
    contender->rate = calloc(contest->rounds, sizeof(double));
    return contender->p50 && contender->p99 && contender->rate ? 0 : -ENOMEM;
}

static void record(struct contender *contender, unsigned round, const struct run_result *result)
{
    contender->p50[round] = histogram_quantile(&result->histogram, 0.5);
    contender->p99[round] = histogram_quantile(&result->histogram, 0.99);
    contender->rate[round] =
        result->elapsed_ns ? (double)result->messages * 1e9 / (double)result->elapsed_ns : 0;
    histogram_merge(&contender->histogram, &result->histogram);
    contender->messages += result->messages;
    contender->elapsed_ns += result->elapsed_ns;
    contender->all_messages += result->all_messages;
    contender->usage.cpu_ns += result->usage.cpu_ns;
    contender->usage.switches += result->usage.switches;
}

static int
run_round(struct contest *contest, unsigned round, struct run_result *result, char *error)
{
    for (size_t i = 0; i < contest->count; i++) {
        struct contender *contender = &contest->contenders[i];
        int r;

        if (!takes_part(contender))
            continue;
        r = run_contender(contest, contender, false, result, error);
        if (r == 0 && result->messages == 0) {
            (void)snprintf(error, RUN_ERROR_MAX, "nothing was measured: make the runs longer");
            r = -ETIME;
        }
        if (r < 0)
            return blame(contender, r, error);
        record(contender, round, result);
    }
    return 0;
}

static struct interval
ratio_of(const double *above, const double *below, double *room, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        room[i] = above[i] / below[i];
    return interval_of_median(room, rounds);
}

/* After @rounds of them. */
static void compare(struct contest *contest, unsigned rounds, double *room)
{
    const struct contender *reference;
    bool by_rate = contest->workload->one_way;

    for (size_t i = 0; contest->last_against_best && i < contest->count; i++) {
        struct contender *c = &contest->contenders[i];

        if (!takes_part(c))
            continue;
        memcpy(room, c->p50, rounds * sizeof(*room));
        c->middle = interval_of_median(room, rounds).median;
    }
    reference = contest_reference(contest);
    for (size_t i = 0; reference && i < contest->count; i++) {
        struct contender *c = &contest->contenders[i];

        if (!takes_part(c))
            continue;
        c->ratio = by_rate ? ratio_of(c->rate, reference->rate, room, rounds)
                           : ratio_of(c->p50, reference->p50, room, rounds);
        c->p99_ratio = ratio_of(c->p99, reference->p99, room, rounds);
    }
}

/* Is the interval of the last contender's ratio on one side of each limit? */
static bool is_decided(const struct contest *contest)
{
    const struct interval *ratio = &contest->contenders[contest->count - 1].ratio;

    for (size_t i = 0; i < contest->limits_count; i++)
        if (ratio->low <= contest->limits[i] && contest->limits[i] <= ratio->high)
            return false;
    return contest->limits_count > 0;
}

/* Who looks often sees what he wants to see some time, so two looks in a row have to agree. */
static bool is_over(struct contest *contest, unsigned rounds, bool *was_decided, double *room)
{
    bool before = *was_decided;

    if (rounds < LOOK_FIRST || rounds % LOOK_EVERY != 0 || contest->limits_count == 0)
        return false;
    compare(contest, rounds, room);
    *was_decided = is_decided(contest);
    return before && *was_decided;
}

int contest_run(struct contest *contest,
                void (*progress)(const struct contest *contest, unsigned round),
                char *error)
{
    struct run_result *result = malloc(sizeof(*result));
    double *room = calloc(contest->rounds, sizeof(*room));
    bool was_decided = false;
    int r = result && room ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < contest->count; i++)
        r = allocate(contest, &contest->contenders[i]);
    if (r < 0)
        (void)snprintf(error, RUN_ERROR_MAX, "out of memory");
    if (r == 0)
        r = verify_all(contest, result, error);
    for (unsigned round = 0; r == 0 && round < contest->rounds; round++) {
        progress(contest, round);
        r = run_round(contest, round, result, error);
        if (r == 0 && is_over(contest, round + 1, &was_decided, room))
            contest->rounds = round + 1;
    }
    if (r == 0)
        compare(contest, contest->rounds, room);
    free(result);
    free(room);
    return r;
}

void contest_deinit(struct contest *contest)
{
    for (size_t i = 0; i < contest->count; i++) {
        free(contest->contenders[i].p50);
        free(contest->contenders[i].p99);
        free(contest->contenders[i].rate);
    }
    contest->count = 0;
}
