/* SPDX-License-Identifier: MIT */
/* `uds cgroup`: groups of processes under common limits, by name. See sbx/group.h for what a group is. */
#include "cgroup.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controls.h"
#include "run.h"
#include "subverb.h"
#include "value.h"
#include "verbs.h"

static int run(int argc, char **argv);

const struct verb verb_cgroup = {
    .name = "cgroup",
    .summary = "limits for a group of commands: make, join, watch, change",
    .help =
        "usage: uds cgroup create NAME [LIMIT…]\n"
        "       uds cgroup set NAME LIMIT…\n"
        "       uds cgroup exec NAME [--] COMMAND [ARGUMENT…]\n"
        "       uds cgroup watch NAME [--interval 1s] [--count N] [--json]\n"
        "       uds cgroup ls [NAME] [--json]\n"
        "       uds cgroup freeze | thaw | kill NAME\n"
        "       uds cgroup delete NAME [--kill]\n"
        "\n"
        "A group has limits and counts what its processes use, on cgroup v2, v1 and both\n"
        "alike. Any number of commands can be run in it; it lasts until it is deleted. NAME\n"
        "may also be a running sandbox's (`uds run --name NAME`, a stack's): it can be looked\n"
        "at, changed, frozen and killed.\n"
        "\n"
        "limits (all but weights also take max):\n" CLI_LIMIT_HELP
        "A change is all or nothing and acts at once. A memory limit below what is in use and\n"
        "cannot be reclaimed is refused; on cgroup v1 also one of a sandbox that was started\n"
        "with neither a name nor such a limit and is not counted.\n"
        "\n"
        "options:\n"
        "  --parent PATH        create: below this cgroup of each mount, not below our own\n"
        "  --degrade LIST       create: may be left out where the backend lacks it: cpu,\n"
        "                       cpuset, memory-high, io, buffered-writes\n"
        "  --interval 1s        watch: time between two lines;  --count N: end after N\n"
        "  --kill               delete: kill who lives in it, first\n"
        "  --json               ls, watch: for programs, one document, or one a line\n"
        "  --run-dir DIR        where groups are written down (default /run/uds; rootless\n"
        "                       $XDG_RUNTIME_DIR/uds or /tmp/uds-UID)\n"
        "\n"
        "exit codes: 0 done; 1 it could not be done (no such group, a control that is lacking,\n"
        "processes that live in it); 2 wrong usage. exec: the command's own; 121 it never ran;\n"
        "122 it could not be executed.\n"
        "\n"
        "examples:\n"
        "  uds cgroup create build --memory 2G --cpu 150% --pids 500\n"
        "  uds cgroup exec build -- make -j8\n"
        "  uds cgroup watch build\n"
        "  uds cgroup set build --memory 3G --io-max /:rbps=20M\n"
        "  uds cgroup ls build\n"
        "  uds cgroup delete build --kill\n",
    .run = run,
};

int cgroup_open(sbx_group **ret, const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    int r = sbx_group_open(ret, o->run_dir, o->name, &error);

    return r < 0 ? cli_fail(&error, r, CLI_FAILED) : CLI_OK;
}

static int create(const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    sbx_group *group;
    uint32_t degraded = 0;
    int r = sbx_group_new(&group, o->run_dir, o->name, &o->limits, o->parent, o->degrade, &degraded,
                          &error);

    if (r < 0)
        return cli_fail(&error, r, CLI_FAILED);
    for (uint32_t bit = 1; bit && bit <= degraded; bit <<= 1)
        if (degraded & bit)
            cli_error("%s: made without %s", o->name, sbx_degrade_name(bit));
    (void)sbx_group_free(group);
    return CLI_OK;
}

/* Opens, does one thing, says what went wrong. */
static int
act(const struct cgroup_options *o,
    int (*what)(sbx_group *group, const struct cgroup_options *o, struct sbx_error *error))
{
    struct sbx_error error = {0};
    sbx_group *group;
    int code = cgroup_open(&group, o);

    if (code != CLI_OK)
        return code;
    int r = what(group, o, &error);
    if (r < 0)
        code = cli_fail(&error, r, CLI_FAILED);
    (void)sbx_group_free(group);
    return code;
}

static int do_set(sbx_group *group, const struct cgroup_options *o, struct sbx_error *error)
{
    return sbx_group_set_limits(group, &o->limits, error);
}

static int do_freeze(sbx_group *group, const struct cgroup_options *o, struct sbx_error *error)
{
    (void)o;
    return sbx_group_freeze(group, true, error);
}

static int do_thaw(sbx_group *group, const struct cgroup_options *o, struct sbx_error *error)
{
    (void)o;
    return sbx_group_freeze(group, false, error);
}

static int do_kill(sbx_group *group, const struct cgroup_options *o, struct sbx_error *error)
{
    (void)o;
    return sbx_group_kill(group, error);
}

static int set(const struct cgroup_options *o)
{
    if (!o->named_limits)
        return cli_usage("%s: which limits", o->name);
    return act(o, do_set);
}

static int freeze(const struct cgroup_options *o)
{
    return act(o, do_freeze);
}

static int thaw(const struct cgroup_options *o)
{
    return act(o, do_thaw);
}

static int kill_all(const struct cgroup_options *o)
{
    return act(o, do_kill);
}

/* By name: also what is too broken to be opened must go. */
static int delete_group(const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    int r = sbx_group_delete_name(o->run_dir, o->name, o->kill, &error);

    return r < 0 ? cli_fail(&error, r, CLI_FAILED) : CLI_OK;
}

