/* SPDX-License-Identifier: MIT */
/*
 * Launch: what a stack entry asks for, in the words of libuds-sandbox.
 *
 * Beyond the entry every sandbox gets: its listener directory at /run/uds, read-only; the
 * pre-connected link as UDS_BROKER and the redial end as UDS_BROKER_REDIAL; the file limit that the
 * broker itself was started with. The sockets for the host's peers are hidden from it, wherever they
 * lie: through them a sandbox with the broker's own uid would be taken for the broker's user. Where
 * files may be received read-only, Landlock must keep the payload from opening them again for
 * writing; elsewhere that is not demanded of the kernel.
 */
#include "launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include <uds/fdset.h>

#include "trust.h"

static int refuse(struct sbx_error *error,
                  const struct stack *stack,
                  const struct stack_sandbox *entry,
                  const char *key,
                  const char *path,
                  int err,
                  const char *why)
{
    error->err = err;
    snprintf(error->text, sizeof(error->text),
             "sandbox %s: %s: %.300s: %s: correct sandboxes.%s.%s in %.300s:%u", entry->name, key,
             path, why, entry->name, key, stack->file ? stack->file : "", entry->line);
    return -err;
}

void launch_name_sandbox(const struct stack_sandbox *entry, struct sbx_error *error)
{
    char text[sizeof(error->text)];

    if (strncmp(error->text, "sandbox ", strlen("sandbox ")) == 0)
        return;
    snprintf(text, sizeof(text), "sandbox %s: %.900s", entry->name, error->text);
    memcpy(error->text, text, sizeof(text));
}

static bool is_jailed(const struct stack_sandbox *entry, const char *path)
{
    for (size_t i = 0; i < entry->jail.n; i++)
        if (strcmp(entry->jail.v[i], path) == 0)
            return true;
    return false;
}

/* Who may write it decides what the sandbox may do. */
static int
check_policy(const struct stack *stack, const struct stack_sandbox *entry, struct sbx_error *error)
{
    const char *path = entry->confine.seccomp_file, *wrong;
    struct stat st;

    if (!path)
        return 0;
    if (stat(path, &st) < 0)
        return refuse(error, stack, entry, "seccomp", path, errno, strerror(errno));
    wrong = trust_judge(st.st_uid, st.st_mode, geteuid());
    return wrong ? refuse(error, stack, entry, "seccomp", path, EACCES, wrong) : 0;
}

int launch_check(const struct stack *stack,
                 const struct stack_sandbox *entry,
                 struct sbx_error *error)
{
    const char *program = entry->command.n ? entry->command.v[0] : NULL;
    struct stat st;

    int r = check_policy(stack, entry, error);
    if (r < 0)
        return r;
    if (stack_has_layers(entry)) /* in which layer it is, the kernel knows */
        return 0;
    if (program && stat(program, &st) < 0)
        return refuse(error, stack, entry, "command", program, errno, strerror(errno));
    if (program && (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0))
        return refuse(error, stack, entry, "command", program, EACCES, "is no executable file");
    for (size_t i = 0; i < entry->jail.n; i++)
        if (entry->jail.v[i][0] != '@' && stat(entry->jail.v[i], &st) < 0)
            return refuse(error, stack, entry, "root.jail", entry->jail.v[i], errno,
                          strerror(errno));
    if (program && entry->jail.n && !is_jailed(entry, program))
        return refuse(error, stack, entry, "root.jail", program, EINVAL,
                      "is the command, but the jail does not hold it: add it to the list");
    return 0;
}

/*
 * Kinds of descriptors that may reach this sandbox, from its own entry and from rules that name it.
 */
static uint32_t receives(const struct stack *stack, const struct stack_sandbox *entry)
{
    uint32_t kinds = entry->fds.receive;

    for (size_t i = 0; i < stack->nrules; i++)
        if (stack->rules[i].sandbox && strcmp(stack->rules[i].sandbox, entry->name) == 0)
            kinds |= stack->rules[i].fds.receive;
    return kinds;
}

/* sbx takes arrays of const char *. */
static const char *const *constant(char **v)
{
    return (const char *const *)(const void *)v;
}

