/* SPDX-License-Identifier: MIT */
/*
 * `uds cgroup watch`: a line an interval, of what happened in it. Rates are of the time that really passed. Ends when the
 * group does, after --count lines, or at Ctrl-C.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/signalfd.h>

#include "cgroup.h"
#include "json.h"
#include "stats.h"
#include "table.h"
#include "verbs.h"

enum {
    LINES_A_HEADER = 20
};

static uint64_t now_usec(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void print_header(void)
{
    (void)printf("%7s %7s %9s %9s %6s %5s %10s %10s  %s\n", "CPU", "HELD", "MEMORY", "PEAK", "PIDS",
                 "OOM", "READ/s", "WRITTEN/s", "WAITING cpu/mem/io");
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part * 100 / (double)whole : 0;
}

static uint64_t per_second(uint64_t amount, uint64_t usec)
{
    return usec > 0 ? (uint64_t)((double)amount * 1e6 / (double)usec) : 0;
}

/* Counters never go back but for a group that was deleted and made anew under our eyes. */
static uint64_t since(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void print_line(const struct sbx_stats *before, const struct sbx_stats *now, uint64_t usec)
{
    char memory[24], peak[24], in[24], written[24], waiting[64] = "-";

    if (now->memory_pressure.known)
        (void)snprintf(
            waiting, sizeof(waiting), "%.0f/%.0f/%.0f %%", (double)now->cpu_pressure.some_avg10,
            (double)now->memory_pressure.some_avg10, (double)now->io_pressure.some_avg10);
    (void)printf("%6.1f%% %6.1f%% %9s %9s %6" PRIu64 " %5" PRIu64 " %10s %10s  %s%s\n",
                 percent(since(now->cpu_usec, before->cpu_usec), usec),
                 percent(since(now->periods_throttled, before->periods_throttled),
                         since(now->periods, before->periods)),
                 format_bytes(now->memory_bytes, memory, sizeof(memory)),
                 format_bytes(now->memory_peak_bytes, peak, sizeof(peak)), now->pids,
                 now->oom_kills,
                 format_bytes(per_second(since(now->io_read_bytes, before->io_read_bytes), usec),
                              in, sizeof(in)),
                 format_bytes(per_second(since(now->io_write_bytes, before->io_write_bytes), usec),
                              written, sizeof(written)),
                 waiting, now->oom_kills > before->oom_kills ? "  OOM kill" : "");
}

static void print_json_line(sbx_group *group,
                            const struct sbx_stats *before,
                            const struct sbx_stats *now,
                            uint64_t usec)
{
    struct json json = {.out = stdout};

    json_open(&json, '{');
    json_key(&json, "name");
    json_string(&json, sbx_group_get_name(group));
    json_key(&json, "interval_usec");
    json_uint(&json, usec);
    json_key(&json, "cpu_percent");
    json_double(&json, percent(since(now->cpu_usec, before->cpu_usec), usec));
    json_key(&json, "frozen");
    json_bool(&json, sbx_group_is_frozen(group));
    json_key(&json, "stats");
    cli_json_stats(&json, now);
    json_close(&json, '}');
    json_end(&json);
}

static int open_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* False: the user wants to end. */
static bool pause_until(uint64_t at, int signals)
{
    struct pollfd fd = {.fd = signals, .events = POLLIN};

    for (;;) {
        uint64_t now = now_usec();
        if (now >= at)
            return true;
        int r = poll(&fd, 1, (int)((at - now + 999) / 1000));
        if (r > 0 || (r < 0 && errno != EINTR))
            return false;
    }
}

static int watch(const struct cgroup_options *o, sbx_group *group, int signals)
{
    struct sbx_stats before = SBX_STATS_INIT, now = SBX_STATS_INIT;
    uint64_t last = now_usec(), next = last;

    if (sbx_group_get_stats(group, &before) < 0)
        return CLI_FAILED;
    for (unsigned long lines = 0; o->count == 0 || lines < o->count; lines++) {
        next += (uint64_t)o->interval_ms * 1000;
        if (!pause_until(next, signals))
            break;
        uint64_t at = now_usec();
        if (sbx_group_get_stats(group, &now) < 0) {
            if (!o->json)
                (void)puts("deleted");
            break;
        }
        if (!o->json && lines % LINES_A_HEADER == 0)
            print_header();
        if (o->json)
            print_json_line(group, &before, &now, at - last);
        else
            print_line(&before, &now, at - last);
        if (fflush(stdout) != 0)
            return CLI_FAILED; /* main() says so */
        before = now;
        last = at;
        if (next + (uint64_t)o->interval_ms * 1000 < at) /* held up: do not hurry after */
            next = at;
    }
    return CLI_OK;
}

int cgroup_watch(const struct cgroup_options *o)
{
    sbx_group *group;
    int code = cgroup_open(&group, o);

    if (code != CLI_OK)
        return code;
    int signals = open_signals();
    if (signals < 0) {
        cli_error("signals: %s", strerror(errno));
        code = CLI_FAILED;
    } else {
        code = watch(o, group, signals);
        (void)close(signals);
    }
    (void)sbx_group_free(group);
    return code;
}
