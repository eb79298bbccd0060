/* SPDX-License-Identifier: MIT */
/* Words and quantities as people write them in stack files and on command lines. */

#include <errno.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct word {
    const char *text;
    uint32_t bit;
};

static const struct word namespaces[] = {
    {"user", SBX_NS_USER},     {"mount", SBX_NS_MOUNT},
    {"pid", SBX_NS_PID},       {"net", SBX_NS_NET},
    {"ipc", SBX_NS_IPC},       {"uts", SBX_NS_UTS},
    {"cgroup", SBX_NS_CGROUP}, {"time", SBX_NS_TIME},
    {"all", SBX_NS_ALL},       {NULL, 0},
};

static const struct word omissions[] = {
    {"cgroup", SBX_DEGRADE_CGROUP},
    {"cpu", SBX_DEGRADE_CPU},
    {"id-range", SBX_DEGRADE_ID_RANGE},
    {"landlock", SBX_DEGRADE_LANDLOCK},
    {"stats", SBX_DEGRADE_STATS},
    {"cpuset", SBX_DEGRADE_CPUSET},
    {"memory-high", SBX_DEGRADE_MEMORY_HIGH},
    {"io", SBX_DEGRADE_IO},
    {"buffered-writes", SBX_DEGRADE_BUFFERED_WRITES},
    {"layer-ids", SBX_DEGRADE_LAYER_IDS},
    {NULL, 0},
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

int sbx_parse_offset(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *suffix;
        long double ns;
    } units[] = {{"", 1e9L},   {"ms", 1e6L},   {"s", 1e9L},
                 {"m", 60e9L}, {"h", 3600e9L}, {"d", 86400e9L}};
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    char *end;
    if (digits[0] < '0' || digits[0] > '9') /* strtold also takes "nan", "--1" and " 1" */
        return -EINVAL;
    long double value = strtold(digits, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        value *= units[i].ns;
        if (!(value < 9.2e18L))
            return -ERANGE;
        *ret_ns = (int64_t)(negative ? -value : value);
        return 0;
    }
    return -EINVAL;
}

int sbx_degrade_parse(const char *text, uint32_t *ret_bit)
{
    return find_bit(omissions, text, ret_bit);
}

const char *sbx_degrade_name(uint32_t bit)
{
    return find_text(omissions, bit);
}
