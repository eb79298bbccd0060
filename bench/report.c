/* SPDX-License-Identifier: MIT */
/* See report.h: for people. */
#include "report.h"

#include <string.h>

#include "media.h"
#include "table.h"

#define CELL_MAX 64

/* "93 ns", "8.91 µs", "1.23 ms": three digits. */
static const char *format_ns(double ns, char *buf)
{
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    size_t unit = 0;

    while (ns >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        ns /= 1000;
        unit++;
    }
    (void)snprintf(buf, CELL_MAX, "%.*f %s", ns < 9.995 ? 2 : ns < 99.95 ? 1 : 0, ns, units[unit]);
    return buf;
}

/* "312 k", "4.20 M", "1.85 G" */
static const char *format_rate(double rate, const char *of, char *buf)
{
    static const char *const units[] = {"", " k", " M", " G"};
    size_t unit = 0;

    while (rate >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        rate /= 1000;
        unit++;
    }
    (void)snprintf(buf, CELL_MAX, "%.*f%s%s",
                   rate < 9.995   ? 2
                   : rate < 99.95 ? 1
                                  : 0,
                   rate, units[unit], of);
    return buf;
}

static const char *format_size(size_t size, char *buf)
{
    if (size < 1024 || size % 1024 != 0)
        (void)snprintf(buf, CELL_MAX, "%zu B", size);
    else if (size < 1024 * 1024 || size % (1024 * 1024) != 0)
        (void)snprintf(buf, CELL_MAX, "%zu KiB", size / 1024);
    else
        (void)snprintf(buf, CELL_MAX, "%zu MiB", size / 1024 / 1024);
    return buf;
}

/* Programs that are started have none. */
static const char *format_size_of(const struct contest *contest, char *buf)
{
    return contest->workload->starts ? strcpy(buf, "-") : format_size(contest->size, buf);
}

static const char *format_interval(const struct interval *interval, char *buf)
{
    double median = interval->median;
    int digits = median < 0.0995 ? 4 : median < 9.995 ? 2 : median < 99.95 ? 1 : 0;

    (void)snprintf(buf, CELL_MAX, "%.*f [%.*f, %.*f]", digits, median, digits, interval->low,
                   digits, interval->high);
    return buf;
}

static double rate_of(const struct contender *contender)
{
    return contender->elapsed_ns ? (double)contender->messages * 1e9 / (double)contender->elapsed_ns
                                 : 0;
}

static const char *fact(const struct environment *environment, const char *name)
{
    const char *text = environment_find(environment, name);

    return text ? text : "unknown";
}

void report_environment(const struct environment *environment, FILE *out)
{
    (void)fprintf(out, "%s, %s cores of %s%s, %s, load %.2f\n", fact(environment, "kernel"),
                  fact(environment, "cpus_allowed"), fact(environment, "cpu_model"),
                  strcmp(fact(environment, "hypervisor"), "yes") == 0 ? " in a virtual machine"
                                                                      : "",
                  fact(environment, "compiler"), environment->before.load1);
    if (environment_is_slow_build())
        (void)fputs("This build is sanitized or not optimised: its figures mean nothing.\n", out);
}

void report_calm(const struct environment *environment, FILE *out)
{
    (void)fprintf(
        out,
        "\nLoad %.2f before, %.2f after; %.1f%% of CPU time was stolen. Where others work, "
        "trust the ratios and not the figures.\n",
        environment->before.load1, environment->after.load1,
        environment_steal_percent(environment));
}

/* ---- tables of a comparison ---- */

static const struct table_column roundtrip_columns[] = {
    {"SIZE", NULL, true, false},      {"CPUS", NULL, false, false},
    {"MEDIUM", NULL, false, false},   {"P50", NULL, true, false},
    {"P99", NULL, true, false},       {"P50 RATIO", NULL, true, false},
    {"P99 RATIO", NULL, true, false}, {"CPU", NULL, true, false},
    {"SWITCHES", NULL, true, false},
};

static const struct table_column oneway_columns[] = {
    {"SIZE", NULL, true, false},     {"CPUS", NULL, false, false},
    {"TOGETHER", NULL, true, false}, {"MEDIUM", NULL, false, false},
    {"MSG/S", NULL, true, false},    {"BYTES/S", NULL, true, false},
    {"RATIO", NULL, true, false},    {"P50", NULL, true, false},
    {"P99", NULL, true, false},      {"CPU", NULL, true, false},
    {"SWITCHES", NULL, true, false},
};

#define COUNT_OF(columns) (sizeof(columns) / sizeof((columns)[0]))

