/* SPDX-License-Identifier: MIT */
#include "cpus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse_number(const char **text, unsigned *ret)
{
    unsigned value = 0;
    if (**text < '0' || **text > '9')
        return -EINVAL;
    for (; **text >= '0' && **text <= '9'; (*text)++)
        if ((value = value * 10 + (unsigned)(**text - '0')) >= SBXI_CPUS)
            return -ERANGE;
    *ret = value;
    return 0;
}

int sbxi_cpus_parse(const char *text, struct sbxi_cpus *ret)
{
    struct sbxi_cpus cpus = {{0}};
    for (;;) {
        unsigned first, last;
        int r = parse_number(&text, &first);
        last = first;
        if (r == 0 && *text == '-') {
            text++;
            r = parse_number(&text, &last);
        }
        if (r < 0)
            return r;
        if (last < first)
            return -EINVAL;
        for (unsigned i = first; i <= last; i++)
            cpus.bits[i / 64] |= UINT64_C(1) << (i % 64);
        if (*text != ',')
            break;
        text++;
    }
    if (*text == '\n')
        text++;
    if (*text)
        return -EINVAL;
    *ret = cpus;
    return 0;
}

static bool has(const struct sbxi_cpus *cpus, unsigned i)
{
    return i < SBXI_CPUS && (cpus->bits[i / 64] >> (i % 64) & 1);
}

int sbxi_cpus_format(const struct sbxi_cpus *cpus, char *ret, size_t size)
{
    size_t len = 0;
    ret[0] = '\0';
    for (unsigned i = 0; i < SBXI_CPUS; i++) {
        if (!has(cpus, i))
            continue;
        unsigned last = i;
        while (has(cpus, last + 1))
            last++;
        int n = last > i ? snprintf(ret + len, size - len, "%s%u-%u", len ? "," : "", i, last)
                         : snprintf(ret + len, size - len, "%s%u", len ? "," : "", i);
        if (n < 0 || (size_t)n >= size - len)
            return -E2BIG;
        len += (size_t)n;
        i = last;
    }
    return 0;
}

bool sbxi_cpus_contain(const struct sbxi_cpus *all, const struct sbxi_cpus *some)
{
    for (size_t i = 0; i < sizeof all->bits / sizeof all->bits[0]; i++)
        if (some->bits[i] & ~all->bits[i])
            return false;
    return true;
}
