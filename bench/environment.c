/* SPDX-License-Identifier: MIT */
/* See environment.h. */
#include "environment.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/utsname.h>

#include <uds/version.h>

#include "clock.h"
#include "cpus.h"

static void __attribute__((format(printf, 4, 5)))
add(struct environment *environment, const char *name, bool is_number, const char *format, ...)
{
    struct environment_fact *fact;
    va_list args;

    if (environment->count == ENVIRONMENT_FACTS)
        return;
    fact = &environment->facts[environment->count++];
    fact->name = name;
    fact->is_number = is_number;
    va_start(args, format);
    (void)vsnprintf(fact->text, sizeof(fact->text), format, args);
    va_end(args);
}

/* The first line of a file, without its end. */
static bool read_line(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(buf, (int)size, file);

    if (file)
        (void)fclose(file);
    if (read)
        buf[strcspn(buf, "\n")] = '\0';
    return read;
}

static void
add_file(struct environment *environment, const char *name, bool number, const char *path)
{
    char line[128];

    if (read_line(path, line, sizeof(line)))
        add(environment, name, number, "%s", line);
}

/* "model name" and the hypervisor flag, which is the processor's own word for running in a guest. */
static void add_cpu(struct environment *environment)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[4096];
    bool model = false, flags = false;

    while (file && !(model && flags) && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, ':');

        if (!value)
            continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        if (!model && strncmp(line, "model name", 10) == 0) {
            model = true;
            add(environment, "cpu_model", false, "%s", value);
        } else if (!flags && strncmp(line, "flags", 5) == 0) {
            flags = true;
            add(environment, "hypervisor", false, "%s",
                strstr(value, " hypervisor") ? "yes" : "none seen");
        }
    }
    if (file)
        (void)fclose(file);
}

static void add_buffer(struct environment *environment, const char *name, int domain, int option)
{
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0), value;
    socklen_t len = sizeof(value);

    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0)
        add(environment, name, true, "%d", value);
    if (fd >= 0)
        (void)close(fd);
}

static void add_clock_cost(struct environment *environment)
{
    enum {
        READS = 10000
    };
    uint64_t begin = now_ns(), end = begin;

    for (int i = 0; i < READS; i++)
        end = now_ns();
    add(environment, "clock_read_ns", true, "%.1f", (double)(end - begin) / READS);
}

static void add_build(struct environment *environment)
{
    add(environment, "uds_bench", false, "%s", UDS_VERSION_STRING);
    add(environment, "libuds", false, "%s", uds_version());
    add(environment, "compiler", false, "%s",
#ifdef __clang__
        "clang " __clang_version__);
#else
        "gcc " __VERSION__);
#endif
    add(environment, "build", false, "%s",
        environment_is_slow_build() ? "sanitized or not optimised" : "optimised");
#ifdef UDS_BENCH_ZEROMQ
    add(environment, "zeromq", false, "%s", UDS_BENCH_ZEROMQ);
#endif
}

void environment_take_load(struct environment_load *load)
{
    uint64_t ticks[8] = {0};
    char line[256];

    *load = (struct environment_load){.load1 = -1};
    if (read_line("/proc/loadavg", line, sizeof(line)))
        (void)sscanf(line, "%lf", &load->load1);
    /* user nice system idle iowait irq softirq steal */
    if (!read_line("/proc/stat", line, sizeof(line)) ||
        sscanf(line,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
               &ticks[7]) != 8)
        return;
    load->steal_ticks = ticks[7];
    for (int i = 0; i < 8; i++)
        load->all_ticks += ticks[i];
}

void environment_take(struct environment *environment)
{
    struct utsname name;

    *environment = (struct environment){0};
    if (uname(&name) == 0) {
        add(environment, "kernel", false, "%s %s", name.sysname, name.release);
        add(environment, "machine", false, "%s", name.machine);
    }
    add_cpu(environment);
    add(environment, "cpus_online", true, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    add(environment, "cpus_allowed", true, "%d", cpus_allowed());
    add_file(environment, "governor", false,
             "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    add_file(environment, "idle_driver", false, "/sys/devices/system/cpu/cpuidle/current_driver");
    add_file(environment, "guest_halt_poll_ns", true,
             "/sys/module/haltpoll/parameters/guest_halt_poll_ns");
    add_file(environment, "clocksource", false,
             "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    add_clock_cost(environment);
    add_buffer(environment, "unix_sndbuf", AF_UNIX, SO_SNDBUF);
    add_buffer(environment, "tcp_sndbuf", AF_INET, SO_SNDBUF);
    add_buffer(environment, "tcp_rcvbuf", AF_INET, SO_RCVBUF);
    add_file(environment, "wmem_default", true, "/proc/sys/net/core/wmem_default");
    add_file(environment, "max_dgram_qlen", true, "/proc/sys/net/unix/max_dgram_qlen");
    add_build(environment);
    environment_take_load(&environment->before);
}

const char *environment_find(const struct environment *environment, const char *name)
{
    for (size_t i = 0; i < environment->count; i++)
        if (strcmp(environment->facts[i].name, name) == 0)
            return environment->facts[i].text;
    return NULL;
}

double environment_steal_percent(const struct environment *environment)
{
    uint64_t all = environment->after.all_ticks - environment->before.all_ticks;
    uint64_t steal = environment->after.steal_ticks - environment->before.steal_ticks;

    return all ? 100 * (double)steal / (double)all : 0;
}

bool environment_is_slow_build(void)
{
#if defined(UDS_SANITIZED) || !defined(__OPTIMIZE__)
    return true;
#else
    return false;
#endif
}
