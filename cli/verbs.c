/* SPDX-License-Identifier: MIT */
/* What verbs share when they talk to their user: the name that starts every complaint. */
#include "verbs.h"

#include <getopt.h>
#include <sbx/sandbox.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *verb_name = "";

int cli_help(const struct verb *verb)
{
    (void)fputs(verb->help, stdout);
    if (verb->more_help)
        (void)fputs(verb->more_help, stdout);
    return CLI_OK;
}

static void complain(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

static void complain(const char *format, va_list args)
{
    (void)fflush(stdout); /* in order, when both go to one place */
    (void)fprintf(stderr, "uds %s: ", verb_name);
    (void)vfprintf(stderr, format, args);
}

void cli_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

int cli_usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(format, args);
    va_end(args);
    (void)fprintf(stderr, ": see uds %s --help\n", verb_name);
    return CLI_USAGE;
}

int cli_fail(const struct sbx_error *error, int r, int code)
{
    cli_error("%s", error->text[0] ? error->text : strerror(-r));
    return code;
}

int cli_no_memory(int code)
{
    cli_error("out of memory");
    return code;
}

int cli_bad_option(int c, char *const *argv)
{
    /* getopt_long() leaves optopt 0 after an unknown long option, and has always stepped over a long one. */
    const char *problem = c == ':'      ? "needs a value"
                          : optopt == 0 ? "no such option, or the beginning of several"
                                        : "not an option, or takes no value";

    if (optopt > ' ' && optopt < 127 && strncmp(argv[optind - 1], "--", 2) != 0)
        return cli_usage("-%c: %s", optopt, problem);
    return cli_usage("%s: %s", argv[optind - 1], problem);
}

int cli_check_name(const char *name, char *const *argv)
{
    const char *word = argv[optind - 1];
    size_t length = strlen(name);
    if (optarg != NULL && (optarg <= word || optarg > word + strlen(word)))
        word = argv[optind - 2]; /* that was its value */
    if (strncmp(word, "--", 2) != 0 ||
        (strncmp(word + 2, name, length) == 0 && strchr("=", word[2 + length]) != NULL))
        return CLI_OK;
    return cli_usage("%.*s: no such option, or the beginning of several; \"--%s\" is one",
                     (int)strcspn(word, "="), word, name);
}

void cli_begin(void)
{
    static char line[4096];

    /* One write a line. Sandboxes share this descriptor with their broker and with each other, and what was written in
     * pieces had another's line in its middle (seen). */
    (void)setvbuf(stderr, line, _IOLBF, sizeof(line));
}

int cli_run(const struct verb *verb, int argc, char **argv)
{
    int code;

    verb_name = verb->name;
    opterr = 0; /* see cli_bad_option() */
    code = verb->run(argc, argv);
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK) {
        cli_error("standard output: cannot write");
        code = CLI_FAILED;
    }
    return code;
}
