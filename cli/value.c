/* SPDX-License-Identifier: MIT */
/* See value.h. */
#include "value.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int parse_duration(const char *text, int *ret_ms)
{
    static const struct {
        const char *suffix;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1e3}, {"", 1e3}, {"m", 60e3}, {"h", 3600e3}};
    char *end;
    double value;

    if (text[0] < '0' || text[0] > '9') /* strtod also takes "nan", "-1" and " 1" */
        return -EINVAL;
    value = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        value *= units[i].ms;
        if (!(value <= INT_MAX))
            return -ERANGE;
        *ret_ms = (int)value;
        if (*ret_ms < value) /* rounded up: a wait is never shorter than asked for */
            (*ret_ms)++;
        return 0;
    }
    return -EINVAL;
}

int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
    unsigned long value;
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (*end != '\0')
        return -EINVAL;
    if (errno != 0 || value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}
