/* SPDX-License-Identifier: MIT */
#ifndef CLI_CONTROLS_H
#define CLI_CONTROLS_H

#include <sbx/limits.h>

#include "json.h"

/* Resource limits as options, the same for every verb that has them, and as they are shown. */

#define CLI_OPT_LIMIT 1024 /* what getopt_long() returns for any of them */

#define CLI_LIMIT_OPTIONS                                        \
    {"cpu", required_argument, NULL, CLI_OPT_LIMIT},             \
        {"cpu-weight", required_argument, NULL, CLI_OPT_LIMIT},  \
        {"cpuset", required_argument, NULL, CLI_OPT_LIMIT},      \
        {"memory", required_argument, NULL, CLI_OPT_LIMIT},      \
        {"memory-high", required_argument, NULL, CLI_OPT_LIMIT}, \
        {"swap", required_argument, NULL, CLI_OPT_LIMIT},        \
        {"pids", required_argument, NULL, CLI_OPT_LIMIT},        \
        {"io-max", required_argument, NULL, CLI_OPT_LIMIT},      \
    {                                                            \
        "io-weight", required_argument, NULL, CLI_OPT_LIMIT      \
    }

#define CLI_LIMIT_HELP                                                           \
    "  --cpu 50%            of one CPU; --cpu-weight 1–10000 (100 is usual)\n" \
    "  --cpuset 0-1,3       only these CPUs\n"                                   \
    "  --memory 64M         K, M, G, T; --swap 0 beside it, if not named\n"      \
    "  --memory-high 48M    slowed down and reclaimed above it (v2)\n"           \
    "  --pids N             processes and threads\n"                             \
    "  --io-max DEV:rbps=1M,wbps=1M,riops=100,wiops=100\n"                       \
    "                       per second; DEV a disk, 8:0, or a file on it\n"      \
    "  --io-weight [DEV:]N  1–10000 (100 is usual); needs BFQ or io.cost on the disk\n"

/* --@option @text into @limits: CLI_OK, or CLI_USAGE after printing. */
int cli_set_limit(struct sbx_limits *limits, const char *option, const char *text);

/* Is that what everybody has, so that it limits nothing? */
bool cli_is_usual_limit(const char *control, const char *value);

/* A list of omissions, "cpu,io", all of them in @permitted, into @bits: CLI_OK, or CLI_USAGE after printing. */
int cli_add_degrade(uint32_t *bits, uint32_t permitted, const char *list);

/* "device": "8:0" */
void cli_json_device(struct json *json, uint32_t major, uint32_t minor);

/* A value that belongs to a key: {"cpu_percent": 50, …}; null is "max". */
void cli_json_limits(struct json *json, const struct sbx_limits *limits);

#endif
