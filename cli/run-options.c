/* SPDX-License-Identifier: MIT */
/* From the command line of `uds run` to a struct sbx_spec. Options that take two values, as bubblewrap's do, take the
 * second one out of argv by hand. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "confine-options.h"
#include "controls.h"
#include "env-options.h"
#include "foreign-options.h"
#include "layer-options.h"
#include "namespace-options.h"
#include "notify-options.h"
#include "options.h"
#include "path.h"
#include "profile-option.h"
#include "run.h"
#include "secret-option.h"
#include "verbs.h"

enum {
    GRACE_MS = 2000
};

enum run_option {
    OPT_ROOT = 256,
    OPT_JAIL,
    OPT_MOUNT,     /* one of mount-options.h */
    OPT_NAMESPACE, /* one of namespace-options.h */
    OPT_LAYER,     /* one of layer-options.h */
    OPT_SECRET,
    OPT_PROFILE,
    OPT_CONFINE, /* one of confine-options.h */
    OPT_ENV,     /* one of env-options.h */
    OPT_RLIMIT,
    OPT_SHARE_USER,
    OPT_SHARE_MOUNT,
    OPT_SHARE_PID,
    OPT_SHARE_NET,
    OPT_SHARE_IPC,
    OPT_SHARE_UTS,
    OPT_SHARE_CGROUP,
    OPT_FD,
    OPT_LISTEN,
    OPT_NOTIFY, /* one of notify-options.h */
    OPT_CHDIR,
    OPT_HOSTNAME,
    OPT_UID,
    OPT_GID,
    OPT_MASK,
    OPT_DISABLE_USERNS,
    OPT_ASSERT_USERNS_DISABLED,
    OPT_STATS,
    OPT_JSON,
    OPT_DRY_RUN,
    OPT_DEGRADE,
    OPT_ASSERT,
    OPT_HOST_ROOT,
    OPT_CGROUP_PARENT,
    OPT_NO_CGROUP,
    OPT_NAME,
    OPT_RUN_DIR,
};

static const struct option long_options[] = {
    {"root", required_argument, NULL, OPT_ROOT},
    {"jail", required_argument, NULL, OPT_JAIL},
    {"jail-add", required_argument, NULL, OPT_JAIL},
    LAYER_OPTIONS(OPT_LAYER),
    {"secret", required_argument, NULL, OPT_SECRET},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"bind", required_argument, NULL, OPT_MOUNT},
    {"bind-try", required_argument, NULL, OPT_MOUNT},
    {"ro-bind", required_argument, NULL, OPT_MOUNT},
    {"ro-bind-try", required_argument, NULL, OPT_MOUNT},
    {"dev-bind", required_argument, NULL, OPT_MOUNT},
    {"dev-bind-try", required_argument, NULL, OPT_MOUNT},
    {"bind-fd", required_argument, NULL, OPT_MOUNT},
    {"ro-bind-fd", required_argument, NULL, OPT_MOUNT},
    {"remount-ro", required_argument, NULL, OPT_MOUNT},
    {"overlay-src", required_argument, NULL, OPT_MOUNT},
    {"overlay", required_argument, NULL, OPT_MOUNT},
    {"tmp-overlay", required_argument, NULL, OPT_MOUNT},
    {"ro-overlay", required_argument, NULL, OPT_MOUNT},
    {"proc", required_argument, NULL, OPT_MOUNT},
    {"dev", required_argument, NULL, OPT_MOUNT},
    {"tmpfs", required_argument, NULL, OPT_MOUNT},
    {"mqueue", required_argument, NULL, OPT_MOUNT},
    {"dir", required_argument, NULL, OPT_MOUNT},
    {"file", required_argument, NULL, OPT_MOUNT},
    {"bind-data", required_argument, NULL, OPT_MOUNT},
    {"ro-bind-data", required_argument, NULL, OPT_MOUNT},
    {"symlink", required_argument, NULL, OPT_MOUNT},
    {"chmod", required_argument, NULL, OPT_MOUNT},
    {"perms", required_argument, NULL, OPT_MOUNT},
    {"size", required_argument, NULL, OPT_MOUNT},
    CLI_LIMIT_OPTIONS,
    {"rlimit", required_argument, NULL, OPT_RLIMIT},
    {"share-user", no_argument, NULL, OPT_SHARE_USER},
    {"share-mount", no_argument, NULL, OPT_SHARE_MOUNT},
    {"share-pid", no_argument, NULL, OPT_SHARE_PID},
    {"share-net", no_argument, NULL, OPT_SHARE_NET},
    {"share-ipc", no_argument, NULL, OPT_SHARE_IPC},
    {"share-uts", no_argument, NULL, OPT_SHARE_UTS},
    {"share-cgroup", no_argument, NULL, OPT_SHARE_CGROUP},
    NAMESPACE_OPTIONS(OPT_NAMESPACE),
    CONFINE_OPTIONS(OPT_CONFINE),
    ENV_OPTIONS(OPT_ENV),
    {"fd", required_argument, NULL, OPT_FD},
    {"listen", required_argument, NULL, OPT_LISTEN},
    NOTIFY_OPTIONS(OPT_NOTIFY),
    {"chdir", required_argument, NULL, OPT_CHDIR},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"uid", required_argument, NULL, OPT_UID},
    {"gid", required_argument, NULL, OPT_GID},
    CLI_LIFE_OPTIONS,
    {"mask", required_argument, NULL, OPT_MASK},
    {"disable-userns", no_argument, NULL, OPT_DISABLE_USERNS},
    {"assert-userns-disabled", no_argument, NULL, OPT_ASSERT_USERNS_DISABLED},
    {"stats", no_argument, NULL, OPT_STATS},
    {"json", no_argument, NULL, OPT_JSON},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"degrade", required_argument, NULL, OPT_DEGRADE},
    {"assert", no_argument, NULL, OPT_ASSERT},
    {"host-root", no_argument, NULL, OPT_HOST_ROOT},
    {"cgroup-parent", required_argument, NULL, OPT_CGROUP_PARENT},
    {"no-cgroup", no_argument, NULL, OPT_NO_CGROUP},
    {"name", required_argument, NULL, OPT_NAME},
    {"run-dir", required_argument, NULL, OPT_RUN_DIR},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const struct {
    const char *name;
    int resource;
} rlimits[] = {
    {"as", RLIMIT_AS},         {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},     {"fsize", RLIMIT_FSIZE},       {"memlock", RLIMIT_MEMLOCK},
    {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},       {"stack", RLIMIT_STACK},
    {"nice", RLIMIT_NICE},     {"rtprio", RLIMIT_RTPRIO},     {"sigpending", RLIMIT_SIGPENDING},
    {"locks", RLIMIT_LOCKS},   {"msgqueue", RLIMIT_MSGQUEUE}, {"rttime", RLIMIT_RTTIME},
};

