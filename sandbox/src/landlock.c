/* SPDX-License-Identifier: MIT */
/*
 * Landlock: which rights a payload loses and which rules give some back. What an ABI lacks is found here, before anything
 * is made; the rules are applied by uds-sandbox-init.
 *
 * A domain has an effect that nobody asks for by name: who is in it can trace nobody outside. It is the one thing that keeps
 * CAP_SYS_PTRACE off PID 1, which belongs to the same user namespace and has no filter.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/capability.h>

#include "error.h"
#include "kernel.h"
#include "plan.h"

enum { /* ABIs, and the Linux that brought them */
    ABI_ANY = 1,
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_DEVICES = 5,
    ABI_SCOPE = 6,
};
static const char *const linux_of[] = {"", "5.13", "5.19", "6.2", "6.7", "6.10", "6.12"};

static const struct {
    const char *name;
    uint32_t bit;
} scopes[] = {{"abstract-sockets", SBX_LANDLOCK_ABSTRACT}, {"signals", SBX_LANDLOCK_SIGNAL}};

int sbx_landlock_scope_parse(const char *text, uint32_t *ret_bit)
{
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
        if (strcmp(scopes[i].name, text) == 0) {
            *ret_bit = scopes[i].bit;
            return 0;
        }
    return -EINVAL;
}

const char *sbx_landlock_scope_name(uint32_t bit)
{
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
        if (scopes[i].bit == bit)
            return scopes[i].name;
    return NULL;
}

/* The version, or -errno. */
static int landlock_abi(void)
{
    int abi = sbxi_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : abi;
}

static bool limits_files(const struct sbx_landlock *asked)
{
    return (asked->ro && *asked->ro) || (asked->rw && *asked->rw);
}

static bool can_trace(const sbx_plan *plan)
{
    return plan->caps >> CAP_SYS_PTRACE & 1;
}

static int require(sbx_plan *plan, int abi, int need, const char *what, struct sbx_error *error)
{
    char have[64];
    if (abi >= need)
        return 0;
    snprintf(have, sizeof have, abi > 0 ? "has ABI %d" : "has none; boot with lsm=landlock,…", abi);
    if (!(plan->degrade & SBX_DEGRADE_LANDLOCK))
        return sbxi_error(error, EOPNOTSUPP,
                          "sandbox %s: landlock: %s ABI %d (Linux %s), and this kernel %s; or do "
                          "without by --degrade=landlock",
                          plan->name, what, need, linux_of[need], have);
    plan->degraded |= SBX_DEGRADE_LANDLOCK;
    return 0;
}

static int check_paths(const sbx_plan *plan, const char *const *paths, struct sbx_error *error)
{
    for (; paths && *paths; paths++)
        if (**paths != '/')
            return sbxi_error(error, EINVAL, "sandbox %s: landlock: %s: use an absolute path",
                              plan->name, *paths);
    return 0;
}

/* Against re-opening it needs a root that is not the host's: a rule for "/" would allow the host's files too. */
static int check_root(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (!spec->landlock_no_reopen || spec->root == SBX_ROOT_JAIL)
        return 0;
    return sbxi_error(error, EINVAL,
                      "sandbox %s: landlock: a file of the host cannot be told from the "
                      "sandbox's own when the host is its root; use a jail",
                      plan->name);
}

int sbxi_landlock_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const struct sbx_landlock *asked = &spec->landlock;
    bool files = limits_files(asked), ports = asked->limit_connect || asked->limit_bind;
    bool any = spec->landlock_no_reopen || files || ports || asked->scope;
    if (!any && !can_trace(plan))
        return 0;
    int r, abi = landlock_abi();
    if ((r = check_root(plan, spec, error)) < 0 || (r = check_paths(plan, asked->ro, error)) < 0 ||
        (r = check_paths(plan, asked->rw, error)) < 0)
        return r;
    /* Of the first, truncate(2), new in 3, is refused by seccomp. */
    if ((spec->landlock_no_reopen &&
         (r = require(plan, abi, ABI_ANY, "to open nothing twice takes", error)) < 0) ||
        (files && (r = require(plan, abi, ABI_TRUNCATE, "not to truncate takes", error)) < 0) ||
        (files && spec->assert_all &&
         (r = require(plan, abi, ABI_DEVICES, "commands of devices are left out, which takes",
                      error)) < 0) ||
        (ports && (r = require(plan, abi, ABI_NET, "ports take", error)) < 0) ||
        (asked->scope && (r = require(plan, abi, ABI_SCOPE, "scopes take", error)) < 0) ||
        (!any &&
         (r = require(plan, abi, ABI_SCOPE,
                      "sys_ptrace could take over PID 1; that it cannot takes", error)) < 0))
        return r;
    if (files && abi < ABI_DEVICES)
        plan->degraded |= SBX_DEGRADE_LANDLOCK;
    if (abi < ABI_ANY || (!any && abi < ABI_SCOPE))
        return 0;
    plan->landlock_abi = abi;
    plan->guarded = spec->landlock_no_reopen;
    return 0;
}

static uint64_t all_of_files(int abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    return all | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
           (abi >= ABI_TRUNCATE ? LANDLOCK_ACCESS_FS_TRUNCATE : 0) |
           (abi >= ABI_DEVICES ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0);
}

/* Rules and the strings that they point into, until they are a step's. */
struct rules {
    struct sbxi_landlock_rule *list;
    size_t n;
    struct sbxi_block paths;
};

static void add_paths(struct rules *rules, const char *const *paths, uint64_t access)
{
    for (; paths && *paths; paths++) {
        rules->list[rules->n++] =
            (struct sbxi_landlock_rule){.access = access, .path = (int32_t)rules->paths.length};
        sbxi_block_add(&rules->paths, "", *paths);
    }
}

