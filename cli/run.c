/* SPDX-License-Identifier: MIT */
/*
 * `uds run`: one sandbox, from the command line to an exit code. The command's own code is passed on; what happened to
 * it otherwise has a code of ours and one line on stderr that says what, with the numbers.
 */
#include "run.h"

#include <errno.h>
#include <sbx/admin.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attend.h"
#include "confine-options.h"
#include "controls.h"
#include "env-options.h"
#include "json.h"
#include "layer-options.h"
#include "namespace-options.h"
#include "net-report.h"
#include "notify-options.h"
#include "profile-option.h"
#include "run-report.h"
#include "secret-option.h"
#include "stats.h"
#include "table.h"
#include "terminal.h"
#include "verbs.h"

enum {
    ADMIN_AFTER_MS = 20
};

static int run(int argc, char **argv);

const struct verb verb_run = {
    .name = "run",
    .summary = "run a command in a sandbox",
    .help =
        "usage: uds run [OPTION…] [--] COMMAND [ARGUMENT…]\n"
        "\n"
        "Runs COMMAND with namespaces of its own, a read-only view of the host, an empty\n"
        "environment, descriptors 0 to 2, no capabilities and a seccomp filter. Options\n"
        "widen that. What cannot be had is refused unless --degrade permits its omission.\n"
        "\n"
        "in a hurry:\n"
        "  uds run -t -- bash                            a shell in a sandbox\n"
        "  uds run --bind . /mnt --chdir /mnt -- make    may write here, and nowhere else (as\n"
        "                                                root: where everybody may)\n"
        "  uds run --net host -- curl example.org        with our network\n"
        "  uds run --memory 64M --cpu 50% --pids 20 --timeout 10s -- ./prog    with limits\n"
        "  uds run --root jail --fd in=5 -- ./prog 5< file    a program, its libraries and a file\n"
        "\n"
        "root:\n"
        "  --root host|jail|empty|DIR   the host's root, read-only (default); only what is\n"
        "                       named; nothing, not even /proc and /dev; a "
        "directory\n" LAYER_OPTIONS_HELP
        "  --jail FILE          jail: this program, its interpreter and its libraries;\n"
        "                       repeatable; the command itself is always in\n"
        "  --jail-add PATH      jail: this file or directory as well; @nss, @locale, @tls: what\n"
        "                       programs read for these (uds jail)\n"
        "  --mask PATH          hide PATH\n" SECRET_OPTIONS_HELP PROFILE_OPTIONS_HELP
        "more of the root, in the order of the options:\n" MOUNT_OPTIONS_HELP
        "limits:\n" CLI_LIMIT_HELP
        "  --rlimit NAME=SOFT[:HARD]   nofile, core, fsize, …; \"unlimited\"\n"
        "  --cgroup-parent PATH   where its cgroup is made;  --no-cgroup starts sooner: nothing "
        "is\n"
        "                       limited or counted\n",
    .more_help =
        "terminal and life:\n"
        "  --name NAME          in messages, cgroups, and for uds exec\n" LIFE_OPTIONS_HELP
        "  --run-dir DIR        records for cleaning up (default /run/uds; rootless\n"
        "                       $XDG_RUNTIME_DIR/uds or /tmp/uds-UID)\n"
        "isolation:\n"
        "  --share-net, --share-user, --share-mount, --share-pid, --share-ipc, --share-uts,\n"
        "  --share-cgroup\n"
        "                       the host's namespace instead of a new one\n" NAMESPACE_OPTIONS_HELP
        "  --disable-userns     no user namespaces inside; --assert-userns-disabled\n"
        "  --uid N, --gid N     ids inside;  --hostname NAME\n"
        "  --host-root          started by root: keep the host's ids (an exception)\n"
        "environment, descriptors, readiness:\n"
        "  --chdir DIR          inside; / if not given\n" ENV_OPTIONS_HELP
        "  --fd NAME=N          pass descriptor N, as socket activation does (LISTEN_FDS)\n"
        "  --listen NAME=ADDR   bind outside, pass the socket: tcp:HOST:PORT, udp:HOST:PORT,\n"
        "                       unix:/PATH, unix:@NAME, seqpacket:…, dgram:…; then ,mode=0660\n"
        "                       ,backlog=N ,netns=NAME\n" NOTIFY_OPTIONS_HELP
        "confinement:\n" CONFINE_OPTIONS_HELP "what is reported and refused:\n"
        "  --stats              what it used, on stderr at the end;  --json: as JSON\n"
        "  --report             what was granted, on stderr at the start\n"
        "  --dry-run            print the steps, make nothing\n"
        "  --degrade LIST       may be left out: cgroup, cpu, cpuset, memory-high, io,\n"
        "                       buffered-writes, id-range, landlock, stats, layer-ids\n"
        "  --assert             refuse anything less than asked, whatever --degrade says\n"
        "\n"
        "exit codes: the command's own; 128+N: it was killed by signal N; 120: by the memory\n"
        "limit; 121: refused, or set-up failed, it never ran; 122: it could not be executed;\n"
        "123: a timeout. Each of ours comes with a line on stderr.\n"
        "\n"
        "examples:\n"
        "  uds run -- sh -c 'id; ls /proc'\n"
        "  uds run --root jail --memory 64M --cpu 50% --pids 8 --stats -- /usr/bin/xz -t < a.xz\n"
        "  uds run --fd image=5 --timeout 10s -- ./decoder 5< image.png\n"
        "  uds run --dry-run --share-net -- curl example.org\n",
    .run = run,
};