static int push(struct run_list *list, const void *item, size_t size)
{
    return list_push(list, item, size) ? CLI_OK : cli_no_memory(RUN_REFUSED);
}

int run_push_text(struct run_list *list, const char *text)
{
    return push(list, &text, sizeof text);
}

char *run_own(struct run_options *o, char *text)
{
    return list_own(&o->owned, text) ? text : NULL;
}

static int bad(const char *option, const char *value, const char *why)
{
    return cli_usage("--%s %s: %s", option, value, why);
}

/* The second value of an option that has two. */
static const char *second(int argc, char **argv)
{
    return optind < argc && strcmp(argv[optind], "--") != 0 ? argv[optind++] : NULL;
}

/* The first value is optarg, the others are taken out of argv. */
static int add_mount(struct run_options *o, const char *name, int argc, char **argv)
{
    const char *values[3] = {optarg};
    int count = mount_option_values(name);
    for (int i = 1; i < count; i++)
        if ((values[i] = second(argc, argv)) == NULL)
            return bad(name, optarg, count == 2 ? "needs two values" : "needs three values");
    return mount_option(&o->mounts, name, values) ? CLI_OK : cli_usage("%s", o->mounts.problem);
}

static int add_env(struct run_options *o, const char *name, int argc, char **argv)
{
    const char *value = optarg;
    return run_env_option(o, name, value, strcmp(name, "setenv") == 0 ? second(argc, argv) : NULL);
}

static int parse_rlimit_value(const char *text, const char *end, uint64_t *ret)
{
    char value[32];
    if (end - text <= 0 || (size_t)(end - text) >= sizeof value)
        return -EINVAL;
    memcpy(value, text, (size_t)(end - text));
    value[end - text] = '\0';
    if (strcmp(value, "unlimited") == 0) {
        *ret = RLIM_INFINITY;
        return 0;
    }
    return sbx_parse_bytes(value, ret);
}

