/* SPDX-License-Identifier: MIT */
/*
 * Limits as people write them. One table says for each control how its text becomes a field and a field its text, so
 * that command lines, stack files and what is read back from the kernel speak one language.
 */

#include <errno.h>
#include <inttypes.h>
#include <sbx/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpus.h"
#include "device.h"

/* ---- numbers ---- */

/* Decimal digits only: no sign, no space, no base. Returns what follows them. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_rest)
{
    uint64_t value = 0;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return -ERANGE;
    *ret = value;
    *ret_rest = text;
    return 0;
}

int sbx_parse_percent(const char *text, uint32_t *ret)
{
    uint64_t value;
    const char *rest;
    int r = parse_digits(text, &value, &rest);
    if (r < 0)
        return r;
    if (strcmp(rest, "%") != 0)
        return -EINVAL;
    if (value == 0 || value > 1000000)
        return -ERANGE;
    *ret = (uint32_t)value;
    return 0;
}

int sbx_parse_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    uint64_t value;
    const char *rest;
    int r = parse_digits(text, &value, &rest);
    if (r < 0)
        return r;
    if (*rest) {
        const char *unit = strchr(units, *rest);
        if (!unit || rest[1])
            return -EINVAL;
        uint64_t factor = UINT64_C(1) << (10 * (unit - units + 1));
        if (__builtin_mul_overflow(value, factor, &value))
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

static bool is_max(const char *text)
{
    return strcmp(text, "max") == 0;
}

static int parse_amount(const char *text, uint64_t min, uint64_t *ret)
{
    uint64_t value = SBX_UNLIMITED;
    int r = is_max(text) ? 0 : sbx_parse_bytes(text, &value);
    if (r < 0)
        return r;
    if (value < min || (value == SBX_UNLIMITED && !is_max(text)))
        return -ERANGE;
    *ret = value;
    return 0;
}

static int parse_between(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    const char *rest;
    int r = parse_digits(text, &value, &rest);
    if (r < 0 || *rest)
        return r < 0 ? r : -EINVAL;
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

static int parse_weight(const char *text, uint32_t *ret)
{
    uint64_t value;
    int r = parse_between(text, 1, 10000, &value);
    if (r == 0)
        *ret = (uint32_t)value;
    return r;
}

/* ---- devices ---- */

/* Finds the device of "DEVICE:rest" (a device's name may hold colons, as "8:0" does) and the place for its limits. */
static int
find_io(struct sbx_limits *limits, const char *text, const char *colon, struct sbx_io_limit **ret)
{
    char device[4096];
    uint32_t major, minor;
    if (colon == text || (size_t)(colon - text) >= sizeof device)
        return -EINVAL;
    memcpy(device, text, (size_t)(colon - text));
    device[colon - text] = '\0';
    int r = sbxi_device_find(device, &major, &minor);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < limits->nio; i++)
        if (limits->io[i].major == major && limits->io[i].minor == minor) {
            *ret = &limits->io[i];
            return 0;
        }
    if (limits->nio == SBX_IO_DEVICES)
        return -E2BIG;
    limits->io[limits->nio] = (struct sbx_io_limit){.major = major, .minor = minor};
    *ret = &limits->io[limits->nio++];
    return 0;
}

static int parse_rates(const char *text, struct sbx_io_limit *limit)
{
    static const struct {
        const char *name;
        size_t offset;
    } rates[] = {{"rbps=", offsetof(struct sbx_io_limit, rbps)},
                 {"wbps=", offsetof(struct sbx_io_limit, wbps)},
                 {"riops=", offsetof(struct sbx_io_limit, riops)},
                 {"wiops=", offsetof(struct sbx_io_limit, wiops)}};
    for (;;) {
        char value[32];
        size_t i = 0, len = strcspn(text, ",");
        while (i < 4 && strncmp(text, rates[i].name, strlen(rates[i].name)) != 0)
            i++;
        if (i == 4 || len - strlen(rates[i].name) >= sizeof value)
            return -EINVAL;
        snprintf(value, sizeof value, "%.*s", (int)(len - strlen(rates[i].name)),
                 text + strlen(rates[i].name));
        int r = parse_amount(value, 1, (uint64_t *)(void *)((char *)limit + rates[i].offset));
        if (r < 0)
            return r;
        if (!text[len])
            return 0;
        text += len + 1;
    }
}

