/* SPDX-License-Identifier: MIT */
/* Reads bubblewrap's options. What they mean together is bwrap-rules.c's. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bwrap.h"
#include "input.h"
#include "value.h"

struct entry;

typedef enum bwrap_parsed
taker(struct bwrap_options *o, const struct entry *entry, const char *const *values);

struct entry {
    const char *name;
    int values;
    taker *take;
    size_t at; /* what most of them set: offset of the field in struct bwrap_options */
    uint32_t bits;
};

static bool own(struct bwrap_options *o, void *memory)
{
    return list_own(&o->owned, memory);
}

static enum bwrap_parsed
parse(struct bwrap_options *o, int *at, int argc, const char **argv, bool in_file);

/* Options, separated by NUL; a command may not be among them. */
static enum bwrap_parsed
take_args(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)entry;
    size_t length, count = 0;
    int at = 0, fd = mount_option_fd(&o->mounts, v[0]);
    if (fd < 0)
        return bwrap_bad("%s", o->mounts.problem);
    char *data = input_read(fd, INPUT_ARGUMENTS, &length);
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
    char *code = input_read(fd, INPUT_FILTER, &filter.length);
    if (code == NULL)
        return bwrap_bad("Can't read seccomp data: %s", strerror(errno));
    filter.code = code;
    if (!own(o, code) || !list_push(&o->filters, &filter, sizeof filter))
        return bwrap_bad("out of memory");
    if (filter.length % 8 != 0)
        return bwrap_bad("Invalid seccomp data, must be multiple of 8");
    return BWRAP_RUN;
}

/* ---- what several options do, each with its own field ---- */

static void *field_of(struct bwrap_options *o, const struct entry *entry)
{
    return (char *)o + entry->at;
}

static void only_last(const struct entry *entry, bool given)
{
    if (given)
        bwrap_say(4, "Only the last --%s option will take effect", entry->name);
}

static enum bwrap_parsed
take_flag(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)v;
    *(bool *)field_of(o, entry) = true;
    return BWRAP_RUN;
}

static enum bwrap_parsed
take_text(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    const char **text = field_of(o, entry);
    only_last(entry, *text != NULL);
    *text = v[0];
    return BWRAP_RUN;
}

/* bubblewrap stands in / when it does this. */
static enum bwrap_parsed
take_chdir(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    char *whole;
    if (v[0][0] == '/')
        return take_text(o, entry, v);
    if (v[0][0] == '\0')
        return bwrap_bad("Can't chdir to : %s", strerror(ENOENT));
    if (asprintf(&whole, "/%s", v[0]) < 0 || !own(o, whole))
        return bwrap_bad("out of memory");
    const char *const values[] = {whole};
    return take_text(o, entry, values);
}

static enum bwrap_parsed
take_fd(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    int *fd = field_of(o, entry);
    only_last(entry, *fd >= 0);
    *fd = mount_option_fd(&o->mounts, v[0]);
    return *fd < 0 ? bwrap_bad("%s", o->mounts.problem) : BWRAP_RUN;
}

static enum bwrap_parsed
take_id(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    uint32_t *id = field_of(o, entry);
    unsigned long value;
    only_last(entry, *id != UINT32_MAX);
    if (parse_number(v[0], 0, INT_MAX, &value) < 0)
        return bwrap_bad("Invalid %s: %s", entry->name, v[0]);
    *id = (uint32_t)value;
    return BWRAP_RUN;
}

static enum bwrap_parsed
take_unshare(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)v;
    o->spec.isolate |= entry->bits;
    return BWRAP_RUN;
}

/* ---- what one option does ---- */

static enum bwrap_parsed
take_unshare_all(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    o->unshare_user_try = o->unshare_cgroup_try = true;
    return take_unshare(o, entry, v);
}

static enum bwrap_parsed
take_share(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)v;
    o->spec.isolate &= ~entry->bits;
    return BWRAP_RUN;
}

static enum bwrap_parsed
take_argv0(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    if (o->spec.argv0 != NULL)
        return bwrap_bad("--argv0 used multiple times");
    return take_text(o, entry, v);
}

static enum bwrap_parsed
take_level_prefix(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)o, (void)entry, (void)v;
    bwrap_set_level_prefix();
    return BWRAP_RUN;
}

static enum bwrap_parsed
take_label(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)o, (void)entry, (void)v;
    return bwrap_bad("labeling not supported on this system");
}

static enum bwrap_parsed
take_lock(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)entry;
    return list_push_text(&o->locks, v[0]) ? BWRAP_RUN : bwrap_bad("out of memory");
}

/* The last one counts, so it is read at the end. */
static enum bwrap_parsed
take_seccomp(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    if (o->stacked)
        return bwrap_bad("--seccomp cannot be combined with --add-seccomp-fd");
    return take_fd(o, entry, v);
}

static enum bwrap_parsed
take_add_seccomp(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)entry;
    if (o->seccomp >= 0)
        return bwrap_bad("--add-seccomp-fd cannot be combined with --seccomp");
    o->stacked = true;
    int fd = mount_option_fd(&o->mounts, v[0]);
    if (fd < 0)
        return bwrap_bad("%s", o->mounts.problem);
    return add_filter(o, fd);
}

static enum bwrap_parsed
take_clearenv(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)o, (void)entry, (void)v;
    return clearenv() == 0 ? BWRAP_RUN : bwrap_bad("environment: %s", strerror(errno));
}

static enum bwrap_parsed
take_setenv(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)o, (void)entry;
    return setenv(v[0], v[1], 1) == 0 ? BWRAP_RUN
                                      : bwrap_bad("environment: %s: %s", v[0], strerror(errno));
}

