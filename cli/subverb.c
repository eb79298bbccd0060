/* SPDX-License-Identifier: MIT */
/* See subverb.h. */
#include "subverb.h"

#include <stddef.h>

static bool takes(const struct subverb *subverb, int c)
{
    for (size_t i = 0; i < SUBVERB_OPTIONS_MAX && subverb->options[i] != 0; i++)
        if (subverb->options[i] == c)
            return true;
    return false;
}

int subverb_parse(const struct subverb *subverb,
                  const struct subverb_options *options,
                  int argc,
                  char **argv,
                  void *into)
{
    int c, index = 0, code = CLI_OK;
    const char *letters = subverb->command ? "+:h" : ":h";

    while (code == CLI_OK && (c = getopt_long(argc, argv, letters, options->all, &index)) != -1) {
        if (c == 'h') {
            (void)cli_help(options->verb);
            return SUBVERB_HELP;
        }
        if (c == '?' || c == ':')
            return cli_bad_option(c, argv);
        if ((code = cli_check_name(options->all[index].name, argv)) != CLI_OK)
            return code;
        if (!takes(subverb, c))
            return cli_usage("--%s: not an option of %s", options->all[index].name, subverb->name);
        code = options->take(into, c, options->all[index].name);
    }
    return code;
}
