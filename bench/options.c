/* SPDX-License-Identifier: MIT */
/* See options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/version.h>

#include "media.h"
#include "value.h"

#define BODY_MAX   ((size_t)16 << 20)
#define BATCH_MAX  4096
#define ROUNDS_MAX 10000
#define NAME_MAX_  64

static const char help_text[] =
    "usage: uds-bench [COMMAND] [OPTION…]\n"
    "\n"
    "Compares ways to send messages between two processes of this machine: Unix sockets, TCP, "
    "pipes, raw and through\n"
    "libuds. Contenders take turns in short runs, and each ratio is the median over all turns with "
    "its 95% interval.\n"
    "Without a command: UDS or TCP? Round trips and one way, on one core and on two, in about a "
    "minute.\n"
    "\n"
    "commands:\n"
    "  rtt     round trips: a message goes, one of the same size comes back\n"
    "  oneway  one way, as fast as it goes, each message by itself and in batches\n"
    "  bulk    a large message goes, 8 bytes come back\n"
    "  fd      round trips that hand a descriptor over each way\n"
    "  start   a program starts, in a sandbox or without, ends, and all that was made for it is "
    "gone\n"
    "  bars    what libuds promises, against the floors; exits 3 if it is not met\n"
    "  list    the media and workloads of this build\n"
    "\n"
    "options:\n"
    "  --media LIST    which media; the first is the reference (see: uds-bench list)\n"
    "  --size LIST     bytes of a message: 64,4K,1M; at most 16M\n"
    "  --cpus LIST     1cpu: both sides on one core, 2cpu: on one each, free: not pinned\n"
    "  --batch N       messages sent together where batches are sent (64)\n"
    "  --pairs N       how often the contenders take turns (15; bars: as many as it takes)\n"
    "  --time T        of each run: 20ms, 1s (20ms; bars: 30ms and more)\n"
    "  --json          for programs\n"
    "  --quiet         no progress on standard error\n"
    "  --version, --help\n"
    "\n"
    "exit codes:\n"
    "  0  done                                2  wrong usage\n"
    "  1  a run went wrong: see the message   3  bars: one is missed, or not shown to be met\n"
    "\n"
    "examples:\n"
    "  uds-bench                                             # UDS or TCP?\n"
    "  uds-bench rtt --media uds-stream,tcp,pipe --size 64,1K --cpus 2cpu\n"
    "  uds-bench oneway --media libuds,zeromq --size 64 --cpus free --pairs 50\n"
    "  uds-bench bars --json > bars.json\n";

static int __attribute__((format(printf, 1, 2))) usage_error(const char *format, ...)
{
    va_list args;

    (void)fputs("uds-bench: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputs(": see uds-bench --help\n", stderr);
    return EXIT_USAGE;
}

int options_parse_size(const char *text, size_t *ret)
{
    unsigned long number, unit = 1;
    char digits[24];
    size_t len = strlen(text);
    int r;

    if (len == 0 || len >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, text, len + 1);
    if (digits[len - 1] == 'K' || digits[len - 1] == 'M') {
        unit = digits[len - 1] == 'K' ? 1024 : 1024 * 1024;
        digits[len - 1] = '\0';
    }
    r = parse_number(digits, 1, BODY_MAX / unit, &number);
    if (r == 0)
        *ret = number * unit;
    return r;
}

/* The next piece of a list: up to a comma or the end. False: there is none; *@text is behind it. */
static bool next_piece(const char **text, char *piece, size_t size)
{
    size_t len;

    if (!*text)
        return false;
    len = strcspn(*text, ",");
    (void)snprintf(piece, size, "%.*s", (int)(len < size ? len : size - 1), *text);
    *text = (*text)[len] == ',' ? *text + len + 1 : NULL;
    return true;
}

int options_parse_sizes(const char *text, size_t *sizes, size_t max, size_t *ret_count)
{
    char piece[NAME_MAX_];
    size_t count = 0;

    while (next_piece(&text, piece, sizeof(piece))) {
        int r = count < max ? options_parse_size(piece, &sizes[count]) : -E2BIG;

        if (r < 0)
            return r;
        count++;
    }
    *ret_count = count;
    return 0;
}

int options_parse_media(const char *text,
                        const struct medium **list,
                        size_t max,
                        size_t *ret_count,
                        const char **ret_unknown)
{
    static char piece[NAME_MAX_];
    size_t count = 0;

    while (next_piece(&text, piece, sizeof(piece))) {
        if (count == max)
            return -E2BIG;
        list[count] = media_find(piece);
        if (!list[count++]) {
            *ret_unknown = piece;
            return -ENOENT;
        }
    }
    *ret_count = count;
    return 0;
}

