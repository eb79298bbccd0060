/* SPDX-License-Identifier: MIT */
/* Reads bubblewrap's options. What they mean together is bwrap-rules.c's. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bwrap.h"
#include "input.h"
#include "value.h"

enum option {
    ARGS = 1,
    ARGV0,
    LEVEL_PREFIX,
    UNSHARE_ALL,
    UNSHARE_USER,
    UNSHARE_USER_TRY,
    UNSHARE_IPC,
    UNSHARE_PID,
    UNSHARE_NET,
    UNSHARE_UTS,
    UNSHARE_CGROUP,
    UNSHARE_CGROUP_TRY,
    SHARE_NET,
    CHDIR,
    DISABLE_USERNS,
    ASSERT_USERNS_DISABLED,
    LABEL,
    LOCK_FILE,
    SYNC_FD,
    BLOCK_FD,
    USERNS_BLOCK_FD,
    INFO_FD,
    JSON_STATUS_FD,
    SECCOMP,
    ADD_SECCOMP_FD,
    USERNS,
    USERNS2,
    PIDNS,
    CLEARENV,
    SETENV,
    UNSETENV,
    SET_UID,
    SET_GID,
    HOSTNAME,
    NEW_SESSION,
    DIE_WITH_PARENT,
    AS_PID_1,
    CAP_ADD,
    CAP_DROP,
};

static const struct entry {
    const char *name;
    enum option option;
    int values;
} entries[] = {
    {"args", ARGS, 1},
    {"argv0", ARGV0, 1},
    {"level-prefix", LEVEL_PREFIX, 0},
    {"unshare-all", UNSHARE_ALL, 0},
    {"unshare-user", UNSHARE_USER, 0},
    {"unshare-user-try", UNSHARE_USER_TRY, 0},
    {"unshare-ipc", UNSHARE_IPC, 0},
    {"unshare-pid", UNSHARE_PID, 0},
    {"unshare-net", UNSHARE_NET, 0},
    {"unshare-uts", UNSHARE_UTS, 0},
    {"unshare-cgroup", UNSHARE_CGROUP, 0},
    {"unshare-cgroup-try", UNSHARE_CGROUP_TRY, 0},
    {"share-net", SHARE_NET, 0},
    {"chdir", CHDIR, 1},
    {"disable-userns", DISABLE_USERNS, 0},
    {"assert-userns-disabled", ASSERT_USERNS_DISABLED, 0},
    {"exec-label", LABEL, 1},
    {"file-label", LABEL, 1},
    {"lock-file", LOCK_FILE, 1},
    {"sync-fd", SYNC_FD, 1},
    {"block-fd", BLOCK_FD, 1},
    {"userns-block-fd", USERNS_BLOCK_FD, 1},
    {"info-fd", INFO_FD, 1},
    {"json-status-fd", JSON_STATUS_FD, 1},
    {"seccomp", SECCOMP, 1},
    {"add-seccomp-fd", ADD_SECCOMP_FD, 1},
    {"userns", USERNS, 1},
    {"userns2", USERNS2, 1},
    {"pidns", PIDNS, 1},
    {"clearenv", CLEARENV, 0},
    {"setenv", SETENV, 2},
    {"unsetenv", UNSETENV, 1},
    {"uid", SET_UID, 1},
    {"gid", SET_GID, 1},
    {"hostname", HOSTNAME, 1},
    {"new-session", NEW_SESSION, 0},
    {"die-with-parent", DIE_WITH_PARENT, 0},
    {"as-pid-1", AS_PID_1, 0},
    {"cap-add", CAP_ADD, 1},
    {"cap-drop", CAP_DROP, 1},
};

static const struct entry *find(const char *name)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

static bool own(struct bwrap_options *o, void *memory)
{
    return list_own(&o->owned, memory);
}

static enum bwrap_parsed
parse(struct bwrap_options *o, int *at, int argc, const char **argv, bool in_file);

/* Options, separated by NUL; a command may not be among them. */
static enum bwrap_parsed parse_file(struct bwrap_options *o, const char *text)
{
    size_t length, count = 0;
    int at = 0, fd = mount_option_fd(&o->mounts, text);
    if (fd < 0)
        return bwrap_bad("%s", o->mounts.problem);
    char *data = input_read(fd, &length);
    if (data == NULL)
        return bwrap_bad("Can't read --args data: %s", strerror(errno));
    for (size_t i = 0; i < length; i += strlen(data + i) + 1)
        count++;
    const char **argv = calloc(count + 1, sizeof *argv);
    if (!own(o, data) || !own(o, argv))
        return bwrap_bad("out of memory");
    count = 0;
    for (size_t i = 0; i < length; i += strlen(data + i) + 1)
        argv[count++] = data + i;
    return parse(o, &at, (int)count, argv, true);
}

