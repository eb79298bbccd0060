/* SPDX-License-Identifier: MIT */
/*
 * `uds exec`: one more command in a sandbox that runs, started by its own init. `uds sandbox start`: a command in a sandbox
 * that a broker makes, or has waiting, as a template of its stack file says.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sbx/admin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attend.h"
#include "controls.h"
#include "list.h"
#include "run.h"
#include "sandbox.h"
#include "table.h"
#include "terminal.h"
#include "value.h"
#include "verbs.h"

static int run(int argc, char **argv);

const struct verb verb_exec = {
    .name = "exec",
    .summary = "run a command in a running sandbox",
    .help = "usage: uds exec [OPTION…] SANDBOX [--] COMMAND [ARGUMENT…]\n"
            "\n"
            "Runs COMMAND in the sandbox that is called SANDBOX, or whose first process has that\n"
            "pid: of `uds run`, `uds up` or uds-broker, started by the same user. The sandbox's\n"
            "own init starts it, confined as what runs there: its namespaces, cgroups, ids,\n"
            "filters, limits and environment. Descriptors 0 to 2 are ours. It ends with the\n"
            "sandbox, and when we do.\n"
            "\n"
            "  -t, --pty            a terminal of its own, as of uds run\n"
            "  --setenv K V         one variable\n"
            "  --chdir DIR          inside; default: where the sandbox's command started\n"
            "  --fd NAME=N          our descriptor N is its 3, the next 4, …: LISTEN_FDS\n"
            "  --run-dir DIR        where its launcher has its records (default /run/uds;\n"
            "                       rootless $XDG_RUNTIME_DIR/uds or /tmp/uds-UID)\n"
            "\n"
            "exit codes: as of uds run: the command's own; 128+N: it was killed by signal N, 137\n"
            "also when the sandbox ended; 121: refused, there is no such sandbox; 122: it could\n"
            "not be executed.\n"
            "\n"
            "examples:\n"
            "  uds exec web -- ps ax\n"
            "  uds exec -t web -- sh\n"
            "  uds sandbox ls\n",
    .run = run,
};

struct exec_options {
    struct sbx_adoption what;
    struct sbx_exec *exec; /* of @what */
    bool start;            /* a sandbox for it, not in one that runs */
    struct sbx_limits limits;
    const char *run_dir, *name;
    struct run_list env, fds, owned; /* const char *, struct sbx_named_fd, void * */
};

static int session_timeout(void *thing)
{
    (void)thing;
    return -1;
}

static int session_process(void *thing, struct sbx_result *ret)
{
    return sbx_session_process(thing, ret);
}

static int session_signal(void *thing, int signo)
{
    return sbx_session_signal(thing, signo);
}

static int session_kill(void *thing)
{
    return sbx_session_signal(thing, SIGKILL);
}

/* Not before the program can run: it would have nowhere to print to. -1: there is none, or it never ran. */
static int await_terminal(const struct exec_options *o, sbx_session *session)
{
    int terminal = -1;
    while (o->exec->terminal && (terminal = sbx_session_take_terminal(session)) == -EAGAIN) {
        struct pollfd fd = {.fd = sbx_session_get_fd(session), .events = POLLIN};
        (void)poll(&fd, 1, -1);
    }
    return terminal < 0 ? -1 : terminal;
}

/* It was told so and ended as it would: not an OOM. */
static void say_memory_limit(const struct exec_options *o, const struct sbx_result *result)
{
    char first[32];
    if (result->memory_refused && result->value != 0)
        cli_error(
            "%s: memory-limit (rlimit): it was refused memory %llu time%s, first %s; raise the "
            "template's limit",
            o->name, (unsigned long long)result->memory_refused,
            result->memory_refused == 1 ? "" : "s",
            format_bytes(result->memory_refused_bytes, first, sizeof first));
}