/* It never ran. */
static int refuse_start(const struct run_options *o, const struct sbx_error *error, int r)
{
    int code = cli_fail(error, r, RUN_REFUSED);
    run_report_refused(o, error, r);
    return error->exec ? RUN_EXEC_FAILED : code;
}

struct running {
    const struct run_options *options;
    sbx *s;
    sbx_cleaner *cleaner;
    sbx_admin *admin;     /* NULL: not yet, or it could not be opened */
    bool no_admin;        /* it was tried */
    uint64_t admin_at_ms; /* monotonic */
    struct run_notify notify;
    struct attended attended;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Till when whoever wants to find it by `uds exec` has to wait; a command that has ended by then does not pay for it. */
static int until_admin(const struct running *running)
{
    uint64_t now = now_ms();
    if (running->no_admin)
        return -1;
    return now >= running->admin_at_ms ? 0 : (int)(running->admin_at_ms - now);
}

static int run_timeout(void *thing)
{
    const struct running *running = thing;
    int own = until_admin(running), timeout = sbx_get_timeout(running->s);
    return timeout < 0 || (own >= 0 && own < timeout) ? own : timeout;
}

/* Not worth an end: without it `uds exec` does not find it. */
static void open_admin(struct running *running)
{
    struct sbx_error error = {0};
    running->no_admin = true;
    if (sbx_admin_new(&running->admin, running->cleaner, &error) < 0) {
        cli_error("%s: %s; it runs, but uds exec will not find it", running->options->spec.name,
                  error.text);
        running->admin = NULL;
        return;
    }
    sbx_admin_add(running->admin, running->s);
    running->attended.more = sbx_admin_get_fd(running->admin);
}

static int run_process(void *thing, struct sbx_result *ret)
{
    struct running *running = thing;
    int r = sbx_process(running->s, ret);
    if (run_notify_follow(running->options, running->s, &running->notify))
        run_report_told(running->options, &running->notify);
    if (r == 0 && until_admin(running) == 0)
        open_admin(running);
    return r;
}

static int run_signal(void *thing, int signo)
{
    const struct running *running = thing;
    return sbx_signal(running->s, signo);
}

static void run_admin(void *arg)
{
    const struct running *running = arg;
    sbx_admin_process(running->admin);
}

static int run_kill(void *thing)
{
    const struct running *running = thing;
    return sbx_kill(running->s);
}

/* Killed, and nothing counts whether that was for memory. */
static bool may_be_oom(const struct run_options *o, const struct sbx_report *report)
{
    return o->spec.counting == SBX_COUNT_LITTLE && !o->spec.limits.memory_bytes &&
           (!strcmp(report->backend, "hybrid") || !strcmp(report->backend, "v1"));
}

/* Prints the one line where there is something to say. */
static int exit_code(const struct run_options *o,
                     const struct sbx_report *report,
                     const struct sbx_result *result,
                     uint64_t asked)
{
    char a[24], b[24];
    const char *name = o->spec.name;
    switch (result->outcome) {
    case SBX_EXITED:
        return (int)result->value;
    case SBX_SIGNALED:
        if (!(asked >> result->value & 1)) /* that was us, for somebody who knows */
            cli_error("%s: killed by signal %d (%s)%s", name, (int)result->value,
                      strsignal((int)result->value),
                      result->value == SIGKILL && may_be_oom(o, report)
                          ? "; if for want of memory, --stats would say so"
                          : "");
        return 128 + (int)result->value;
    case SBX_OOM:
        if (result->value)
            cli_error("%s: killed by OOM: limit %s, peak %s; raise --memory", name,
                      format_bytes(result->value, a, sizeof a),
                      format_bytes(result->stats.memory_peak_bytes, b, sizeof b));
        else
            cli_error("%s: killed by OOM: not its own limit, %s%s ran out of memory; peak %s", name,
                      strcmp(result->oom_level, "/") ? "the cgroup " : "the machine",
                      strcmp(result->oom_level, "/") ? result->oom_level : "",
                      format_bytes(result->stats.memory_peak_bytes, b, sizeof b));
        return RUN_OOM;
    case SBX_TIMEOUT:
        cli_error("%s: killed after its timeout of %s; raise --timeout", name,
                  format_usec(result->value * 1000, a, sizeof a));
        return RUN_TIMEOUT;
    case SBX_NOT_READY:
        cli_error("%s: killed, it did not say READY=1 within %s; raise --ready-timeout", name,
                  format_usec(result->value * 1000, a, sizeof a));
        return RUN_TIMEOUT;
    case SBX_WATCHDOG:
        if (result->value == 0)
            cli_error("%s: killed by its watchdog, it said WATCHDOG=trigger", name);
        else
            cli_error("%s: killed by its watchdog, it did not say WATCHDOG=1 for %s", name,
                      format_usec(result->value * 1000, a, sizeof a));
        return RUN_TIMEOUT;
    case SBX_STOPPED:
        cli_error("%s: killed, it did not end when asked", name);
        return 128 + SIGKILL;
    case SBX_SETUP_FAILED:
    default:
        return cli_fail(&result->error, -(int)result->value, RUN_REFUSED);
    }
}

/* Without a cgroup two of them are rlimits. */
static void get_limits(const struct run_options *o,
                       sbx *s,
                       const struct sbx_report *report,
                       struct sbx_limits *ret)
{
    if (sbx_get_limits(s, ret) == 0)
        return;
    if (report->memory_is_rlimit)
        ret->memory_bytes = o->spec.limits.memory_bytes;
    if (report->pids_is_rlimit)
        ret->pids = o->spec.limits.pids;
}

/* RLIMIT_DATA kills nobody. */
static void say_memory_limit(const struct run_options *o, const struct sbx_result *result)
{
    char a[24], b[24];
    cli_error("%s: memory-limit (rlimit): at %s it was refused memory %llu time%s, first %s; raise "
              "--memory",
              o->spec.name, format_bytes(o->spec.limits.memory_bytes, a, sizeof a),
              (unsigned long long)result->memory_refused, result->memory_refused == 1 ? "" : "s",
              format_bytes(result->memory_refused_bytes, b, sizeof b));
}

static int supervise(const struct run_options *o, sbx *s, sbx_cleaner *cleaner, int signals)
{
    struct sbx_report report = SBX_REPORT_INIT;
    struct sbx_result result = SBX_RESULT_INIT;
    struct sbx_limits limits = SBX_LIMITS_INIT;
    struct running running = {
        .options = o, .s = s, .cleaner = cleaner, .admin_at_ms = now_ms() + ADMIN_AFTER_MS};
    uint64_t asked = 0;
    sbx_get_report(s, &report);
    if (o->json || o->life.report || o->life.status >= 0)
        get_limits(o, s, &report, &limits);
    run_report_started(o, s, &report, &limits);
    running.attended = (struct attended){.thing = &running,
                                         .fd = sbx_get_fd(s),
                                         .timeout = run_timeout,
                                         .process = run_process,
                                         .signal = run_signal,
                                         .kill = run_kill,
                                         .terminal = sbx_take_terminal(s),
                                         .more = -1,
                                         .on_more = run_admin,
                                         .arg = &running};
    int r = attend(&running.attended, signals, &result, &asked);
    running.admin = sbx_admin_free(running.admin);
    if (r < 0) {
        cli_error("%s: cannot wait for it: %s", o->spec.name, strerror(-r));
        return RUN_REFUSED;
    }
    int code = exit_code(o, &report, &result, asked);
    if (result.memory_refused && (code != 0 || o->stats))
        say_memory_limit(o, &result);
    run_report_ended(o, s, &report, &limits, &running.notify, &result, code);
    return code;
}

/* The cleaner begins while the plan is made. */
static int act(struct run_options *o)
{
    struct sbx_error error = {0};
    sbx_cleaner *cleaner = NULL;
    sbx_plan *plan = NULL;
    sbx *s = NULL;
    int signals = attend_open_signals();
    if (!o->life.terminal)
        terminal_leave();
    if (signals < 0)
        return cli_fail(&error, signals, RUN_REFUSED);
    int code, r = life_begin(&o->life, signals);
    if (r == 0)
        r = sbx_cleaner_new(&cleaner, o->run_dir, &error);
    if (r == 0)
        r = sbx_plan_new(&plan, &o->spec, &error);
    if (r < 0) {
        code = refuse_start(o, &error, r);
    } else {
        r = run_listen_open(o, cleaner, &error);
        if (r == 0)
            r = sbx_start(&s, plan, cleaner, &error);
        if (r < 0) {
            code = refuse_start(o, &error, r);
        } else {
            code = supervise(o, s, cleaner, signals);
            (void)sbx_free(s);
        }
        run_listen_close(o);
    }
    (void)sbx_cleaner_free(cleaner);
    (void)sbx_plan_free(plan);
    (void)close(signals);
    return code;
}

static int dry_run(struct run_options *o)
{
    struct sbx_error error = {0};
    sbx_plan *plan;
    int r = sbx_plan_new(&plan, &o->spec, &error);
    if (r < 0)
        return refuse_start(o, &error, r);
    run_listen_print(o, stdout);
    sbx_plan_print(plan, stdout);
    (void)sbx_plan_free(plan);
    return CLI_OK;
}

static int run_parsed(struct run_options *o)
{
    struct sbx_error error = {0};
    if (!o->spec.assert_all || !o->stats || !o->spec.no_cgroup)
        return o->dry_run ? dry_run(o) : act(o);
    snprintf(error.text, sizeof error.text,
             "%s: --stats: without a cgroup there are none; leave out --no-cgroup or --assert",
             o->spec.name);
    return refuse_start(o, &error, -EOPNOTSUPP);
}

static int run(int argc, char **argv)
{
    struct run_options options;
    bool help;
    int code = run_options_parse(&options, argc, argv, &help);
    if (help)
        code = cli_help(&verb_run);
    else
        /* 2 could be the command's own. */
        code = code == CLI_OK ? run_parsed(&options) : code == CLI_USAGE ? RUN_REFUSED : code;
    run_options_free(&options);
    return code;
}