static int add_rlimit(struct run_options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t i = 0, n = sizeof rlimits / sizeof rlimits[0];
    while (equals && i < n &&
           (strlen(rlimits[i].name) != (size_t)(equals - text) ||
            strncmp(rlimits[i].name, text, (size_t)(equals - text)) != 0))
        i++;
    if (!equals || i == n)
        return bad(
            "rlimit", text,
            "is not NAME=SOFT[:HARD] with a NAME of as, core, cpu, data, fsize, locks, memlock, "
            "msgqueue, nice, nofile, nproc, rtprio, rttime, sigpending, stack");
    const char *colon = strchr(equals, ':'), *end = text + strlen(text);
    struct sbx_rlimit limit = {.resource = rlimits[i].resource};
    int r = parse_rlimit_value(equals + 1, colon ? colon : end, &limit.soft);
    limit.hard = limit.soft;
    if (r == 0 && colon)
        r = parse_rlimit_value(colon + 1, end, &limit.hard);
    if (r < 0 || limit.soft > limit.hard)
        return bad("rlimit", text,
                   "the values are numbers (K, M, G) or \"unlimited\", SOFT at most HARD");
    struct sbx_rlimit *all = o->rlimits.items;
    for (size_t k = 0; k < o->rlimits.count; k++)
        if (all[k].resource == limit.resource) { /* set in turn, the first would bound the second */
            all[k] = limit;
            return CLI_OK;
        }
    return push(&o->rlimits, &limit, sizeof limit);
}

static int add_fd(struct run_options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    unsigned long number;
    if (!equals || equals == text || strchr(text, ':') || equals - text > 255 ||
        parse_number(equals + 1, 0, INT_MAX, &number) < 0)
        return bad("fd", text, "is not NAME=N, N the number of an open descriptor");
    if (fcntl((int)number, F_GETFD) < 0)
        return bad("fd", text, "is not open here; open it in the shell, as in `uds run … 5<file`");
    char *name = run_own(o, strndup(text, (size_t)(equals - text)));
    if (name == NULL)
        return cli_no_memory(RUN_REFUSED);
    struct sbx_named_fd fd = {.name = name, .fd = (int)number};
    return push(&o->fds, &fd, sizeof fd);
}

static int set_id(const char *option, const char *text, uint32_t *ret)
{
    unsigned long value;
    if (parse_number(text, 0, UINT32_MAX - 1, &value) < 0) /* what is to be had the library knows */
        return bad(option, text, "is not the number of an id");
    *ret = (uint32_t)value;
    return CLI_OK;
}

static int set_root(struct run_options *o, const char *text)
{
    bool host = strcmp(text, "host") == 0;
    if (host || strcmp(text, "empty") == 0) {
        if (o->jail.count > 0)
            return bad("root", text, "contradicts --jail and --jail-add");
        o->other_root = text;
        o->spec.root = host ? SBX_ROOT_HOST_RO : SBX_ROOT_EMPTY;
    } else if (strcmp(text, "jail") == 0) {
        o->other_root = NULL;
        o->spec.root = SBX_ROOT_JAIL;
    } else if (strchr(text, '/') != NULL)
        return run_set_base(o, text);
    else
        return bad("root", text,
                   "is not host, jail, empty or a directory with a slash in its name");
    return CLI_OK;
}

static int add_jail(struct run_options *o, const char *name, const char *path)
{
    if (o->other_root)
        return cli_usage("--%s %s: contradicts --root %s", name, path, o->other_root);
    o->spec.root = SBX_ROOT_JAIL;
    if (path[0] == '/' || path[0] == '@')
        return run_push_text(&o->jail, path);
    bool program = strcmp(name, "jail") == 0 && strchr(path, '/') == NULL;
    char *whole = program ? path_program(path) : realpath(path, NULL);
    if (whole == NULL)
        return bad(name, path,
                   program ? "there is no such program in the usual directories" : strerror(errno));
    whole = run_own(o, whole);
    return whole ? run_push_text(&o->jail, whole) : cli_no_memory(RUN_REFUSED);
}

/* What is not there needs no hiding, so a pattern would hide nothing and say nothing. */
static int add_mask(struct run_options *o, const char *path)
{
    if (strpbrk(path, "*?[") && access(path, F_OK) < 0)
        return cli_usage("--mask %s: is a pattern, and patterns are not expanded here; name each "
                         "path, by a --mask of its own",
                         path);
    return run_push_text(&o->masks, path);
}

