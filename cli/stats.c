/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <inttypes.h>

#include "controls.h"
#include "table.h"

static void put(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

static void put_device(struct json *json, const struct sbx_io_stats *io)
{
    json_open(json, '{');
    cli_json_device(json, io->major, io->minor);
    put(json, "read_bytes", io->read_bytes);
    put(json, "write_bytes", io->write_bytes);
    put(json, "reads", io->reads);
    put(json, "writes", io->writes);
    json_close(json, '}');
}

static void put_pressure(struct json *json, const char *key, const struct sbx_pressure *p)
{
    json_key(json, key);
    if (!p->known) {
        json_null(json);
        return;
    }
    json_open(json, '{');
    json_key(json, "some_avg10");
    json_double(json, (double)p->some_avg10);
    json_key(json, "some_avg60");
    json_double(json, (double)p->some_avg60);
    put(json, "some_usec", p->some_usec);
    json_key(json, "full_avg10");
    json_double(json, (double)p->full_avg10);
    json_key(json, "full_avg60");
    json_double(json, (double)p->full_avg60);
    put(json, "full_usec", p->full_usec);
    json_close(json, '}');
}

void cli_json_stats(struct json *json, const struct sbx_stats *stats)
{
    if (!stats->known) {
        json_null(json);
        return;
    }
    json_open(json, '{');
    put(json, "cpu_usec", stats->cpu_usec);
    put(json, "cpu_user_usec", stats->cpu_user_usec);
    put(json, "cpu_system_usec", stats->cpu_system_usec);
    put(json, "throttled_usec", stats->throttled_usec);
    put(json, "periods", stats->periods);
    put(json, "periods_throttled", stats->periods_throttled);
    put(json, "memory_bytes", stats->memory_bytes);
    put(json, "memory_peak_bytes", stats->memory_peak_bytes);
    put(json, "swap_bytes", stats->swap_bytes);
    put(json, "memory_high_hits", stats->memory_high_hits);
    put(json, "memory_limit_hits", stats->memory_limit_hits);
    put(json, "oom_kills", stats->oom_kills);
    put(json, "pids", stats->pids);
    put(json, "pids_peak", stats->pids_peak);
    put(json, "pids_refused", stats->pids_refused);
    put(json, "io_read_bytes", stats->io_read_bytes);
    put(json, "io_write_bytes", stats->io_write_bytes);
    put(json, "io_reads", stats->io_reads);
    put(json, "io_writes", stats->io_writes);
    json_key(json, "io");
    json_open(json, '[');
    for (uint32_t i = 0; i < stats->nio; i++)
        put_device(json, &stats->io[i]);
    json_close(json, ']');
    put_pressure(json, "cpu_pressure", &stats->cpu_pressure);
    put_pressure(json, "memory_pressure", &stats->memory_pressure);
    put_pressure(json, "io_pressure", &stats->io_pressure);
    json_close(json, '}');
}

static void print_cpu(const struct sbx_stats *s, FILE *out)
{
    char used[24], user[24], kernel[24], held[24];

    (void)fprintf(out, "cpu       %s used (%s user, %s system)",
                  format_usec(s->cpu_usec, used, sizeof(used)),
                  format_usec(s->cpu_user_usec, user, sizeof(user)),
                  format_usec(s->cpu_system_usec, kernel, sizeof(kernel)));
    if (s->periods > 0)
        (void)fprintf(out, ", held back %s in %" PRIu64 " of %" PRIu64 " periods",
                      format_usec(s->throttled_usec, held, sizeof(held)), s->periods_throttled,
                      s->periods);
    (void)fputc('\n', out);
}

static void print_memory(const struct sbx_stats *s, FILE *out)
{
    char now[24], peak[24], swap[24];

    (void)fprintf(out, "memory    %s now, %s at most, %s in swap",
                  format_bytes(s->memory_bytes, now, sizeof(now)),
                  format_bytes(s->memory_peak_bytes, peak, sizeof(peak)),
                  format_bytes(s->swap_bytes, swap, sizeof(swap)));
    if (s->memory_high_hits > 0)
        (void)fprintf(out, ", %" PRIu64 " times over memory-high", s->memory_high_hits);
    if (s->memory_limit_hits > 0)
        (void)fprintf(out, ", %" PRIu64 " times at the limit", s->memory_limit_hits);
    (void)fprintf(out, ", %" PRIu64 " killed by OOM\n", s->oom_kills);
}

static void print_io(const struct sbx_stats *s, FILE *out)
{
    char in[24], written[24];

    (void)fprintf(out, "io        %s read in %" PRIu64 ", %s written in %" PRIu64 "\n",
                  format_bytes(s->io_read_bytes, in, sizeof(in)), s->io_reads,
                  format_bytes(s->io_write_bytes, written, sizeof(written)), s->io_writes);
    for (uint32_t i = 0; i < s->nio && s->nio > 1; i++)
        (void)fprintf(out, "  %u:%u    %s read, %s written\n", s->io[i].major, s->io[i].minor,
                      format_bytes(s->io[i].read_bytes, in, sizeof(in)),
                      format_bytes(s->io[i].write_bytes, written, sizeof(written)));
}

static void print_pressure(const struct sbx_stats *s, FILE *out)
{
    const struct {
        const char *name;
        const struct sbx_pressure *p;
    } all[] = {{"cpu", &s->cpu_pressure}, {"memory", &s->memory_pressure}, {"io", &s->io_pressure}};
    char some[24], full[24];

    for (size_t i = 0; i < 3; i++)
        if (all[i].p->known)
            (void)fprintf(
                out,
                "waiting   for %s: %.1f %% of the last 10 s, %.1f %% of 60 s; in all %s, all "
                "at once %s\n",
                all[i].name, (double)all[i].p->some_avg10, (double)all[i].p->some_avg60,
                format_usec(all[i].p->some_usec, some, sizeof(some)),
                format_usec(all[i].p->full_usec, full, sizeof(full)));
}

void cli_print_stats(const struct sbx_stats *stats, FILE *out)
{
    if (!stats->known)
        return;
    print_cpu(stats, out);
    print_memory(stats, out);
    print_io(stats, out);
    (void)fprintf(out, "pids      %" PRIu64 " now", stats->pids);
    if (stats->pids_peak > 0)
        (void)fprintf(out, ", %" PRIu64 " at most", stats->pids_peak);
    (void)fprintf(out, ", %" PRIu64 " fork%s refused\n", stats->pids_refused,
                  stats->pids_refused == 1 ? "" : "s");
    print_pressure(stats, out);
}
