/* SPDX-License-Identifier: MIT */
/*
 * `uds sandbox ls`: what runs. `uds sandbox start`: what a broker is asked to start. `uds sandbox gc`: removes what was left
 * when a launcher and its cleaner were both killed.
 */
#include "sandbox.h"

#include <errno.h>
#include <getopt.h>
#include <sbx/admin.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controls.h"
#include "json.h"
#include "verbs.h"

enum {
    GC_MS = 2000 /* a cleaner at work needs a second at most */
};

static int run(int argc, char **argv);

const struct verb verb_sandbox = {
    .name = "sandbox",
    .summary = "list and start sandboxes, remove what killed launchers left behind",
    .help =
        "usage: uds sandbox ls|gc [--run-dir DIR] [--json]\n"
        "       uds sandbox start [--run-dir DIR] SANDBOX\n"
        "       uds sandbox start [OPTION…] TEMPLATE [--] COMMAND [ARGUMENT…]\n"
        "\n"
        "ls: the sandboxes of `uds run`, `uds up` and uds-broker that this user has started:\n"
        "name, host pid of the first process and of the launcher, uid on the host, age, whether\n"
        "it runs or waits for its payload (uds-stack(5), warm), and cgroup. `uds exec` runs\n"
        "commands in them.\n"
        "\n"
        "start: a sandbox that a broker's stack file declares and that is stopped; or COMMAND\n"
        "in one of its own, made as a template of the stack file says, at once if one of those\n"
        "waits (warm). Descriptors 0 to 2 are ours. It ends when we do.\n"
        "\n"
        "  -t, --pty            a terminal of its own\n"
        "  --setenv K V         one variable, beside those of the template\n"
        "  --chdir DIR          inside\n"
        "  --fd NAME=N          our descriptor N is its 3, the next 4, …: LISTEN_FDS\n"
        "  --name NAME          of the sandbox, and its hostname; default: the template's\n"
        "  --hostname NAME\n" CLI_LIMIT_HELP "                       instead of the template's\n"
        "\n"
        "gc: each launcher (uds run, uds up, uds-broker) has a cleaner that removes its cgroups,\n"
        "processes, sockets and id ranges when it dies. If both are killed, a record file\n"
        "remains that nobody locks; gc kills and removes what it names. Every start of a\n"
        "launcher does the same; gc also waits, two seconds, for records of launchers that are\n"
        "gone and that somebody holds, and says who if it was in vain. Records that are not ours, "
        "or that others may write, are\n"
        "refused.\n"
        "\n"
        "  --run-dir DIR   default /run/uds; rootless $XDG_RUNTIME_DIR/uds or /tmp/uds-UID\n"
        "  --json          ls: an array of objects; gc: {\"removed\": N, \"held\": N}\n"
        "\n"
        "exit codes: 0 done, also with nothing to do; 1 a run directory that is refused, is\n"
        "not there although named, or cannot be read, and gc: what is held is still there; 2 wrong "
        "usage. start COMMAND: as of uds\n"
        "run: the command's own, 128+N, 120 OOM, 121 refused, 122 not executable, 123 timeout.\n"
        "\n"
        "examples:\n"
        "  uds sandbox ls\n"
        "  uds sandbox start web\n"
        "  uds sandbox start --fd in=5 job -- /usr/bin/convert 5<picture\n"
        "  uds sandbox gc\n"
        "  uds sandbox gc --run-dir /run/user/1000/uds --json\n",
    .run = run,
};

static int gc(const char *run_dir, bool as_json)
{
    struct sbx_error error = {0};
    unsigned held = 0;
    int removed = sbx_gc_wait(run_dir, GC_MS, stderr, &held, &error);
    if (removed < 0)
        return cli_fail(&error, removed, CLI_FAILED);
    if (as_json) {
        struct json json = {.out = stdout};
        json_open(&json, '{');
        json_key(&json, "removed");
        json_uint(&json, (uint64_t)removed);
        json_key(&json, "held");
        json_uint(&json, held);
        json_close(&json, '}');
        json_end(&json);
    } else if (held > 0) {
        (void)printf("%d removed, %u of launchers that are gone still held\n", removed, held);
    } else {
        (void)printf("%d removed\n", removed);
    }
    return held > 0 ? CLI_FAILED : CLI_OK;
}

static int start_declared(const char *run_dir, const char *name)
{
    struct sbx_error error = {0};
    int r = sbx_start_named(NULL, run_dir, name, NULL, &error);
    if (r == 0)
        return CLI_OK;
    cli_error("%s", error.text[0] ? error.text : strerror(-r));
    return CLI_FAILED;
}

/* Its options stand between its word and the name, as those of the command behind it. */
static bool is_start_of_command(int argc, char **argv)
{
    int words = 0;
    if (argc < 2 || strcmp(argv[1], "start") != 0)
        return false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--run-dir") == 0)
            i++;
        else if (strncmp(argv[i], "--run-dir=", 10) == 0)
            continue;
        else if (argv[i][0] == '-')
            return true;
        else
            words++;
    }
    return words != 1;
}

static int run(int argc, char **argv)
{
    if (is_start_of_command(argc, argv))
        return exec_start(argc - 1, argv + 1);
    static const struct option options[] = {{"run-dir", required_argument, NULL, 'r'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *run_dir = NULL;
    bool as_json = false;
    int c;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return cli_help(&verb_sandbox);
        if (c == 'r')
            run_dir = optarg;
        else if (c == 'j')
            as_json = true;
        else
            return cli_bad_option(c, argv);
    }
    const char *what = optind + 1 == argc ? argv[optind] : "";
    if (optind + 2 == argc && strcmp(argv[optind], "start") == 0)
        return start_declared(run_dir, argv[optind + 1]);
    bool ls = strcmp(what, "ls") == 0;
    if (!ls && strcmp(what, "gc") != 0)
        return optind + 1 < argc ? cli_usage("%s: takes no argument", argv[optind])
                                 : cli_usage("%s: is none of ls, start, gc",
                                             optind < argc ? argv[optind] : "no word");
    /* The default one need not exist yet; one that is named and does not is a slip. */
    if (run_dir != NULL && access(run_dir, F_OK) < 0) {
        cli_error("run directory: %s: %s", run_dir, strerror(errno));
        return CLI_FAILED;
    }
    return ls ? sandbox_ls(run_dir, as_json) : gc(run_dir, as_json);
}