static enum bwrap_parsed add_filter(struct bwrap_options *o, int fd)
{
    struct sbx_filter filter;
    char *code = input_read(fd, &filter.length);
    if (code == NULL)
        return bwrap_bad("Can't read seccomp data: %s", strerror(errno));
    filter.code = code;
    if (!own(o, code) || !list_push(&o->filters, &filter, sizeof filter))
        return bwrap_bad("out of memory");
    if (filter.length % 8 != 0)
        return bwrap_bad("Invalid seccomp data, must be multiple of 8");
    return BWRAP_RUN;
}

static void only_last(const char *name, bool given)
{
    if (given)
        bwrap_say(4, "Only the last --%s option will take effect", name);
}

static enum bwrap_parsed
set_fd(struct bwrap_options *o, const char *name, const char *text, int *ret)
{
    only_last(name, *ret >= 0);
    *ret = mount_option_fd(&o->mounts, text);
    return *ret < 0 ? bwrap_bad("%s", o->mounts.problem) : BWRAP_RUN;
}

static enum bwrap_parsed
set_seccomp(struct bwrap_options *o, const struct entry *entry, const char *text)
{
    int fd = -1;
    if (entry->option == SECCOMP && o->stacked)
        return bwrap_bad("--seccomp cannot be combined with --add-seccomp-fd");
    if (entry->option == ADD_SECCOMP_FD && o->seccomp >= 0)
        return bwrap_bad("--add-seccomp-fd cannot be combined with --seccomp");
    if (entry->option == SECCOMP) /* the last one counts, so it is read at the end */
        return set_fd(o, entry->name, text, &o->seccomp);
    o->stacked = true;
    enum bwrap_parsed r = set_fd(o, entry->name, text, &fd);
    return r == BWRAP_RUN ? add_filter(o, fd) : r;
}

static enum bwrap_parsed set_id(const char *name, const char *text, uint32_t *ret)
{
    unsigned long value;
    only_last(name, *ret != UINT32_MAX);
    if (parse_number(text, 0, INT_MAX, &value) < 0)
        return bwrap_bad("Invalid %s: %s", name, text);
    *ret = (uint32_t)value;
    return BWRAP_RUN;
}

static enum bwrap_parsed set_cap(struct bwrap_options *o, const char *text, bool add)
{
    unsigned bit = 0;
    bool all = strcasecmp(text, "ALL") == 0;
    if (!all && sbx_cap_parse(text, &bit) < 0)
        return bwrap_bad("unknown cap: %s", text);
    uint64_t mask = all ? UINT64_MAX : UINT64_C(1) << bit;
    o->caps_given = true;
    o->spec.caps = add ? o->spec.caps | mask : o->spec.caps & ~mask;
    return BWRAP_RUN;
}

static void set_text(const char *name, const char *text, const char **ret)
{
    only_last(name, *ret != NULL);
    *ret = text;
}

