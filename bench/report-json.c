/* SPDX-License-Identifier: MIT */
/* See report.h: for programs. uds-bench(1) has the fields. */
#include "json.h"
#include "media.h"
#include "report.h"

static void put_string(struct json *json, const char *key, const char *value)
{
    json_key(json, key);
    json_string(json, value);
}

static void put_double(struct json *json, const char *key, double value)
{
    json_key(json, key);
    json_double(json, value);
}

static void put_uint(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

static void put_interval(struct json *json, const char *key, const struct interval *interval)
{
    json_key(json, key);
    json_open(json, '{');
    put_double(json, "median", interval->median);
    put_double(json, "low", interval->low);
    put_double(json, "high", interval->high);
    put_uint(json, "pairs", interval->count);
    json_close(json, '}');
}

static void put_environment(struct json *json, const struct environment *environment)
{
    json_key(json, "environment");
    json_open(json, '{');
    for (size_t i = 0; i < environment->count; i++) {
        const struct environment_fact *fact = &environment->facts[i];
        double number;

        if (fact->is_number && sscanf(fact->text, "%lf", &number) == 1)
            put_double(json, fact->name, number);
        else
            put_string(json, fact->name, fact->text);
    }
    put_double(json, "load_before", environment->before.load1);
    put_double(json, "load_after", environment->after.load1);
    put_double(json, "steal_percent", environment_steal_percent(environment));
    json_close(json, '}');
}

static void
put_contender(struct json *json, const struct contest *contest, const struct contender *c)
{
    static const struct {
        const char *key;
        double fraction;
    } quantiles[] = {{"p50_ns", 0.5}, {"p90_ns", 0.9}, {"p99_ns", 0.99}, {"p999_ns", 0.999}};
    double seconds = (double)c->elapsed_ns / 1e9, all = (double)c->all_messages;

    json_open(json, '{');
    put_string(json, "medium", c->medium->name);
    put_uint(json, "messages", c->messages);
    put_double(json, "seconds", seconds);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        put_double(json, quantiles[i].key,
                   histogram_quantile(&c->histogram, quantiles[i].fraction));
    put_uint(json, "max_ns", c->histogram.max);
    put_double(json, "messages_per_second", (double)c->messages / seconds);
    put_double(json, "bytes_per_second", (double)c->messages * (double)contest->size / seconds);
    put_double(json, "cpu_ns_per_message", (double)c->usage.cpu_ns / all);
    put_double(json, "switches_per_message", (double)c->usage.switches / all);
    put_interval(json, "ratio", &c->ratio);
    put_interval(json, "p99_ratio", &c->p99_ratio);
    json_close(json, '}');
}

static void put_contest(struct json *json, const struct contest *contest)
{
    const struct contender *reference = contest_reference(contest);

    json_open(json, '{');
    put_string(json, "workload", contest->workload->name);
    put_uint(json, "size", contest->size);
    put_string(json, "cpus", cpus_name(contest->cpus));
    put_uint(json, "batch", contest->contenders[0].batch);
    put_string(json, "ratio_of", contest->workload->one_way ? "messages_per_second" : "p50_ns");
    json_key(json, "reference");
    if (reference)
        json_string(json, reference->medium->name);
    else
        json_null(json);
    put_double(json, "run_ms", (double)contest->run_ns / 1e6);
    json_key(json, "contenders");
    json_open(json, '[');
    for (size_t i = 0; i < contest->count; i++)
        if (!contest->contenders[i].left_out[0])
            put_contender(json, contest, &contest->contenders[i]);
    json_close(json, ']');
    json_key(json, "left_out");
    json_open(json, '[');
    for (size_t i = 0; i < contest->count; i++) {
        if (!contest->contenders[i].left_out[0])
            continue;
        json_open(json, '{');
        put_string(json, "medium", contest->contenders[i].medium->name);
        put_string(json, "reason", contest->contenders[i].left_out);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void put_bar(struct json *json, const struct bar *bar, const struct contest *contest)
{
    enum bar_verdict verdict = bar_judge(bar, contest);

    json_open(json, '{');
    put_string(json, "what", bar->what);
    put_string(json, "cpus", cpus_name(contest->cpus));
    put_string(json, "ours", bar->ours);
    put_string(json, "theirs", bar->theirs);
    put_string(json, "sense", bar->at_least ? "at-least" : "at-most");
    put_double(json, "must", bar->must);
    put_double(json, "aim", bar->aim);
    if (verdict != BAR_NOT_RUN)
        put_interval(json, "ratio", &bar_contender(contest)->ratio);
    put_string(json, "verdict", bar_verdict_name(verdict));
    json_close(json, '}');
}

void report_json(const struct plan *plan,
                 const struct bar *const *owners,
                 const struct environment *environment,
                 FILE *out)
{
    struct json json = {.out = out};

    json_open(&json, '{');
    put_string(&json, "format", "uds-bench/1");
    put_environment(&json, environment);
    json_key(&json, "results");
    json_open(&json, '[');
    for (size_t i = 0; i < plan->count; i++)
        put_contest(&json, plan->contests[i]);
    json_close(&json, ']');
    if (owners) {
        json_key(&json, "bars");
        json_open(&json, '[');
        for (size_t i = 0; i < plan->count; i++)
            put_bar(&json, owners[i], plan->contests[i]);
        json_close(&json, ']');
    }
    json_close(&json, '}');
    json_end(&json);
}

void report_list_json(FILE *out)
{
    struct json json = {.out = out};

    json_open(&json, '{');
    json_key(&json, "media");
    json_open(&json, '[');
    for (size_t i = 0; i < media_count; i++) {
        json_open(&json, '{');
        put_string(&json, "name", media[i]->name);
        put_string(&json, "summary", media[i]->summary);
        if (media[i]->absent)
            put_string(&json, "absent", media[i]->absent);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_key(&json, "workloads");
    json_open(&json, '[');
    for (size_t i = 0; i < workload_count; i++) {
        json_open(&json, '{');
        put_string(&json, "name", workloads[i].name);
        put_string(&json, "summary", workloads[i].summary);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}