static int bad_word(int c, char **argv)
{
    const char *word = argv[optind - 1], *hint = c == '?' ? foreign_option_hint(word) : NULL;
    return hint ? cli_usage("%.*s: %s", (int)strcspn(word, "="), word, hint)
                : cli_bad_option(c, argv);
}

/* Options that need more than a store. */
static int handle_value(struct run_options *o, int c, const char *name, char **argv)
{
    switch (c) {
    case OPT_ROOT:
        return set_root(o, optarg);
    case OPT_JAIL:
        return add_jail(o, name, optarg);
    case OPT_RLIMIT:
        return add_rlimit(o, optarg);
    case OPT_FD:
        return add_fd(o, optarg);
    case OPT_LISTEN:
        return run_add_listen(o, optarg);
    case OPT_UID:
        return set_id("uid", optarg, &o->spec.uid);
    case OPT_GID:
        return set_id("gid", optarg, &o->spec.gid);
    case OPT_MASK:
        return add_mask(o, optarg);
    case OPT_DEGRADE:
        return cli_add_degrade(&o->spec.degrade, UINT32_MAX, optarg);
    default:
        return bad_word(c, argv);
    }
}

static int handle(struct run_options *o, int c, const char *name, char **argv)
{
    static const uint32_t shared[] = {SBX_NS_USER, SBX_NS_MOUNT, SBX_NS_PID,   SBX_NS_NET,
                                      SBX_NS_IPC,  SBX_NS_UTS,   SBX_NS_CGROUP};
    if (c >= OPT_SHARE_USER && c <= OPT_SHARE_CGROUP) {
        o->spec.isolate &= ~shared[c - OPT_SHARE_USER];
        o->shared |= shared[c - OPT_SHARE_USER];
        return CLI_OK;
    }
    const struct {
        int c;
        const char **text;
    } texts[] = {{OPT_CHDIR, &o->spec.chdir},
                 {OPT_HOSTNAME, &o->spec.hostname},
                 {OPT_CGROUP_PARENT, &o->spec.cgroup_parent},
                 {OPT_NAME, &o->spec.name},
                 {OPT_RUN_DIR, &o->run_dir}};
    const struct {
        int c;
        bool *flag;
    } flags[] = {{OPT_STATS, &o->stats},
                 {OPT_JSON, &o->json},
                 {OPT_DRY_RUN, &o->dry_run},
                 {OPT_ASSERT, &o->spec.assert_all},
                 {OPT_HOST_ROOT, &o->spec.host_root},
                 {OPT_NO_CGROUP, &o->spec.no_cgroup},
                 {OPT_DISABLE_USERNS, &o->spec.disable_userns},
                 {OPT_ASSERT_USERNS_DISABLED, &o->spec.assert_userns_disabled}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (c == texts[i].c) {
            *texts[i].text = optarg;
            return CLI_OK;
        }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (c == flags[i].c) {
            *flags[i].flag = true;
            return CLI_OK;
        }
    return handle_value(o, c, name, argv);
}

/* The host's, and one that exists: which? */
static int check_shared(const struct run_options *o)
{
    const struct sbx_join *joins = o->joins.items;
    for (size_t i = 0; i < o->joins.count; i++)
        if (o->shared & (uint32_t)joins[i].ns)
            return cli_usage("--share-%s: contradicts --join %s",
                             sbx_ns_name((uint32_t)joins[i].ns),
                             sbx_ns_name((uint32_t)joins[i].ns));
    if ((o->shared & SBX_NS_NET) && o->spec.net.kind == SBX_NET_NETNS)
        return cli_usage("--share-net: contradicts --net netns:%s", o->spec.net.netns);
    return CLI_OK;
}

static int finish(struct run_options *o, int argc, char **argv)
{
    char **command = optind < argc ? argv + optind : o->profile_argv;
    if (command == NULL || *command == NULL)
        return cli_usage("no command: name one after --");
    o->spec.argv = (const char *const *)command;
    if (o->spec.host_root)
        o->spec.isolate &= ~(uint32_t)SBX_NS_USER;
    int r = check_shared(o);
    if (r == CLI_OK)
        r = run_command_find(o, command);
    if (r == CLI_OK)
        r = run_env_finish(o);
    if (r == CLI_OK)
        r = run_end_layers(o);
    if (r == CLI_OK)
        r = run_open_secrets(o);
    run_confine_finish(o);
    o->spec.jail = o->jail.items;
    o->spec.masks = o->masks.items;
    o->spec.run_dir = o->run_dir;
    o->spec.env = o->env.items;
    o->spec.mounts = o->mounts.mounts.items;
    o->spec.nmounts = o->mounts.mounts.count;
    o->spec.rlimits = o->rlimits.items;
    o->spec.nrlimits = o->rlimits.count;
    o->spec.fds = o->fds.items;
    o->spec.nfds = o->fds.count;
    o->spec.joins = o->joins.items;
    o->spec.njoins = o->joins.count;
    return r;
}

static int read_options(struct run_options *o, int argc, char **argv, bool *ret_help);

/* As if its options stood in its place; those that follow override them. Its command waits for none to be given. */
static int read_profile(struct run_options *o, bool *ret_help)
{
    char **argv;
    int argc, ours = optind;
    if (o->profile_argv != NULL)
        return cli_usage("--profile: one is enough");
    int r = run_load_profile(o, optarg, &argv, &argc);
    if (r != CLI_OK)
        return r;
    o->profile_argv = argv;
    optind = 0; /* glibc: from the beginning */
    r = read_options(o, argc, argv, ret_help);
    o->profile_argv = argv + optind;
    optind = ours;
    return r;
}

static int read_options(struct run_options *o, int argc, char **argv, bool *ret_help)
{
    int c, index = 0;
    while ((c = getopt_long(argc, argv, "+:ht", long_options, &index)) != -1) {
        if (c == 'h') {
            *ret_help = true;
            return CLI_OK;
        }
        const char *name = c == 't' ? "pty" : long_options[index].name;
        int r = c == '?' || c == ':' ? CLI_OK : cli_check_name(name, argv);
        if (r != CLI_OK)
            return r;
        r = c == CLI_OPT_LIFE || c == 't' ? life_option(&o->life, &o->spec, name, optarg)
            : c == CLI_OPT_LIMIT          ? cli_set_limit(&o->spec.limits, name, optarg)
            : c == OPT_MOUNT              ? add_mount(o, name, argc, argv)
            : c == OPT_NAMESPACE          ? run_namespace_option(o, name, optarg)
            : c == OPT_CONFINE            ? run_confine_option(o, name, optarg)
            : c == OPT_ENV                ? add_env(o, name, argc, argv)
            : c == OPT_LAYER              ? run_layer_option(o, name, optarg)
            : c == OPT_SECRET             ? run_add_secret(o, optarg)
            : c == OPT_PROFILE            ? read_profile(o, ret_help)
            : c == OPT_NOTIFY             ? run_notify_option(o, name, optarg)
                                          : handle(o, c, name, argv);
        if (r != CLI_OK)
            return r;
    }
    return CLI_OK;
}

int run_options_parse(struct run_options *o, int argc, char **argv, bool *ret_help)
{
    *ret_help = false;
    *o = (struct run_options){
        .spec = SBX_SPEC_INIT, .mounts = MOUNT_OPTIONS_INIT, .life = LIFE_OPTIONS_INIT};
    o->spec.grace_ms = -1;
    for (int i = 0; i < 3; i++)
        o->spec.stdio[i] = i;
    int r = read_options(o, argc, argv, ret_help);
    if (r != CLI_OK || *ret_help)
        return r;
    if (o->spec.grace_ms < 0)
        o->spec.grace_ms = GRACE_MS;
    else if (o->spec.timeout_ms < 0)
        return cli_usage("--grace: it is the time between a timeout's SIGTERM and the kill; name "
                         "--timeout too");
    if (!mount_options_end(&o->mounts))
        return cli_usage("%s", o->mounts.problem);
    if (!o->stats && !o->json && o->life.status < 0)
        /* Nobody is told; but what has a name may be given limits by it, and those of memory count from the start on v1. */
        o->spec.counting = o->spec.name ? SBX_COUNT_BRIEFLY : SBX_COUNT_LITTLE;
    r = life_options_end(&o->life, &o->spec);
    return r == CLI_OK ? finish(o, argc, argv) : r;
}

void run_options_free(struct run_options *o)
{
    const struct sbx_join *joins = o->joins.items;
    for (size_t i = 0; i < o->joins.count; i++)
        (void)close(joins[i].fd);
    free(o->joins.items);
    list_free_owned(&o->owned);
    run_listen_free(o);
    mount_options_free(&o->mounts);
    confine_options_free(&o->confine);
    free(o->jail.items);
    free(o->layers.items);
    run_free_secrets(o);
    free(o->masks.items);
    free(o->env.items);
    free(o->rlimits.items);
    free(o->fds.items);
}