/* We become the command, so that terminal, signals and exit code are its own. */
static int exec_command(const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    sbx_group *group;

    if (o->command[0] == NULL)
        return cli_usage("%s: which command", o->name);
    if (cgroup_open(&group, o) != CLI_OK)
        return RUN_REFUSED;
    int r = sbx_group_join(group, &error);
    (void)sbx_group_free(group);
    if (r < 0) {
        (void)cli_fail(&error, r, CLI_FAILED);
        return RUN_REFUSED;
    }
    (void)execvp(o->command[0], o->command);
    cli_error("%s: %s", o->command[0], strerror(errno));
    return RUN_EXEC_FAILED;
}

enum cgroup_option {
    OPT_PARENT = 256,
    OPT_DEGRADE,
    OPT_INTERVAL,
    OPT_COUNT,
    OPT_KILL,
    OPT_JSON,
    OPT_RUN_DIR,
};

static const struct sub {
    struct subverb word;
    int (*run)(const struct cgroup_options *o);
    bool needs_name;
} subs[] = {
    {{"create", false, {OPT_RUN_DIR, CLI_OPT_LIMIT, OPT_PARENT, OPT_DEGRADE}}, create, true},
    {{"set", false, {OPT_RUN_DIR, CLI_OPT_LIMIT}}, set, true},
    {{"exec", true, {OPT_RUN_DIR}}, exec_command, true},
    {{"watch", false, {OPT_RUN_DIR, OPT_INTERVAL, OPT_COUNT, OPT_JSON}}, cgroup_watch, true},
    {{"ls", false, {OPT_RUN_DIR, OPT_JSON}}, cgroup_ls, false},
    {{"freeze", false, {OPT_RUN_DIR}}, freeze, true},
    {{"thaw", false, {OPT_RUN_DIR}}, thaw, true},
    {{"kill", false, {OPT_RUN_DIR}}, kill_all, true},
    {{"delete", false, {OPT_RUN_DIR, OPT_KILL}}, delete_group, true},
};

static const struct sub *find_sub(const char *name)
{
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
        if (strcmp(subs[i].word.name, name) == 0)
            return &subs[i];
    return NULL;
}

static int take(void *into, int c, const char *name)
{
    struct cgroup_options *o = into;

    switch (c) {
    case CLI_OPT_LIMIT:
        o->named_limits = true;
        return cli_set_limit(&o->limits, name, optarg);
    case OPT_PARENT:
        o->parent = optarg;
        return CLI_OK;
    case OPT_DEGRADE:
        return cli_add_degrade(&o->degrade,
                               SBX_DEGRADE_CPU | SBX_DEGRADE_CPUSET | SBX_DEGRADE_MEMORY_HIGH |
                                   SBX_DEGRADE_IO | SBX_DEGRADE_BUFFERED_WRITES,
                               optarg);
    case OPT_INTERVAL:
        return parse_duration(optarg, &o->interval_ms) < 0 || o->interval_ms < 10
                   ? cli_usage("--interval: %s: not a duration of 10ms or more", optarg)
                   : CLI_OK;
    case OPT_COUNT:
        return parse_number(optarg, 1, UINT32_MAX, &o->count) < 0
                   ? cli_usage("--count: %s: not a number of 1 or more", optarg)
                   : CLI_OK;
    case OPT_KILL:
        o->kill = true;
        return CLI_OK;
    case OPT_JSON:
        o->json = true;
        return CLI_OK;
    default:
        o->run_dir = optarg;
        return CLI_OK;
    }
}

static const struct option options[] = {CLI_LIMIT_OPTIONS,
                                        {"parent", required_argument, NULL, OPT_PARENT},
                                        {"degrade", required_argument, NULL, OPT_DEGRADE},
                                        {"interval", required_argument, NULL, OPT_INTERVAL},
                                        {"count", required_argument, NULL, OPT_COUNT},
                                        {"kill", no_argument, NULL, OPT_KILL},
                                        {"json", no_argument, NULL, OPT_JSON},
                                        {"run-dir", required_argument, NULL, OPT_RUN_DIR},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static int parse(struct cgroup_options *o, const struct sub *sub, int argc, char **argv)
{
    static const struct subverb_options all = {&verb_cgroup, options, take};
    int code = subverb_parse(&sub->word, &all, argc, argv, o);

    if (code != CLI_OK)
        return code;
    if (optind < argc)
        o->name = argv[optind++];
    else if (sub->needs_name)
        return cli_usage("%s: of which group", sub->word.name);
    if (sub->word.command && optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    o->command = argv + optind;
    if (!sub->word.command && optind < argc)
        return cli_usage("%s: one name is enough", argv[optind]);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cgroup_options o = {.limits = SBX_LIMITS_INIT, .interval_ms = 1000};
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    const struct sub *sub = argc > 1 ? find_sub(argv[1]) : NULL;

    if (help)
        return cli_help(&verb_cgroup);
    if (sub == NULL)
        return cli_usage("%s: is none of create, set, exec, watch, ls, freeze, thaw, kill, delete",
                         argc > 1 ? argv[1] : "no word");
    int code = parse(&o, sub, argc - 1, argv + 1);
    if (code == CLI_OK)
        return sub->run(&o);
    if (code == CLI_USAGE && sub->run == exec_command)
        return RUN_REFUSED; /* 2 is the command's own */
    return code == SUBVERB_HELP ? CLI_OK : code;
}