static enum bwrap_parsed
take_unsetenv(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)o, (void)entry;
    return unsetenv(v[0]) == 0 ? BWRAP_RUN
                               : bwrap_bad("environment: %s: %s", v[0], strerror(errno));
}

static enum bwrap_parsed parse_caps(const char *text, uint64_t *ret_mask)
{
    unsigned bit = 0;
    bool all = strcasecmp(text, "ALL") == 0;
    if (!all && sbx_cap_parse(text, &bit) < 0)
        return bwrap_bad("unknown cap: %s", text);
    *ret_mask = all ? UINT64_MAX : UINT64_C(1) << bit;
    return BWRAP_RUN;
}

static enum bwrap_parsed
take_cap_add(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)entry;
    uint64_t mask = 0;
    enum bwrap_parsed r = parse_caps(v[0], &mask);
    o->caps_given = true;
    o->spec.caps |= mask;
    return r;
}

static enum bwrap_parsed
take_cap_drop(struct bwrap_options *o, const struct entry *entry, const char *const *v)
{
    (void)entry;
    uint64_t mask = 0;
    enum bwrap_parsed r = parse_caps(v[0], &mask);
    o->caps_given = true;
    o->spec.caps &= ~mask;
    return r;
}

#define AT(field) offsetof(struct bwrap_options, field)

static const struct entry entries[] = {
    {"args", 1, take_args, 0, 0},
    {"argv0", 1, take_argv0, AT(spec.argv0), 0},
    {"level-prefix", 0, take_level_prefix, 0, 0},
    {"unshare-all", 0, take_unshare_all, 0, SBX_NS_IPC | SBX_NS_PID | SBX_NS_NET | SBX_NS_UTS},
    {"unshare-user", 0, take_flag, AT(unshare_user), 0},
    {"unshare-user-try", 0, take_flag, AT(unshare_user_try), 0},
    {"unshare-ipc", 0, take_unshare, 0, SBX_NS_IPC},
    {"unshare-pid", 0, take_unshare, 0, SBX_NS_PID},
    {"unshare-net", 0, take_unshare, 0, SBX_NS_NET},
    {"unshare-uts", 0, take_unshare, 0, SBX_NS_UTS},
    {"unshare-cgroup", 0, take_unshare, 0, SBX_NS_CGROUP},
    {"unshare-cgroup-try", 0, take_flag, AT(unshare_cgroup_try), 0},
    {"share-net", 0, take_share, 0, SBX_NS_NET},
    {"chdir", 1, take_chdir, AT(spec.chdir), 0},
    {"disable-userns", 0, take_flag, AT(spec.disable_userns), 0},
    {"assert-userns-disabled", 0, take_flag, AT(spec.assert_userns_disabled), 0},
    {"exec-label", 1, take_label, 0, 0},
    {"file-label", 1, take_label, 0, 0},
    {"lock-file", 1, take_lock, 0, 0},
    {"sync-fd", 1, take_fd, AT(spec.sync_fd), 0},
    {"block-fd", 1, take_fd, AT(spec.block_fd), 0},
    {"userns-block-fd", 1, take_fd, AT(userns_block), 0},
    {"info-fd", 1, take_fd, AT(info), 0},
    {"json-status-fd", 1, take_fd, AT(status), 0},
    {"seccomp", 1, take_seccomp, AT(seccomp), 0},
    {"add-seccomp-fd", 1, take_add_seccomp, 0, 0},
    {"userns", 1, take_fd, AT(userns), 0},
    {"userns2", 1, take_fd, AT(spec.userns2), 0},
    {"pidns", 1, take_fd, AT(pidns), 0},
    {"clearenv", 0, take_clearenv, 0, 0},
    {"setenv", 2, take_setenv, 0, 0},
    {"unsetenv", 1, take_unsetenv, 0, 0},
    {"uid", 1, take_id, AT(spec.uid), 0},
    {"gid", 1, take_id, AT(spec.gid), 0},
    {"hostname", 1, take_text, AT(spec.hostname), 0},
    {"new-session", 0, take_flag, AT(spec.new_session), 0},
    {"die-with-parent", 0, take_flag, AT(spec.die_with_parent), 0},
    {"as-pid-1", 0, take_flag, AT(spec.as_pid1), 0},
    {"cap-add", 1, take_cap_add, 0, 0},
    {"cap-drop", 1, take_cap_drop, 0, 0},
};

static const struct entry *find(const char *name)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

/* One option, its values behind it; *@at moves on. */
static enum bwrap_parsed
parse_option(struct bwrap_options *o, int *at, int argc, const char **argv, bool in_file)
{
    static const char *const takes[] = {"", "an argument", "two arguments", "three arguments"};
    bool is_long = strncmp(argv[*at], "--", 2) == 0;
    const char *name = is_long ? argv[*at] + 2 : ""; /* "-" ends before its third character */
    const struct entry *entry = find(name);
    int values = entry ? entry->values : mount_option_values(name);
    if (!entry && values == 0)
        return bwrap_bad("Unknown option %s", argv[*at]);
    if (argc - *at <= values)
        return bwrap_bad("--%s takes %s", name, takes[values]);
    if (in_file && entry && entry->take == take_args)
        return bwrap_bad("--args not supported in arguments file");
    const char *const *v = argv + *at + 1;
    *at += values + 1;
    enum bwrap_parsed r = entry ? entry->take(o, entry, v) : BWRAP_RUN;
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
