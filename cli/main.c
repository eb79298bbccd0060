/* SPDX-License-Identifier: MIT */
/* `uds`: finds the verb and runs it. */
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/version.h>

#include "json.h"
#include "verbs.h"

static int run_version(int argc, char **argv);

static const struct verb verb_version = {
    .name = "version",
    .summary = "print the version",
    .help = "usage: uds version [--json]\n"
            "\n"
            "Prints the version of uds and of the library that it runs with.\n"
            "\n"
            "examples:\n"
            "  uds version\n"
            "  uds version --json\n",
    .run = run_version,
};

/* In the order in which a newcomer meets them. */
static const struct verb *const verbs[] = {
    &verb_up,      &verb_run, &verb_bwrap, &verb_exec, &verb_cgroup,  &verb_layer, &verb_jail,
    &verb_sandbox, &verb_ls,  &verb_pub,   &verb_sub,  &verb_request, &verb_reply, &verb_version};

static int run_version(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct json json = {.out = stdout};
    int c, as_json = 0;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return cli_help(&verb_version);
        if (c != 'j')
            return cli_bad_option(c, argv);
        as_json = 1;
    }
    if (optind < argc)
        return cli_usage("%s: takes no arguments", argv[optind]);
    if (!as_json) {
        (void)printf("uds %s (libuds %s)\n", UDS_VERSION_STRING, uds_version());
        return CLI_OK;
    }
    json_open(&json, '{');
    json_key(&json, "uds");
    json_string(&json, UDS_VERSION_STRING);
    json_key(&json, "libuds");
    json_string(&json, uds_version());
    json_close(&json, '}');
    json_end(&json);
    return CLI_OK;
}

static void print_help(FILE *out)
{
    (void)fputs("usage: uds VERB [OPTION…] [ARGUMENT…]\n"
                "\n"
                "Messages with descriptors between isolated processes, and the sandboxes to\n"
                "isolate them in.\n"
                "\n"
                "verbs:\n",
                out);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        (void)fprintf(out, "  %-9s  %s\n", verbs[i]->name, verbs[i]->summary);
    (void)fputs("\n"
                "`uds VERB --help` says more and has examples.\n"
                "\n"
                "addresses, for --to and $UDS_BROKER:\n"
                "  unix:/path        stream socket; a bare /path is the same\n"
                "  unix:@name        abstract name, lives in a network namespace\n"
                "  seqpacket:/path   records instead of a stream; also seqpacket:@name\n"
                "  fd:3              a connected socket that was inherited\n"
                "  Without either: $XDG_RUNTIME_DIR/uds/broker.sock if it exists,\n"
                "  then /run/uds/broker.sock.\n"
                "\n"
                "exit codes:\n"
                "  0  done                      3  no broker at that address\n"
                "  1  something failed here     4  the other side answered with an error\n"
                "  2  wrong usage               5  the time was over\n"
                "\n"
                "examples:\n"
                "  uds-broker --listen /tmp/b.sock &     # a broker without any configuration\n"
                "  export UDS_BROKER=unix:/tmp/b.sock\n"
                "  uds sub 'news.>' &\n"
                "  uds pub news.weather sunny\n",
                out);
}

/* A closed 0, 1 or 2 would become a descriptor of ours, which a sandbox then gets as its own: one of the run directory
 * leads out of any root. Opened the wrong way round, so that using them still fails. */
static bool fill_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

/* Of a verb that another program has: it is asked. */
static int ask_for_help(const struct verb *verb)
{
    char name[16], help[] = "--help", *argv[] = {name, help, NULL};
    (void)snprintf(name, sizeof(name), "%s", verb->name);
    return cli_run(verb, 2, argv);
}

/* bubblewrap's command line, by the name of the program. */
static bool is_bwrap(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash == NULL ? program : slash + 1, verb_bwrap.name) == 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct verb *verb;

    if (!fill_standard_fds())
        return CLI_FAILED;
    cli_begin();
    if (argc > 0 && is_bwrap(argv[0]))
        return cli_run(&verb_bwrap, argc, argv);
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        verb = argc > 2 ? find_verb(argv[2]) : NULL; /* `uds help run` */
        if (verb != NULL)
            return verb->help != NULL ? cli_help(verb) : ask_for_help(verb);
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    verb = find_verb(name);
    if (verb == NULL) {
        (void)fprintf(stderr, "uds: %s: no such verb: see uds --help\n", name);
        return CLI_USAGE;
    }
    return cli_run(verb, argc - 1, argv + 1);
}
