/* SPDX-License-Identifier: MIT */
/* uds-bench: what is asked for, run, and printed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bars.h"
#include "environment.h"
#include "options.h"
#include "plan.h"
#include "report.h"

static bool show_progress, on_terminal;
static size_t contest_number, contest_total;

static const char *size_of(const struct contest *contest)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), ", %zu bytes", contest->size);
    return contest->workload->starts ? "" : text;
}

/* A line that is overwritten on a terminal; in a log, one for each contest. */
static void progress(const struct contest *contest, unsigned round)
{
    if (!show_progress || (!on_terminal && round > 0))
        return;
    (void)fprintf(stderr, "%s[%zu/%zu] %s%s, %s: pair %u of %u%s", on_terminal ? "\r\033[K" : "",
                  contest_number, contest_total, contest->workload->name, size_of(contest),
                  cpus_name(contest->cpus), round + 1, contest->rounds, on_terminal ? "" : "\n");
}

static void end_progress(void)
{
    if (show_progress && on_terminal)
        (void)fputs("\r\033[K", stderr);
}

static int run_all(struct plan *plan)
{
    contest_total = plan->count;
    for (contest_number = 1; contest_number <= plan->count; contest_number++) {
        struct contest *contest = plan->contests[contest_number - 1];
        char error[RUN_ERROR_MAX] = "";
        int r = contest_run(contest, progress, error);

        if (r == 0)
            continue;
        end_progress();
        (void)fprintf(stderr, "uds-bench: %s%s, %s: %s\n", contest->workload->name,
                      size_of(contest), cpus_name(contest->cpus), error);
        return r;
    }
    end_progress();
    return 0;
}

static int judge_all(const struct plan *plan, const struct bar *const *owners)
{
    for (size_t i = 0; owners && i < plan->count; i++) {
        enum bar_verdict verdict = bar_judge(owners[i], plan->contests[i]);

        if (verdict == BAR_MISSED || verdict == BAR_OPEN)
            return EXIT_MISSED;
    }
    return EXIT_OK;
}

static int measure(const struct options *options)
{
    struct environment environment;
    const struct bar **owners = NULL;
    struct plan plan = {0};
    int code = EXIT_FAILED;
    int r = options->command == COMMAND_BARS ? bars_plan(&plan, options, &owners)
                                             : plan_comparison(&plan, options);

    environment_take(&environment);
    if (r < 0)
        (void)fputs("uds-bench: out of memory\n", stderr);
    if (r == 0 && !options->json)
        report_environment(&environment, stdout);
    if (r == 0)
        r = run_all(&plan);
    environment_take_load(&environment.after);
    if (r == 0) {
        if (options->json)
            report_json(&plan, owners, &environment, stdout);
        else if (owners)
            report_bars(&plan, owners, stdout);
        else
            report_comparison(&plan, stdout);
        if (!options->json)
            report_calm(&environment, stdout);
        code = judge_all(&plan, owners);
    }
    free(owners);
    plan_deinit(&plan);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    int code = options_parse(&options, argc, argv);

    if (code < 0) {
        on_terminal = isatty(STDERR_FILENO);
        show_progress = !options.quiet;
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        code = EXIT_OK;
        if (options.command != COMMAND_LIST)
            code = measure(&options);
        else if (options.json)
            report_list_json(stdout);
        else
            report_list(stdout);
    }
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != EXIT_USAGE) {
        (void)fputs("uds-bench: standard output: cannot write\n", stderr);
        code = EXIT_FAILED;
    }
    return code;
}