static enum bwrap_parsed set_env(enum option option, const char *const *v)
{
    int r = option == CLEARENV ? clearenv()
            : option == SETENV ? setenv(v[0], v[1], 1)
                               : unsetenv(v[0]);
    return r == 0 ? BWRAP_RUN : bwrap_bad("environment: %s: %s", v[0], strerror(errno));
}

static void unshare_all(struct bwrap_options *o)
{
    o->spec.isolate |= SBX_NS_IPC | SBX_NS_PID | SBX_NS_NET | SBX_NS_UTS;
    o->unshare_user_try = o->unshare_cgroup_try = true;
}

static enum bwrap_parsed
handle(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    static const uint32_t spaces[] = {[UNSHARE_IPC] = SBX_NS_IPC,
                                      [UNSHARE_PID] = SBX_NS_PID,
                                      [UNSHARE_NET] = SBX_NS_NET,
                                      [UNSHARE_UTS] = SBX_NS_UTS,
                                      [UNSHARE_CGROUP] = SBX_NS_CGROUP};
    struct sbx_spec *spec = &o->spec;
    switch (entry->option) {
    case ARGS:
        return parse_file(o, v[0]);
    case ARGV0:
        if (spec->argv0 != NULL)
            return bwrap_bad("--argv0 used multiple times");
        spec->argv0 = v[0];
        return BWRAP_RUN;
    case LEVEL_PREFIX:
        bwrap_set_level_prefix();
        return BWRAP_RUN;
    case UNSHARE_ALL:
        unshare_all(o);
        return BWRAP_RUN;
    case UNSHARE_USER:
        o->unshare_user = true;
        return BWRAP_RUN;
    case UNSHARE_USER_TRY:
        o->unshare_user_try = true;
        return BWRAP_RUN;
    case UNSHARE_IPC:
    case UNSHARE_PID:
    case UNSHARE_NET:
    case UNSHARE_UTS:
    case UNSHARE_CGROUP:
        spec->isolate |= spaces[entry->option];
        return BWRAP_RUN;
    case UNSHARE_CGROUP_TRY:
        o->unshare_cgroup_try = true;
        return BWRAP_RUN;
    case SHARE_NET:
        spec->isolate &= ~(uint32_t)SBX_NS_NET;
        return BWRAP_RUN;
    case CHDIR:
        set_text(entry->name, v[0], &spec->chdir);
        return BWRAP_RUN;
    case DISABLE_USERNS:
        spec->disable_userns = true;
        return BWRAP_RUN;
    case ASSERT_USERNS_DISABLED:
        spec->assert_userns_disabled = true;
        return BWRAP_RUN;
    case LABEL:
        return bwrap_bad("labeling not supported on this system");
    case LOCK_FILE:
        return list_push_text(&o->locks, v[0]) ? BWRAP_RUN : bwrap_bad("out of memory");
    case SYNC_FD:
        return set_fd(o, entry->name, v[0], &spec->sync_fd);
    case BLOCK_FD:
        return set_fd(o, entry->name, v[0], &spec->block_fd);
    case USERNS_BLOCK_FD:
        return set_fd(o, entry->name, v[0], &o->userns_block);
    case INFO_FD:
        return set_fd(o, entry->name, v[0], &o->info);
    case JSON_STATUS_FD:
        return set_fd(o, entry->name, v[0], &o->status);
    case SECCOMP:
    case ADD_SECCOMP_FD:
        return set_seccomp(o, entry, v[0]);
    case USERNS:
        return set_fd(o, entry->name, v[0], &o->userns);
    case USERNS2:
        return set_fd(o, entry->name, v[0], &spec->userns2);
    case PIDNS:
        return set_fd(o, entry->name, v[0], &o->pidns);
    case CLEARENV:
    case SETENV:
    case UNSETENV:
        return set_env(entry->option, v);
    case SET_UID:
        return set_id(entry->name, v[0], &spec->uid);
    case SET_GID:
        return set_id(entry->name, v[0], &spec->gid);
    case HOSTNAME:
        set_text(entry->name, v[0], &spec->hostname);
        return BWRAP_RUN;
    case NEW_SESSION:
        spec->new_session = true;
        return BWRAP_RUN;
    case DIE_WITH_PARENT:
        spec->die_with_parent = true;
        return BWRAP_RUN;
    case AS_PID_1:
        spec->as_pid1 = true;
        return BWRAP_RUN;
    case CAP_ADD:
    case CAP_DROP:
        return set_cap(o, v[0], entry->option == CAP_ADD);
    }
    return BWRAP_BAD;
}