/* ---- the controls ---- */

static int set_cpu(struct sbx_limits *limits, const char *text)
{
    if (!is_max(text))
        return sbx_parse_percent(text, &limits->cpu_percent);
    limits->cpu_percent = SBX_CPU_UNLIMITED;
    return 0;
}

static int set_cpu_weight(struct sbx_limits *limits, const char *text)
{
    return parse_weight(text, &limits->cpu_weight);
}

static int set_cpuset(struct sbx_limits *limits, const char *text)
{
    struct sbxi_cpus cpus;
    char list[SBX_CPUS_MAX] = "max";
    int r = is_max(text) ? 0 : sbxi_cpus_parse(text, &cpus);
    if (r == 0 && !is_max(text))
        r = sbxi_cpus_format(&cpus, list, sizeof list);
    if (r == 0)
        memcpy(limits->cpus, list, sizeof list);
    return r;
}

static int set_memory(struct sbx_limits *limits, const char *text)
{
    return parse_amount(text, SBX_MEMORY_MIN, &limits->memory_bytes);
}

static int set_memory_high(struct sbx_limits *limits, const char *text)
{
    return parse_amount(text, SBX_MEMORY_MIN, &limits->memory_high_bytes);
}

static int set_swap(struct sbx_limits *limits, const char *text)
{
    int r = parse_amount(text, 0, &limits->swap_bytes);
    limits->swap_named |= r == 0;
    return r;
}

static int set_pids(struct sbx_limits *limits, const char *text)
{
    if (!is_max(text))
        return parse_between(text, 1, 4194304, &limits->pids);
    limits->pids = SBX_UNLIMITED;
    return 0;
}

static int set_io_max(struct sbx_limits *limits, const char *text)
{
    const char *rates = strrchr(text, ':');
    struct sbx_io_limit *limit = NULL, checked = {0};
    if (!rates)
        return -EINVAL;
    int r = parse_rates(rates + 1, &checked); /* first, so that a bad one leaves no entry behind */
    if (r == 0)
        r = find_io(limits, text, rates, &limit);
    return r < 0 ? r : parse_rates(rates + 1, limit);
}

static int set_io_weight(struct sbx_limits *limits, const char *text)
{
    const char *colon = strrchr(text, ':');
    struct sbx_io_limit *limit = NULL;
    uint32_t weight;
    if (!colon)
        return parse_weight(text, &limits->io_weight);
    int r = parse_weight(colon + 1, &weight);
    if (r == 0)
        r = find_io(limits, text, colon, &limit);
    if (r == 0)
        limit->weight = weight;
    return r;
}

static const struct control {
    const char *name;
    int (*set)(struct sbx_limits *limits, const char *text);
    const char *form;
} controls[] = {
    {"cpu", set_cpu, "is not a percentage of one CPU, as 50% or 200%, or max"},
    {"cpu-weight", set_cpu_weight, "is not a number from 1 to 10000 (100 is usual)"},
    {"cpuset", set_cpuset, "is not a list of CPUs, as 0-1,3, or max"},
    {"memory", set_memory, "is not a number of bytes, 1M at least, as 64M or 1G, or max"},
    {"memory-high", set_memory_high, "is not a number of bytes, 1M at least, as 64M or 1G, or max"},
    {"swap", set_swap, "is not a number of bytes, as 0, 64M or 1G, or max"},
    {"pids", set_pids, "is not a number of processes, 1 or more, or max"},
    {"io-max", set_io_max,
     "is not DEVICE:RATE[,RATE…] with rates as rbps=1M, wbps=1M, riops=100, wiops=max"},
    {"io-weight", set_io_weight, "is not [DEVICE:]WEIGHT with a weight from 1 to 10000"},
};

