/* SPDX-License-Identifier: MIT */
/* `uds up`: becomes uds-broker with that stack file. There is nothing between the user and the broker. */
#include <getopt.h>
#include <stddef.h>

#include "program.h"
#include "verbs.h"

static const char help[] =
    "usage: uds up [OPTION…] FILE\n"
    "\n"
    "Runs a stack file in the foreground: a broker and the sandboxes that FILE declares.\n"
    "Ctrl-C ends all of it and leaves nothing behind. The same as a service is\n"
    "`uds-broker --config FILE`.\n"
    "\n"
    "options, handed to uds-broker:\n"
    "  --check         print what would be started, make nothing\n"
    "  --json          status lines as JSON objects\n"
    "  --ready-fd N    write a byte to descriptor N when all sandboxes have been started\n"
    "\n"
    "A stack file:\n"
    "  broker: {listen: [unix:/run/uds/broker.sock]}\n"
    "  sandboxes:\n"
    "    decoder:\n"
    "      command: [/usr/libexec/uds/decoder]\n"
    "      root: {jail: [/usr/libexec/uds/decoder]}\n"
    "      limits: {cpu: 50%, memory: 64M, pids: 8}\n"
    "      serve: [thumbnail]\n"
    "      fds: {receive: [file-ro], send: [memfd]}\n"
    "      restart: on-failure\n"
    "  policy:\n"
    "    - {uid: 0, call: [\">\"], admin: true}\n"
    "\n"
    "examples:\n"
    "  uds up stack.yaml\n"
    "  uds up --check stack.yaml\n"
    "\n"
    "exit: 2 usage, 1 uds-broker is not there, otherwise what uds-broker says\n";

#define ARGUMENTS_MAX 8

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"check", no_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"ready-fd", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    static char program[] = "uds-broker", config[] = "--config", check[] = "--check",
                json[] = "--json", ready[] = "--ready-fd";
    char *arguments[ARGUMENTS_MAX] = {program, config};
    size_t count = 3; /* the file is the third */
    int c;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return cli_help(&verb_up);
        if (c != 'c' && c != 'j' && c != 'r')
            return cli_bad_option(c, argv);
        if (count + 2 >= ARGUMENTS_MAX)
            return cli_usage("an option is given more than once");
        arguments[count++] = c == 'c' ? check : c == 'j' ? json : ready;
        if (c == 'r')
            arguments[count++] = optarg;
    }
    if (argc - optind != 1)
        return cli_usage("%s", argc == optind ? "which stack file?" : "one stack file, not more");
    arguments[2] = argv[optind];
    cli_become(program, arguments);
    return CLI_FAILED;
}

const struct verb verb_up = {.name = "up",
                             .summary = "run a stack file: a broker and its sandboxes",
                             .help = help,
                             .run = run};