static int exit_code(const struct exec_options *o, const struct sbx_result *result, uint64_t asked)
{
    int signo = (int)result->value;
    switch (result->outcome) {
    case SBX_EXITED:
        say_memory_limit(o, result);
        return (int)result->value;
    case SBX_SIGNALED:
        say_memory_limit(o, result);
        if (!(asked >> signo & 1))
            cli_error("%s: killed by signal %d (%s)", o->name, signo, strsignal(signo));
        return 128 + signo;
    case SBX_SETUP_FAILED:
        cli_error("%s", result->error.text);
        return result->error.exec ? RUN_EXEC_FAILED : RUN_REFUSED;
    case SBX_OOM:
        cli_error("%s: killed for memory", o->name);
        return RUN_OOM;
    case SBX_TIMEOUT:
        cli_error("%s: killed after its timeout of %llu ms", o->name,
                  (unsigned long long)result->value);
        return RUN_TIMEOUT;
    case SBX_STOPPED:
    case SBX_NOT_READY:
    case SBX_WATCHDOG:
    default:
        cli_error("%s: the sandbox has ended", o->name);
        return 128 + SIGKILL;
    }
}

enum {
    TRIES = 4,
    TRY_MS = 25 /* a launcher can be asked 20 ms after its command has begun */
};

/* One that was started just now is not to be found yet; whoever types its name wants it. */
static int find_and_start(sbx_session **ret, const struct exec_options *o, struct sbx_error *error)
{
    int r = -ENOENT;
    for (int i = 0; r == -ENOENT && i < (o->start ? 1 : TRIES); i++) {
        if (i > 0)
            (void)poll(NULL, 0, TRY_MS);
        *error = (struct sbx_error){0};
        r = o->start ? sbx_start_named(ret, o->run_dir, o->name, &o->what, error)
                     : sbx_exec_named(ret, o->run_dir, o->name, o->exec, error);
    }
    return r;
}

static int act(const struct exec_options *o)
{
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_session *session;
    uint64_t asked = 0;
    int signals = attend_open_signals();
    if (!o->exec->terminal)
        terminal_leave();
    if (signals < 0) {
        cli_error("signals: %s", strerror(-signals));
        return RUN_REFUSED;
    }
    int r = find_and_start(&session, o, &error);
    if (r < 0) {
        (void)close(signals);
        return cli_fail(&error, r, RUN_REFUSED);
    }
    const struct attended attended = {.thing = session,
                                      .fd = sbx_session_get_fd(session),
                                      .timeout = session_timeout,
                                      .process = session_process,
                                      .signal = session_signal,
                                      .kill = session_kill,
                                      .terminal = await_terminal(o, session),
                                      .more = -1};
    r = attend(&attended, signals, &result, &asked);
    int code = r < 0 ? RUN_REFUSED : exit_code(o, &result, asked);
    if (r < 0)
        cli_error("%s: cannot wait for it: %s", o->name, strerror(-r));
    (void)sbx_session_free(session);
    (void)close(signals);
    return code;
}

static int add_env(struct exec_options *o, const char *key, const char *value)
{
    char *text;
    if (value == NULL || key[0] == '\0' || strchr(key, '='))
        return cli_usage("--setenv %s: needs a name and a value, as two words", key);
    if (asprintf(&text, "%s=%s", key, value) < 0 || !list_own(&o->owned, text) ||
        !list_push(&o->env, &text, sizeof text))
        return cli_no_memory(RUN_REFUSED);
    return CLI_OK;
}

static int add_fd(struct exec_options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    unsigned long number;
    if (!equals || equals == text || memchr(text, ':', (size_t)(equals - text)) ||
        parse_number(equals + 1, 0, INT_MAX, &number) < 0)
        return cli_usage("--fd %s: is not NAME=N, N the number of an open descriptor", text);
    if (fcntl((int)number, F_GETFD) < 0)
        return cli_usage("--fd %s: is not open here; open it in the shell, as in 5<file", text);
    char *name = strndup(text, (size_t)(equals - text));
    struct sbx_named_fd fd = {.name = name, .fd = (int)number};
    return list_own(&o->owned, name) && list_push(&o->fds, &fd, sizeof fd)
               ? CLI_OK
               : cli_no_memory(RUN_REFUSED);
}

/* Ours would win, and nobody would know. */
static int check_env(const struct exec_options *o)
{
    const char *const *set = o->env.items;
    for (size_t i = 0; o->fds.count > 0 && i < o->env.count; i++)
        if (strncmp(set[i], "LISTEN_", 7) == 0)
            return cli_usage("--setenv %.*s: --fd sets that itself; leave out one of the two",
                             (int)strcspn(set[i], "="), set[i]);
    return CLI_OK;
}