/* @layers holds the list, whose strings are its own. */
static int
set_layers(struct sbx_spec *spec, const struct stack_sandbox *entry, struct texts *layers)
{
    int r = entry->dir ? texts_add(layers, entry->dir, NULL, NULL) : 0;

    for (size_t i = 0; r == 0 && i < entry->layers.n; i++)
        r = texts_add(layers, entry->layers.v[i], NULL, NULL);
    spec->root = SBX_ROOT_LAYERS;
    spec->layers = constant(layers->v);
    if (entry->upper)
        spec->upper = strcmp(entry->upper, "tmpfs") == 0 ? "" : entry->upper;
    return r;
}

static int output_of(const struct stack_sandbox *entry)
{
    return entry->stdio == STACK_STDIO_INHERIT ? STDERR_FILENO : -1;
}

/* How many there are. */
static size_t name_links(struct sbx_named_fd ret[2], const struct launch *launch)
{
    ret[0] = (struct sbx_named_fd){"UDS_BROKER", launch->link};
    ret[1] = (struct sbx_named_fd){"UDS_BROKER_REDIAL", launch->redial};
    return launch->link >= 0 ? 2 : 0;
}

void launch_adoption(struct sbx_adoption *ret,
                     struct sbx_named_fd env_fds[2],
                     const struct launch *launch)
{
    *ret = (struct sbx_adoption)SBX_ADOPTION_INIT;
    ret->exec.argv = constant(launch->entry->command.v);
    ret->exec.stdio[1] = ret->exec.stdio[2] = output_of(launch->entry);
    ret->exec.fds = launch->fds;
    ret->exec.nfds = launch->nfds;
    ret->exec.env_fds = env_fds;
    ret->exec.nenv_fds = name_links(env_fds, launch);
}

int launch_plan(sbx_plan **ret, const struct launch *launch, struct sbx_error *error)
{
    const struct stack_sandbox *entry = launch->entry;
    struct sbx_bind bind = {.source = launch->place, .target = "/run/uds"};
    static const char *const unknown[] = {"/", NULL}; /* of a template: never run */
    struct sbx_named_fd fds[2];
    struct sbx_rlimit nofile = {RLIMIT_NOFILE, launch->nofile.rlim_cur, launch->nofile.rlim_max};
    struct sbx_spec spec = SBX_SPEC_INIT;
    struct texts layers = {0};

    spec.name = entry->name;
    spec.argv = entry->command.n ? constant(entry->command.v) : unknown;
    spec.env = entry->env.n ? constant(entry->env.v) : NULL;
    spec.isolate = entry->isolate;
    spec.net = entry->net;
    spec.monotonic_offset_ns = entry->clocks.monotonic;
    spec.boottime_offset_ns = entry->clocks.boottime;
    spec.root = entry->jail.n ? SBX_ROOT_JAIL : SBX_ROOT_HOST_RO;
    if (stack_has_layers(entry) && set_layers(&spec, entry, &layers) < 0) {
        texts_clear(&layers);
        error->err = ENOMEM;
        snprintf(error->text, sizeof(error->text), "sandbox %s: out of memory", entry->name);
        return -ENOMEM;
    }
    spec.chroot = entry->chroot;
    spec.jail = entry->jail.n ? constant(entry->jail.v) : NULL;
    spec.limits = entry->limits;
    if (!entry->command.n) /* who asked is told that much of its end */
        spec.counting = SBX_COUNT_BRIEFLY;
    spec.degrade = entry->degrade;
    spec.timeout_ms = entry->timeout_ms;
    stack_confine_apply(&entry->confine, &spec);
    spec.landlock_no_reopen = (receives(launch->stack, entry) & UDS_FD_FILE_RO) != 0;
    spec.rlimits = &nofile;
    spec.nrlimits = 1;
    spec.id_range = entry->id_range;
    if (entry->uid != UINT32_MAX)
        spec.uid = spec.gid = entry->uid;
    if (launch->place) {
        spec.binds = &bind;
        spec.nbinds = 1;
    }
    if (!entry->jail.n)
        spec.masks = launch->doors;
    spec.secrets = vault_get(launch->vault, entry, &spec.nsecrets);
    spec.notify = entry->notify;
    spec.ready_ms = entry->ready_ms;
    spec.watchdog_ms = entry->watchdog_ms;
    spec.fdstore = launch->fdstore;
    spec.waits = launch->waits;
    if (!launch->waits) {
        spec.stdio[1] = spec.stdio[2] = output_of(entry);
        spec.fds = launch->fds;
        spec.nfds = launch->nfds;
        spec.env_fds = fds;
        spec.nenv_fds = name_links(fds, launch);
    }
    int r = sbx_plan_new(ret, &spec, error);
    texts_clear(&layers);
    return r;
}