static void add_usage(struct table *table, const struct contender *c)
{
    double messages = c->all_messages ? (double)c->all_messages : 1;
    char cell[CELL_MAX];

    table_text(table, format_ns((double)c->usage.cpu_ns / messages, cell));
    (void)snprintf(cell, sizeof(cell), "%.2f", (double)c->usage.switches / messages);
    table_text(table, cell);
}

static void add_roundtrip(struct table *table, const struct contender *c)
{
    char cell[CELL_MAX];

    table_text(table, c->medium->name);
    table_text(table, format_ns(histogram_quantile(&c->histogram, 0.5), cell));
    table_text(table, format_ns(histogram_quantile(&c->histogram, 0.99), cell));
    table_text(table, format_interval(&c->ratio, cell));
    table_text(table, format_interval(&c->p99_ratio, cell));
    add_usage(table, c);
}

static void
add_oneway(struct table *table, const struct contest *contest, const struct contender *c)
{
    char cell[CELL_MAX];

    (void)snprintf(cell, sizeof(cell), "%zu", c->batch);
    table_text(table, cell);
    table_text(table, c->medium->name);
    table_text(table, format_rate(rate_of(c), "", cell));
    table_text(table, format_rate(rate_of(c) * (double)contest->size, "B", cell));
    table_text(table, format_interval(&c->ratio, cell));
    table_text(table, format_ns(histogram_quantile(&c->histogram, 0.5), cell));
    table_text(table, format_ns(histogram_quantile(&c->histogram, 0.99), cell));
    add_usage(table, c);
}

static void add_contest(struct table *table, const struct contest *contest)
{
    bool first = true;
    char cell[CELL_MAX];

    for (size_t i = 0; i < contest->count; i++) {
        const struct contender *c = &contest->contenders[i];

        if (c->left_out[0])
            continue;
        table_row(table);
        table_text(table, first ? format_size_of(contest, cell) : "");
        table_text(table, first ? cpus_name(contest->cpus) : "");
        if (contest->workload->one_way)
            add_oneway(table, contest, c);
        else
            add_roundtrip(table, c);
        first = false;
    }
}

/* Was the same said of an earlier contest of this workload? */
static bool said_before(const struct plan *plan, size_t before, const struct contender *contender)
{
    const struct workload *workload = plan->contests[before]->workload;

    for (size_t i = 0; i < before; i++) {
        const struct contest *contest = plan->contests[i];

        for (size_t k = 0; contest->workload == workload && k < contest->count; k++)
            if (contest->contenders[k].medium == contender->medium &&
                strcmp(contest->contenders[k].left_out, contender->left_out) == 0)
                return true;
    }
    return false;
}

static void print_left_out(const struct plan *plan, const struct workload *workload, FILE *out)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct contest *contest = plan->contests[i];
        char size[CELL_MAX];

        for (size_t k = 0; contest->workload == workload && k < contest->count; k++) {
            const struct contender *c = &contest->contenders[k];

            if (c->left_out[0] && !said_before(plan, i, c))
                (void)fprintf(out, "left out, %s %s: %s: %s\n", format_size_of(contest, size),
                              cpus_name(contest->cpus), c->medium->name, c->left_out);
        }
    }
}

static void print_workload(const struct plan *plan, const struct workload *workload, FILE *out)
{
    struct table *table = workload->one_way
                              ? table_new(oneway_columns, COUNT_OF(oneway_columns))
                              : table_new(roundtrip_columns, COUNT_OF(roundtrip_columns));
    const struct contest *any = NULL;

    for (size_t i = 0; i < plan->count; i++) {
        if (plan->contests[i]->workload != workload)
            continue;
        any = plan->contests[i];
        add_contest(table, any);
    }
    if (any) {
        const struct contender *reference = contest_reference(any);

        (void)fprintf(out, "\n%s: %s; ratio to %s: median of %u pairs [95%% interval]\n",
                      workload->name, workload->summary,
                      reference ? reference->medium->name : "nobody", any->rounds);
        if (workload->one_way)
            (void)fputs("p50 and p99: time for each message, over blocks of up to 256\n", out);
        table_print(table, out);
        print_left_out(plan, workload, out);
    }
    (void)table_free(table);
}

/* ---- UDS or TCP? ---- */

static const struct contender *find(const struct contest *contest, const struct medium *medium)
{
    for (size_t i = 0; i < contest->count; i++)
        if (contest->contenders[i].medium == medium && !contest->contenders[i].left_out[0])
            return &contest->contenders[i];
    return NULL;
}