static int finish(struct exec_options *o, int argc, char **argv)
{
    const char *term = getenv("TERM");
    int r = check_env(o);
    if (r != CLI_OK)
        return r;
    if (optind >= argc)
        return cli_usage(o->start ? "no template: name one of the broker's stack file"
                                  : "no sandbox: name one: see uds sandbox ls");
    o->name = argv[optind++];
    if (optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    if (optind >= argc)
        return cli_usage("no command: name one after the sandbox");
    o->exec->argv = (const char *const *)(argv + optind);
    if (o->exec->terminal && !isatty(0))
        return cli_usage("--pty: standard input is no terminal: leave out --pty");
    o->exec->terminal_like = o->exec->terminal && !terminal_in_background() ? 0 : -1;
    if (o->exec->terminal && term != NULL) {
        r = add_env(o, "TERM", term); /* the first of a name counts, so one that was given does */
        if (r != CLI_OK)
            return r;
    }
    o->exec->env = o->env.items;
    o->exec->fds = o->fds.items;
    o->exec->nfds = o->fds.count;
    return CLI_OK;
}

static int parse(struct exec_options *o, int argc, char **argv, bool *ret_help)
{
    static const struct option options[] = {{"pty", no_argument, NULL, 't'},
                                            {"setenv", required_argument, NULL, 'e'},
                                            {"chdir", required_argument, NULL, 'c'},
                                            {"run-dir", required_argument, NULL, 'r'},
                                            {"fd", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    static const struct option start_options[] = {{"pty", no_argument, NULL, 't'},
                                                  {"setenv", required_argument, NULL, 'e'},
                                                  {"chdir", required_argument, NULL, 'c'},
                                                  {"run-dir", required_argument, NULL, 'r'},
                                                  {"fd", required_argument, NULL, 'f'},
                                                  {"name", required_argument, NULL, 'n'},
                                                  {"hostname", required_argument, NULL, 'H'},
                                                  CLI_LIMIT_OPTIONS,
                                                  {"help", no_argument, NULL, 'h'},
                                                  {NULL, 0, NULL, 0}};
    const struct option *known = o->start ? start_options : options;
    int c, index = 0, r = CLI_OK;
    *ret_help = false;
    while (r == CLI_OK && (c = getopt_long(argc, argv, "+:ht", known, &index)) != -1) {
        const char *value = optarg;
        if (c != '?' && c != ':' && c != 't' &&
            (r = cli_check_name(known[index].name, argv)) != CLI_OK)
            return r;
        switch (c) {
        case 'h':
            *ret_help = true;
            return CLI_OK;
        case 't':
            o->exec->terminal = true;
            break;
        case 'e':
            r = add_env(o, value, optind < argc ? argv[optind++] : NULL);
            break;
        case 'c':
            o->exec->chdir = value;
            break;
        case 'r':
            o->run_dir = value;
            break;
        case 'f':
            r = add_fd(o, value);
            break;
        case 'n':
            o->what.name = value;
            break;
        case 'H':
            o->what.hostname = value;
            break;
        case CLI_OPT_LIMIT:
            r = cli_set_limit(&o->limits, known[index].name, value);
            o->what.limits = &o->limits;
            break;
        default:
            return cli_bad_option(c, argv);
        }
    }
    return r == CLI_OK ? finish(o, argc, argv) : r;
}

static int run_or_start(bool start, int argc, char **argv)
{
    struct exec_options o = {.what = SBX_ADOPTION_INIT, .limits = SBX_LIMITS_INIT, .start = start};
    bool help;
    o.exec = &o.what.exec;
    for (int i = 0; i < 3; i++)
        o.exec->stdio[i] = fcntl(i, F_GETFD) < 0 ? -1 : i;
    int code = parse(&o, argc, argv, &help);
    if (help)
        code = cli_help(start ? &verb_sandbox : &verb_exec);
    else
        /* 2 could be the command's own. */
        code = code == CLI_OK ? act(&o) : code == CLI_USAGE ? RUN_REFUSED : code;
    list_free_owned(&o.owned);
    free(o.env.items);
    free(o.fds.items);
    return code;
}

static int run(int argc, char **argv)
{
    return run_or_start(false, argc, argv);
}

int exec_start(int argc, char **argv)
{
    return run_or_start(true, argc, argv);
}
