/* SPDX-License-Identifier: MIT */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

/* Values of options as users write them. Outputs are written on success only. */

/* "500ms", "10s", "1.5m", "2h"; a bare number is seconds. 0, -EINVAL, -ERANGE (over 24 days: INT_MAX ms). */
int parse_duration(const char *text, int *ret_ms);
/* A decimal number from @min to @max. 0, -EINVAL, -ERANGE. */
int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret);

#endif
