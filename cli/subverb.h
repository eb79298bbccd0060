/* SPDX-License-Identifier: MIT */
#ifndef CLI_SUBVERB_H
#define CLI_SUBVERB_H

#include <getopt.h>
#include <stdbool.h>

#include "verbs.h"

/*
 * Verbs of two words, like `uds layer diff`: the options of all second words are in one table, and each second word says
 * which of them it takes. Options of the same meaning have the same name, code and reader that way.
 */

enum {
    SUBVERB_HELP = -1, /* --help has been answered */
    SUBVERB_OPTIONS_MAX = 6
};

struct subverb {
    const char *name;
    bool command;                     /* its options end at the first word: a command follows */
    int options[SUBVERB_OPTIONS_MAX]; /* what getopt_long() returns for those it takes; 0 ends */
};

struct subverb_options {
    const struct verb *verb;
    const struct option *all; /* each with a code of its own; "help" has 'h' */
    /* Option @name, with code @c and its value in optarg. CLI_OK, or what to exit with after saying what is wrong. */
    int (*take)(void *into, int c, const char *name);
};

/* @argv[0]: the second word. CLI_OK with optind behind the options, SUBVERB_HELP, or what to exit with. */
int subverb_parse(const struct subverb *subverb,
                  const struct subverb_options *options,
                  int argc,
                  char **argv,
                  void *into);

#endif
