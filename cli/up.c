/* SPDX-License-Identifier: MIT */
/* `uds up`: becomes uds-broker with that stack file. There is nothing between the user and the broker. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

static const char help[] =
    "usage: uds up FILE\n"
    "\n"
    "Runs a stack file in the foreground: a broker and the sandboxes that FILE declares.\n"
    "Ctrl-C ends all of it and leaves nothing behind. The same as a service is\n"
    "`uds-broker --config FILE`.\n"
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
    "  uds up stack.yaml & uds ls\n"
    "\n"
    "exit: 2 usage, 1 uds-broker is not there, otherwise what uds-broker says\n";

/* Tries DIR/uds-broker. Returns only if that did not work. */
static int try_directory(const char *directory, const char *relative, char *file)
{
    static char program[] = "uds-broker", config[] = "--config";
    char path[PATH_MAX];
    char *const argv[] = {program, config, file, NULL};
    int n = snprintf(path, sizeof(path), "%s/%suds-broker", directory, relative);

    if (n < 0 || (size_t)n >= sizeof(path))
        return ENAMETOOLONG;
    (void)execv(path, argv);
    return errno;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    char self[PATH_MAX];
    ssize_t length;
    char *slash;
    int c, err;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return cli_help(&verb_up);
        return cli_bad_option(c, argv);
    }
    if (argc - optind != 1)
        return cli_usage("%s", argc == optind ? "which stack file?" : "one stack file, not more");
    length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0) {
        cli_error("readlink: /proc/self/exe: %s", strerror(errno));
        return CLI_FAILED;
    }
    self[length] = '\0';
    slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    err = try_directory(self, "", argv[optind]);
    if (err == ENOENT)
        err = try_directory(self, "../libexec/uds/", argv[optind]);
    if (err == ENOENT)
        err = try_directory(UDS_LIBEXECDIR, "", argv[optind]);
    cli_error("run: uds-broker: %s: it belongs beside uds, in %s", strerror(err), self);
    return CLI_FAILED;
}

const struct verb verb_up = {.name = "up",
                             .summary = "run a stack file: a broker and its sandboxes",
                             .help = help,
                             .run = run};