int sbx_limits_set(struct sbx_limits *limits,
                   const char *control,
                   const char *value,
                   const char **ret_why)
{
    const char *why = "is no control: cpu, cpu-weight, cpuset, memory, memory-high, swap, pids, "
                      "io-max, io-weight";
    int r = -EINVAL;
    size_t n = sizeof controls / sizeof controls[0];
    if (limits->size != sizeof *limits) {
        why = "is for limits of another version; begin with SBX_LIMITS_INIT";
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(controls[i].name, control) != 0)
            continue;
        r = controls[i].set(limits, value);
        why = r == -EINVAL || r == -ERANGE ? controls[i].form
              : r == -E2BIG                ? "is one device too many, 8 can be limited"
              : r == -ENODEV
                  ? "is no disk that there is, and lies on none; name a disk, as /dev/sda or 8:0"
              : r == -ENOENT
                  ? "does not exist; name a disk, as /dev/sda or 8:0, or a file on one"
                  : "names a device that cannot be looked at; name a disk, as /dev/sda or 8:0";
    }
    if (r < 0 && ret_why)
        *ret_why = why;
    return r;
}

/* ---- and back ---- */

static void put_amount(char *out, size_t size, uint64_t value)
{
    static const char units[] = "KMGT";
    int unit = -1;
    if (value == SBX_UNLIMITED) {
        snprintf(out, size, "max");
        return;
    }
    while (value && value % 1024 == 0 && unit < 3) {
        value /= 1024;
        unit++;
    }
    snprintf(out, size, unit < 0 ? "%" PRIu64 : "%" PRIu64 "%c", value, unit < 0 ? 0 : units[unit]);
}

static void put_rates(char *out, size_t size, const struct sbx_io_limit *io)
{
    const struct {
        const char *name;
        uint64_t value;
    } rates[] = {
        {"rbps", io->rbps}, {"wbps", io->wbps}, {"riops", io->riops}, {"wiops", io->wiops}};
    int len = snprintf(out, size, "%u:%u", io->major, io->minor);
    char before = ':';
    for (size_t i = 0; i < 4; i++) {
        char text[24];
        if (!rates[i].value)
            continue;
        put_amount(text, sizeof text, rates[i].value);
        len += snprintf(out + len, size - (size_t)len, "%c%s=%s", before, rates[i].name, text);
        before = ',';
    }
}

static void put_scalar(char *out, size_t size, char kind, uint64_t value)
{
    if (kind == 'a' || value == SBX_UNLIMITED)
        put_amount(out, size, value);
    else
        snprintf(out, size, kind == '%' ? "%" PRIu64 "%%" : "%" PRIu64, value);
}

/* Of one device: up to two settings. */
static bool get_io(const struct sbx_io_limit *io,
                   size_t *index,
                   const char **ret_control,
                   char *value,
                   size_t size)
{
    if ((io->rbps || io->wbps || io->riops || io->wiops) && (*index)-- == 0) {
        *ret_control = "io-max";
        put_rates(value, size, io);
        return true;
    }
    if (io->weight && (*index)-- == 0) {
        *ret_control = "io-weight";
        snprintf(value, size, "%u:%u:%u", io->major, io->minor, io->weight);
        return true;
    }
    return false;
}

bool sbx_limits_get(
    const struct sbx_limits *l, size_t index, const char **ret_control, char *value, size_t size)
{
    if (l->size != sizeof *l)
        return false;
    const struct {
        const char *control;
        bool named;
        char kind; /* '%', 'n'umber, 'a'mount, 't'ext */
        uint64_t value;
    } scalars[] = {
        {"cpu", l->cpu_percent, '%',
         l->cpu_percent == SBX_CPU_UNLIMITED ? SBX_UNLIMITED : l->cpu_percent},
        {"cpu-weight", l->cpu_weight, 'n', l->cpu_weight},
        {"cpuset", l->cpus[0], 't', 0},
        {"memory", l->memory_bytes, 'a', l->memory_bytes},
        {"memory-high", l->memory_high_bytes, 'a', l->memory_high_bytes},
        {"swap", l->swap_named, 'a', l->swap_bytes},
        {"pids", l->pids, 'n', l->pids},
        {"io-weight", l->io_weight, 'n', l->io_weight},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (!scalars[i].named || index-- > 0)
            continue;
        *ret_control = scalars[i].control;
        if (scalars[i].kind == 't')
            snprintf(value, size, "%s", l->cpus);
        else
            put_scalar(value, size, scalars[i].kind, scalars[i].value);
        return true;
    }
    for (uint32_t i = 0; i < l->nio; i++)
        if (get_io(&l->io[i], &index, ret_control, value, size))
            return true;
    return false;
}
