/* SPDX-License-Identifier: MIT */
#ifndef CLI_STATS_H
#define CLI_STATS_H

#include <sbx/limits.h>
#include <stdio.h>

#include "json.h"

/* What a cgroup has counted, as `uds run --stats` and `uds cgroup` show it. */

/* A value that belongs to a key: an object, or null if nothing is known. */
void cli_json_stats(struct json *json, const struct sbx_stats *stats);
/* A line a resource: "memory   12 MiB now, 32 MiB at most, …". */
void cli_print_stats(const struct sbx_stats *stats, FILE *out);

#endif