/* One option, its values behind it; *@at moves on. */
static enum bwrap_parsed
parse_option(struct bwrap_options *o, int *at, int argc, const char **argv, bool in_file)
{
    static const char *const takes[] = {"", "one argument", "two arguments", "three arguments"};
    bool is_long = strncmp(argv[*at], "--", 2) == 0;
    const char *name = is_long ? argv[*at] + 2 : ""; /* "-" ends before its third character */
    const struct entry *entry = find(name);
    int values = entry ? entry->values : mount_option_values(name);
    if (!entry && values == 0)
        return bwrap_bad("Unknown option %s", argv[*at]);
    if (argc - *at <= values)
        return bwrap_bad("--%s takes %s", name, takes[values]);
    if (in_file && entry && entry->option == ARGS)
        return bwrap_bad("--args not supported in arguments file");
    const char *const *v = argv + *at + 1;
    *at += values + 1;
    enum bwrap_parsed r = entry ? handle(o, entry, v) : BWRAP_RUN;
    if (r != BWRAP_RUN)
        return r;
    return mount_option(&o->mounts, name, entry ? NULL : v) ? BWRAP_RUN
                                                            : bwrap_bad("%s", o->mounts.problem);
}

static enum bwrap_parsed
parse(struct bwrap_options *o, int *at, int argc, const char **argv, bool in_file)
{
    enum bwrap_parsed r = BWRAP_RUN;
    while (r == BWRAP_RUN && *at < argc && argv[*at][0] == '-') {
        if (strcmp(argv[*at], "--help") == 0)
            return BWRAP_HELP;
        if (strcmp(argv[*at], "--version") == 0)
            return BWRAP_VERSION;
        if (strcmp(argv[*at], "--") == 0) {
            (*at)++;
            break;
        }
        r = parse_option(o, at, argc, argv, in_file);
    }
    return r;
}

enum bwrap_parsed bwrap_parse(struct bwrap_options *o, int argc, const char **argv)
{
    int at = 0;
    *o = (struct bwrap_options){.spec = SBX_SPEC_INIT, .mounts = MOUNT_OPTIONS_INIT};
    o->mounts.bwrap = o->spec.bwrap = true;
    o->spec.name = "bwrap";
    o->spec.root = SBX_ROOT_EMPTY;
    o->spec.isolate = SBX_NS_MOUNT;
    o->userns = o->pidns = o->info = o->status = o->userns_block = o->seccomp = -1;
    for (int i = 0; i < 3; i++)
        o->spec.stdio[i] = i;
    bwrap_begin_caps(&o->spec);
    enum bwrap_parsed r = parse(o, &at, argc, argv, false);
    if (r == BWRAP_RUN && !mount_options_end(&o->mounts))
        r = bwrap_bad("%s", o->mounts.problem);
    if (r != BWRAP_RUN)
        return r;
    if (at >= argc)
        return BWRAP_NO_COMMAND;
    o->spec.argv = argv + at;
    if (o->seccomp >= 0 && (r = add_filter(o, o->seccomp)) != BWRAP_RUN)
        return r;
    return bwrap_finish(o);
}

void bwrap_options_free(struct bwrap_options *o)
{
    list_free_owned(&o->owned);
    free(o->filters.items);
    free(o->joins.items);
    free(o->locks.items);
    free(o->keep.items);
    mount_options_free(&o->mounts);
}