static int take_media(struct options *options, const char *text)
{
    const char *unknown = NULL;
    int r =
        options_parse_media(text, options->media, CONTENDERS_MAX, &options->media_count, &unknown);

    if (r == -ENOENT)
        return usage_error("--media: %s: no such medium; uds-bench list has them all", unknown);
    return r < 0 ? usage_error("--media: more than %d", CONTENDERS_MAX) : -1;
}

static int take_sizes(struct options *options, const char *text)
{
    int r = options_parse_sizes(text, options->sizes, SIZES_MAX, &options->sizes_count);

    if (r == -ERANGE)
        return usage_error("--size: %s: a message has 1 byte to 16M", text);
    if (r == -E2BIG)
        return usage_error("--size: more than %d sizes", SIZES_MAX);
    return r < 0 ? usage_error("--size: %s: not a list of sizes such as 64,4K,1M", text) : -1;
}

static int take_cpus(struct options *options, const char *text)
{
    char piece[NAME_MAX_];
    const char *rest = text;

    memset(options->cpus, 0, sizeof(options->cpus));
    while (next_piece(&rest, piece, sizeof(piece))) {
        int i = 0;

        while (i < CPUS_COUNT && strcmp(piece, cpus_name((enum cpus)i)) != 0)
            i++;
        if (i == CPUS_COUNT)
            return usage_error("--cpus: %s: not 1cpu, 2cpu or free", piece);
        options->cpus[i] = true;
    }
    options->cpus_chosen = true;
    return -1;
}

static int take_count(const char *option, const char *text, unsigned long max, unsigned long *ret)
{
    return parse_number(text, 1, max, ret) < 0
               ? usage_error("%s: %s: not a number from 1 to %lu", option, text, max)
               : -1;
}

static int take_time(struct options *options, const char *text)
{
    int ms;

    if (parse_duration(text, &ms) < 0 || ms < 1 || ms > 60000)
        return usage_error("--time: %s: not a time from 1ms to 60s", text);
    options->run_ns = (uint64_t)ms * 1000000;
    return -1;
}

/* One option. -1: go on. */
static int take_option(struct options *options, int c, const char *value)
{
    unsigned long number = 0;
    int r = -1;

    switch (c) {
    case 'm':
        return take_media(options, value);
    case 's':
        return take_sizes(options, value);
    case 'c':
        return take_cpus(options, value);
    case 't':
        return take_time(options, value);
    case 'b':
        r = take_count("--batch", value, BATCH_MAX, &number);
        options->batch = number;
        return r;
    case 'n':
        r = take_count("--pairs", value, ROUNDS_MAX, &number);
        options->rounds = (unsigned)number;
        return r;
    case 'j':
        options->json = true;
        return -1;
    case 'q':
        options->quiet = true;
        return -1;
    case 'v':
        (void)printf("uds-bench %s (libuds %s)\n", UDS_VERSION_STRING, uds_version());
        return EXIT_OK;
    default:
        (void)fputs(help_text, stdout);
        return EXIT_OK;
    }
}

static int take_command(struct options *options, const char *name)
{
    options->only = workload_find(name);
    if (strcmp(name, "bars") == 0)
        options->command = COMMAND_BARS;
    else if (strcmp(name, "list") == 0)
        options->command = COMMAND_LIST;
    else if (!options->only)
        return usage_error("%s: no such command", name);
    return -1;
}

static int check(const struct options *options)
{
    if (options->command != COMMAND_COMPARE &&
        (options->media_count > 0 || options->sizes_count > 0 || options->cpus_chosen ||
         options->batch > 0))
        return usage_error("--media, --size, --cpus and --batch go with a workload, not with %s",
                           options->command == COMMAND_BARS ? "bars" : "list");
    return -1;
}

int options_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {{"media", required_argument, NULL, 'm'},
                                          {"size", required_argument, NULL, 's'},
                                          {"cpus", required_argument, NULL, 'c'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"pairs", required_argument, NULL, 'n'},
                                          {"time", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int c, r = -1;

    *options = (struct options){.cpus = {[CPUS_ONE] = true, [CPUS_TWO] = true}};
    opterr = 0;
    while (r < 0 && (c = getopt_long(argc, argv, ":hq", known, NULL)) != -1) {
        if (c == '?')
            r = usage_error("%s: no such option", argv[optind - 1]);
        else if (c == ':')
            r = usage_error("%s: wants a value", argv[optind - 1]);
        else
            r = take_option(options, c, optarg);
    }
    if (r < 0 && optind < argc)
        r = take_command(options, argv[optind++]);
    if (r < 0 && optind < argc)
        r = usage_error("%s: one command at a time", argv[optind]);
    return r < 0 ? check(options) : r;
}
