/* SPDX-License-Identifier: MIT */
/* Words and quantities as people write them in stack files and on command lines. */

#include <errno.h>
#include <sbx/sandbox.h>
#include <string.h>

struct word {
    const char *text;
    uint32_t bit;
};

static const struct word namespaces[] = {
    {"user", SBX_NS_USER},     {"mount", SBX_NS_MOUNT}, {"pid", SBX_NS_PID},
    {"net", SBX_NS_NET},       {"ipc", SBX_NS_IPC},     {"uts", SBX_NS_UTS},
    {"cgroup", SBX_NS_CGROUP}, {"all", SBX_NS_ALL},     {NULL, 0},
};

static const struct word omissions[] = {
    {"cgroup", SBX_DEGRADE_CGROUP},     {"cpu", SBX_DEGRADE_CPU},
    {"id-range", SBX_DEGRADE_ID_RANGE}, {"landlock", SBX_DEGRADE_LANDLOCK},
    {"stats", SBX_DEGRADE_STATS},       {NULL, 0},
};

static int find_bit(const struct word *words, const char *text, uint32_t *ret_bit)
{
    for (; words->text; words++)
        if (strcmp(words->text, text) == 0) {
            *ret_bit = words->bit;
            return 0;
        }
    return -EINVAL;
}

static const char *find_text(const struct word *words, uint32_t bit)
{
    for (; words->text; words++)
        if (words->bit == bit)
            return words->text;
    return NULL;
}

int sbx_ns_parse(const char *text, uint32_t *ret_bit)
{
    return find_bit(namespaces, text, ret_bit);
}

const char *sbx_ns_name(uint32_t bit)
{
    return find_text(namespaces, bit);
}

int sbx_degrade_parse(const char *text, uint32_t *ret_bit)
{
    return find_bit(omissions, text, ret_bit);
}

const char *sbx_degrade_name(uint32_t bit)
{
    return find_text(omissions, bit);
}

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
    static const char units[] = "KMG";
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