static void add_ports(struct rules *rules, const uint16_t *ports, size_t n, uint64_t access)
{
    for (size_t i = 0; i < n; i++)
        rules->list[rules->n++] =
            (struct sbxi_landlock_rule){.access = access, .path = -1, .port = ports[i]};
}

static size_t count(const char *const *paths)
{
    size_t n = 0;
    while (paths && paths[n])
        n++;
    return n;
}

static void
add_step(sbx_plan *plan, struct rules *rules, uint64_t fs, uint64_t net, uint64_t scoped)
{
    struct sbxi_plan_step *step = sbxi_plan_add_bytes(
        plan, SBXI_LANDLOCK, rules->n ? rules->list : NULL, rules->n * sizeof *rules->list,
        rules->paths.bytes, rules->paths.length);
    step->args[0] = fs;
    step->args[1] = net;
    step->args[2] = scoped;
    free(rules->list);
    free(rules->paths.bytes);
}

/* What the kernel lacks was permitted to be left out, by now. */
static void add_asked(sbx_plan *plan, const struct sbx_landlock *asked)
{
    const uint64_t read =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    int abi = plan->landlock_abi;
    uint64_t fs = limits_files(asked) ? all_of_files(abi) : 0;
    uint64_t net = (asked->limit_bind ? SBXI_LANDLOCK_NET_BIND : 0u) |
                   (asked->limit_connect ? SBXI_LANDLOCK_NET_CONNECT : 0u);
    uint64_t scoped = (asked->scope & SBX_LANDLOCK_ABSTRACT ? SBXI_LANDLOCK_SCOPE_ABSTRACT : 0u) |
                      (asked->scope & SBX_LANDLOCK_SIGNAL ? SBXI_LANDLOCK_SCOPE_SIGNAL : 0u);
    if (abi < ABI_NET)
        net = 0;
    if (abi < ABI_SCOPE)
        scoped = 0;
    if (!fs && !net && !scoped) {
        if (plan->guarded || abi < ABI_SCOPE || !can_trace(plan))
            return;
        scoped = SBXI_LANDLOCK_SCOPE_ABSTRACT; /* a domain is all that it takes */
    }
    struct rules rules = {
        .list = calloc(count(asked->ro) + count(asked->rw) + asked->nbind + asked->nconnect + 1,
                       sizeof *rules.list)};
    rules.paths.failed = !rules.list;
    if (fs && rules.list) {
        add_paths(&rules, asked->ro, read);
        add_paths(&rules, asked->rw, fs);
    }
    if (net && rules.list) {
        add_ports(&rules, asked->bind, asked->limit_bind ? asked->nbind : 0,
                  SBXI_LANDLOCK_NET_BIND);
        add_ports(&rules, asked->connect, asked->limit_connect ? asked->nconnect : 0,
                  SBXI_LANDLOCK_NET_CONNECT);
    }
    bool failed = rules.paths.failed;
    add_step(plan, &rules, fs, net, scoped);
    if (failed)
        sbxi_plan_fail(plan);
}

/*
 * Landlock looks at where a file *is*: a passed descriptor's file lies below the host's root, not below ours, so opening
 * it a second time through /proc/self/fd is refused, whatever its permissions.
 */
static void add_no_reopen(sbx_plan *plan)
{
    static const char *const root[] = {"/", NULL};
    uint64_t fs = all_of_files(plan->landlock_abi);
    struct rules rules = {.list = calloc(1, sizeof *rules.list)};
    rules.paths.failed = !rules.list;
    if (rules.list)
        add_paths(&rules, root, fs);
    bool failed = rules.paths.failed;
    add_step(plan, &rules, fs, 0, 0);
    if (failed)
        sbxi_plan_fail(plan);
}

void sbxi_plan_landlock(sbx_plan *plan, const struct sbx_spec *spec)
{
    if (!plan->landlock_abi)
        return;
    if (plan->guarded)
        add_no_reopen(plan);
    add_asked(plan, &spec->landlock);
}

static void append(char *text, size_t size, const char *what, const char *name, unsigned port)
{
    size_t at = strlen(text);
    if (name)
        snprintf(text + at, size - at, "%s%s", what, name);
    else
        snprintf(text + at, size - at, "%s%u", what, port);
}

void sbxi_landlock_describe(const struct sbxi_plan_step *step, char *ret, size_t size)
{
    const struct sbxi_landlock_rule *rules = step->a;
    snprintf(ret, size, "Landlock:");
    if (step->args[0])
        append(ret, size, " open only", "", 0);
    for (size_t i = 0; i < step->a_length / sizeof *rules; i++) {
        bool writes = rules[i].access & LANDLOCK_ACCESS_FS_WRITE_FILE;
        if (rules[i].path >= 0)
            append(ret, size, writes ? " rw:" : " ro:", (char *)step->b + rules[i].path, 0);
        else
            append(ret, size,
                   rules[i].access & SBXI_LANDLOCK_NET_BIND ? " bind:" : " connect:", NULL,
                   rules[i].port);
    }
    if (step->args[1])
        append(ret, size, ", no other TCP port", "", 0);
    if (step->args[2] & SBXI_LANDLOCK_SCOPE_ABSTRACT)
        append(ret, size, ", no abstract socket outside", "", 0);
    if (step->args[2] & SBXI_LANDLOCK_SCOPE_SIGNAL)
        append(ret, size, ", no signal outside", "", 0);
    append(ret, size, ", no tracing outside", "", 0);
}