static bool answers(const struct contest *contest)
{
    return contest_reference(contest) == find(contest, &medium_uds_stream) &&
           find(contest, &medium_uds_stream) && find(contest, &medium_tcp);
}

/* Who is faster, and how many times; "even": the interval holds 1. */
static void add_answer(struct table *table, const struct contest *contest)
{
    const struct interval *tcp = &find(contest, &medium_tcp)->ratio;
    bool more_is_better = contest->workload->one_way;
    bool tcp_wins = more_is_better ? tcp->low > 1 : tcp->high < 1;
    bool uds_wins = more_is_better ? tcp->high < 1 : tcp->low > 1;
    double times = tcp->median < 1 ? 1 / tcp->median : tcp->median;
    char cell[CELL_MAX];

    table_row(table);
    table_text(table, !contest->workload->one_way ? contest->workload->name
                      : plan_is_batched(contest)  ? "one way, in batches"
                                                  : "one way, one by one");
    table_text(table, format_size_of(contest, cell));
    table_text(table, cpus_name(contest->cpus));
    (void)snprintf(cell, sizeof(cell), "%s %.2f×", uds_wins ? "UDS" : "TCP", times);
    table_text(table, uds_wins || tcp_wins ? cell : "even");
}

static void print_answer(const struct plan *plan, FILE *out)
{
    static const struct table_column columns[] = {{"WHAT", NULL, false, false},
                                                  {"SIZE", NULL, true, false},
                                                  {"CPUS", NULL, false, false},
                                                  {"FASTER", NULL, false, false}};
    struct table *table = table_new(columns, COUNT_OF(columns));
    bool any = false;

    for (size_t i = 0; i < plan->count; i++) {
        if (!answers(plan->contests[i]))
            continue;
        any = true;
        add_answer(table, plan->contests[i]);
    }
    if (any) {
        (void)fputs("\nUDS or TCP? Both raw; \"even\": the interval holds 1\n", out);
        table_print(table, out);
    }
    (void)table_free(table);
}

void report_comparison(const struct plan *plan, FILE *out)
{
    for (size_t i = 0; i < workload_count; i++)
        print_workload(plan, &workloads[i], out);
    print_answer(plan, out);
}

/* ---- bars ---- */

static void add_bar(struct table *table, const struct bar *bar, const struct contest *contest)
{
    enum bar_verdict verdict = bar_judge(bar, contest);
    const char *sign = bar->at_least ? "≥" : "≤";
    char cell[CELL_MAX];

    table_row(table);
    table_text(table, bar->what);
    table_text(table, format_size_of(contest, cell));
    table_text(table, cpus_name(contest->cpus));
    if (verdict == BAR_NOT_RUN)
        table_text(table, "-");
    else
        table_text(table, format_interval(&bar_contender(contest)->ratio, cell));
    (void)snprintf(cell, sizeof(cell), "%s %.2f", sign, bar->must);
    table_text(table, cell);
    (void)snprintf(cell, sizeof(cell), "%s %.2f", sign, bar->aim);
    table_text(table, cell);
    table_text(table, bar_verdict_name(verdict));
}

void report_bars(const struct plan *plan, const struct bar *const *owners, FILE *out)
{
    static const struct table_column columns[] = {
        {"BAR", NULL, false, false},  {"SIZE", NULL, true, false},  {"CPUS", NULL, false, false},
        {"RATIO", NULL, true, false}, {"MUST", NULL, false, false}, {"AIM", NULL, false, false},
        {"", NULL, false, false}};
    struct table *table = table_new(columns, COUNT_OF(columns));

    for (size_t i = 0; i < plan->count; i++)
        add_bar(table, owners[i], plan->contests[i]);
    (void)fputc('\n', out);
    table_print(table, out);
    (void)table_free(table);
    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < plan->contests[i]->count; k++)
            if (plan->contests[i]->contenders[k].left_out[0])
                (void)fprintf(out, "not run: %s: %s: %s\n", owners[i]->what,
                              plan->contests[i]->contenders[k].medium->name,
                              plan->contests[i]->contenders[k].left_out);
}

void report_list(FILE *out)
{
    (void)fputs("media:\n", out);
    for (size_t i = 0; i < media_count; i++)
        (void)fprintf(out, "  %-17s %s%s%s\n", media[i]->name, media[i]->summary,
                      media[i]->absent ? ": not here: " : "",
                      media[i]->absent ? media[i]->absent : "");
    (void)fputs("\nworkloads:\n", out);
    for (size_t i = 0; i < workload_count; i++)
        (void)fprintf(out, "  %-17s %s\n", workloads[i].name, workloads[i].summary);
}
