/* SPDX-License-Identifier: MIT */
/* `uds cgroup`: groups of processes under common limits, by name. See sbx/group.h for what a group is. */
#include "cgroup.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controls.h"
#include "run.h"
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
        "may also be a running sandbox's (uds run --name NAME, a stack's): it can be looked\n"
        "at, changed, frozen and killed.\n"
        "\n"
        "limits (all but weights also take max):\n" CLI_LIMIT_HELP
        "A change is all or nothing and acts at once. A memory limit below what is in use and\n"
        "cannot be reclaimed is refused.\n"
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

static int say(const struct sbx_error *error, int r)
{
    cli_error("%s", error->text[0] ? error->text : strerror(-r));
    return CLI_FAILED;
}

int cgroup_open(sbx_group **ret, const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    int r = sbx_group_open(ret, o->run_dir, o->name, &error);

    return r < 0 ? say(&error, r) : CLI_OK;
}

static int create(const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    sbx_group *group;
    uint32_t degraded = 0;
    int r = sbx_group_new(&group, o->run_dir, o->name, &o->limits, o->parent, o->degrade, &degraded,
                          &error);

    if (r < 0)
        return say(&error, r);
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
        code = say(&error, r);
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

    return r < 0 ? say(&error, r) : CLI_OK;
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
        (void)say(&error, r);
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

/* Which of the options a verb takes; who takes limits takes them all. */
static const struct sub {
    const char *name;
    int (*run)(const struct cgroup_options *o);
    bool limits, command, needs_name;
    int options[3];
} subs[] = {
    {"create", create, true, false, true, {OPT_PARENT, OPT_DEGRADE, 0}},
    {"set", set, true, false, true, {0}},
    {"exec", exec_command, false, true, true, {0}},
    {"watch", cgroup_watch, false, false, true, {OPT_INTERVAL, OPT_COUNT, OPT_JSON}},
    {"ls", cgroup_ls, false, false, false, {OPT_JSON, 0, 0}},
    {"freeze", freeze, false, false, true, {0}},
    {"thaw", thaw, false, false, true, {0}},
    {"kill", kill_all, false, false, true, {0}},
    {"delete", delete_group, false, false, true, {OPT_KILL, 0, 0}},
};

static const struct sub *find_sub(const char *name)
{
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
        if (strcmp(subs[i].name, name) == 0)
            return &subs[i];
    return NULL;
}

static bool takes(const struct sub *sub, int c)
{
    if (c == CLI_OPT_LIMIT)
        return sub->limits;
    for (size_t i = 0; i < 3; i++)
        if (sub->options[i] == c)
            return true;
    return c == OPT_RUN_DIR;
}

static int handle(struct cgroup_options *o, int c, const char *name)
{
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

static int
parse(struct cgroup_options *o, const struct sub *sub, int argc, char **argv, bool *ret_help)
{
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
    int c, index = 0;

    /* exec: options end at the group's name, what follows is the command's. */
    while ((c = getopt_long(argc, argv, sub->command ? "+:h" : ":h", options, &index)) != -1) {
        if (c == 'h') {
            *ret_help = true;
            return CLI_OK;
        }
        if (c == '?' || c == ':')
            return cli_bad_option(c, argv);
        if (!takes(sub, c))
            return cli_usage("--%s: not an option of %s", options[index].name, sub->name);
        int code = handle(o, c, options[index].name);
        if (code != CLI_OK)
            return code;
    }
    if (optind < argc)
        o->name = argv[optind++];
    else if (sub->needs_name)
        return cli_usage("%s: of which group", sub->name);
    if (sub->command && optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    o->command = argv + optind;
    if (!sub->command && optind < argc)
        return cli_usage("%s: one name is enough", argv[optind]);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cgroup_options o = {.interval_ms = 1000};
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    const struct sub *sub = argc > 1 ? find_sub(argv[1]) : NULL;

    if (help)
        return cli_help(&verb_cgroup);
    if (sub == NULL)
        return cli_usage("%s: create, set, exec, watch, ls, freeze, thaw, kill or delete",
                         argc > 1 ? argv[1] : "nothing");
    int code = parse(&o, sub, argc - 1, argv + 1, &help);
    if (help)
        return cli_help(&verb_cgroup);
    return code == CLI_OK ? sub->run(&o) : code;
}
