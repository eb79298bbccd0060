/* SPDX-License-Identifier: MIT */
/* A step in words: for --dry-run, and for the failure of that step. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sys/resource.h>

#include "plan.h"

static const struct words {
    const char *what; /* "verb thing" */
    const char *eperm;
    const char *enoent;
} words[SBXI_OPS] = {
    [SBXI_OPEN] = {"open host path", "the caller cannot reach it", "name an existing path"},
    [SBXI_GIVEN] = {"take descriptor", "", ""},
    [SBXI_OPEN_FD] = {"open what a descriptor is", "the caller cannot reach it", ""},
    [SBXI_DATA] = {"make a file of a descriptor's data", "", ""},
    [SBXI_OVERLAY] = {"make overlay of",
                      "the kernel allows none here (before Linux 5.11 only root's), or a layer or "
                      "its upper directory cannot be written",
                      "name existing directories"},
    [SBXI_NODES] = {"make device nodes", "", ""},
    [SBXI_UPPER] = {"take upper directory", "", ""},
    [SBXI_UNSHARE_CG] = {"new cgroup namespace", "", "the kernel has none"},
    [SBXI_TIME] = {"new time namespace",
                   "the kernel lets only CAP_SYS_TIME over it shift its clocks",
                   "the kernel has none"},
    [SBXI_HOSTNAME] = {"set hostname", "", ""},
    [SBXI_LOOPBACK] = {"bring up lo", "", ""},
    [SBXI_NETWORK] = {"begin a new network namespace", "", ""},
    [SBXI_NETWORK_ENTER] = {"enter the new network namespace",
                            "network namespaces are forbidden to this user: see the container's "
                            "seccomp profile",
                            ""},
    [SBXI_PRIVATE] = {"make mounts private", "an LSM forbids mounts in user namespaces", ""},
    [SBXI_PROC] = {"make /proc",
                   "this container hides parts of its own /proc, so the kernel allows no new "
                   "one; run unmasked, or do without a pid namespace, --share-pid",
                   ""},
    [SBXI_NEW_TMPFS] = {"make an empty root", "", ""},
    [SBXI_PIVOT] =
        {"enter the root",
         "its directory, or one above it, is closed to you, or this container's profile forbids it",
         ""},
    [SBXI_UNCOVER] = {"uncover", "", ""},
    [SBXI_PARENTS] = {"make parents of", "", ""},
    [SBXI_DIRECTORY] = {"make directory", "", ""},
    [SBXI_FILE] = {"make file", "", ""},
    [SBXI_SYMLINK] = {"make symlink at", "", ""},
    [SBXI_CHMOD] = {"chmod", "", "name a path that exists inside by then"},
    [SBXI_NOTIFY] = {"listen for notifications at", "", ""},
    [SBXI_ENTER] = {"enter what is at /", "", ""},
    [SBXI_USERNS_JOIN] = {"enter the second user namespace",
                          "it must be below the first one, or be it", ""},
    [SBXI_USERNS_LIMIT] = {"forbid more user namespaces", "", ""},
    [SBXI_USERNS_NEST] = {"enter a user namespace below that limit", "", ""},
    [SBXI_USERNS_CHECK] = {"start with user namespaces disabled", "add --disable-userns", ""},
    [SBXI_SWITCH_IDS] = {"become root of the joined user namespace, or uid:gid", "", ""},
    [SBXI_COUNT_MEMORY] = {"count what the memory limit refuses", "", ""},
    [SBXI_WAIT] = {"wait for a descriptor", "", ""},
    [SBXI_ATTACH] = {"attach", "", ""},
    [SBXI_TMPFS] = {"mount tmpfs at", "", ""},
    [SBXI_DEVPTS] = {"mount devpts at", "", ""},
    [SBXI_MQUEUE] = {"mount mqueue at", "", ""},
    [SBXI_MASK] = {"mask", "", ""},
    [SBXI_READONLY] = {"make read-only", "", ""},
    [SBXI_SEAL] = {"make read-only the mount at", "", "name a mount that is there by then"},
    [SBXI_FORK] = {"start the payload's process", "", ""},
    [SBXI_HOLD] = {"hold a descriptor", "", ""},
    [SBXI_LOCK_FILE] = {"lock", "", "name a file that exists inside"},
    [SBXI_RLIMIT] = {"set rlimit",
                     "it is above our hard limit, which only root with CAP_SYS_RESOURCE may raise, "
                     "of nofile up to the sysctl fs.nr_open",
                     ""},
    [SBXI_OOM_SCORE] = {"set oom_score_adj", "", ""},
    [SBXI_DROP_BOUNDS] = {"empty the capability bounding set", "", ""},
    [SBXI_BOUNDS] = {"bound the capabilities", "", ""},
    [SBXI_CAPS] = {"keep of the capabilities", "", ""},
    [SBXI_AMBIENT] = {"make ambient what can be inherited of the capabilities", "", ""},
    [SBXI_IDS] = {"become uid:gid", "", ""},
    [SBXI_GRANT] = {"keep the capabilities", "", ""},
    [SBXI_NO_CAPS] = {"drop all capabilities", "", ""},
    [SBXI_NO_NEW_PRIVS] = {"set no_new_privs", "", ""},
    [SBXI_CHDIR] = {"change directory to", "", "name a directory that exists inside"},
    [SBXI_FIND_CWD] = {"change directory to the first there is of", "", ""},
    [SBXI_REQUEST] = {"enter the directory", "", "name a directory that exists inside"},
    [SBXI_AWAIT] = {"wait for what to run", "", ""},
    [SBXI_TERMINAL] = {"make a terminal", "", "there is no /dev/ptmx inside: add --dev /dev"},
    [SBXI_PARENT_DEATH] = {"die with the parent", "", ""},
    [SBXI_LANDLOCK] = {"Landlock", "", "name a path that exists inside"},
    [SBXI_FDS] = {"close all but the passed descriptors", "", ""},
    [SBXI_SECCOMP] = {"load seccomp filter", "", ""},
    [SBXI_EXEC] = {"exec", "it is a directory, or not executable for the payload's uid",
                   "name an existing program"},
};

/* As `uds run --rlimit` names them. */
static const char *const rlimit_names[RLIM_NLIMITS] = {
    [RLIMIT_AS] = "as",           [RLIMIT_CORE] = "core",
    [RLIMIT_CPU] = "cpu",         [RLIMIT_DATA] = "data",
    [RLIMIT_FSIZE] = "fsize",     [RLIMIT_LOCKS] = "locks",
    [RLIMIT_MEMLOCK] = "memlock", [RLIMIT_MSGQUEUE] = "msgqueue",
    [RLIMIT_NICE] = "nice",       [RLIMIT_NOFILE] = "nofile",
    [RLIMIT_NPROC] = "nproc",     [RLIMIT_RSS] = "rss",
    [RLIMIT_RTPRIO] = "rtprio",   [RLIMIT_RTTIME] = "rttime",
    [RLIMIT_STACK] = "stack",     [RLIMIT_SIGPENDING] = "sigpending",
};

static void describe_rlimit(
    char *ret, size_t size, const char *what, unsigned long long resource, unsigned long long value)
{
    const char *name = resource < RLIM_NLIMITS ? rlimit_names[resource] : "?";
    if (value == RLIM_INFINITY)
        snprintf(ret, size, "%s %s to unlimited", what, name);
    else
        snprintf(ret, size, "%s %s to %llu", what, name, value);
}

void sbxi_step_describe(const struct sbxi_plan_step *step, char *ret, size_t size)
{
    const char *what = step->op < SBXI_OPS && words[step->op].what ? words[step->op].what : "?";
    unsigned long long x = step->args[0], y = step->args[1];
    size_t used;
    switch (step->op) {
    case SBXI_SYMLINK:
        snprintf(ret, size, "%s %s → %s", what, (char *)step->a, (char *)step->b);
        break;
    case SBXI_TMPFS:
        snprintf(ret, size, "%s %s (mode %llo)", what, (char *)step->a, x);
        break;
    case SBXI_RLIMIT:
        describe_rlimit(ret, size, what, x, y);
        break;
    case SBXI_TIME:
        snprintf(ret, size, "%s, monotonic %+.9gs, boottime %+.9gs", what,
                 (double)(int64_t)step->args[0] / 1e9, (double)(int64_t)step->args[1] / 1e9);
        break;
    case SBXI_OOM_SCORE:
    case SBXI_FDS:
        snprintf(ret, size, "%s (%llu)", what, x);
        break;
    case SBXI_GIVEN:
        snprintf(ret, size, "%s %d", what, step->fd);
        break;
    case SBXI_DIRECTORY:
    case SBXI_FILE:
    case SBXI_PARENTS:
    case SBXI_CHMOD:
        snprintf(ret, size, "%s %s (mode %llo)", what, (char *)step->a, x);
        break;
    case SBXI_OVERLAY:
        snprintf(ret, size, "%s %s (%llu layers%s%s)", what, (char *)step->a, x,
                 step->b ? ", upper " : "", step->b ? (char *)step->b : "");
        break;
    case SBXI_BOUNDS:
    case SBXI_CAPS:
    case SBXI_AMBIENT:
        snprintf(ret, size, "%s %#llx", what, x);
        break;
    case SBXI_USERNS_NEST:
    case SBXI_SWITCH_IDS:
    case SBXI_IDS:
        snprintf(ret, size, "%s %llu:%llu", what, x, y);
        break;
    case SBXI_TERMINAL:
        snprintf(ret, size, "%s", what);
        break;
    case SBXI_GRANT:
        used = (size_t)snprintf(ret, size, "%s ", what);
        sbxi_caps_describe(x, ret + used, size - used);
        break;
    case SBXI_LANDLOCK:
        sbxi_landlock_describe(step, ret, size);
        break;
    case SBXI_SECCOMP:
        snprintf(ret, size, "%s (%zu bytes)", what, step->a_length);
        break;
    default:
        snprintf(ret, size, "%s%s%.*s", what, step->a ? " " : "", (int)step->a_length,
                 step->a ? (char *)step->a : "");
    }
}

const char *sbxi_step_what(uint32_t op)
{
    return op < SBXI_OPS && words[op].what ? words[op].what : "start";
}

/* What the table of words does not know: an error that says little by itself, of a step at which it has one cause. */
#define OF_DIRECTORIES "name a directory; links of /proc to one are not followed"
#define OF_READ_ONLY   "the root is read-only: name a place on a --tmpfs, or a --layer with --upper"
#define OF_IDS         "the user namespace has no such id; name one that it has by --uid and --gid"
static const struct {
    uint32_t op;
    int err;
    const char *advice;
} causes[] = {
    {SBXI_NETWORK_ENTER, ENOSPC,
     "a limit of namespaces is reached: see sysctl user.max_net_namespaces"},
    {SBXI_ATTACH, EINVAL, "a directory goes where a directory is, and all else where a file is"},
    {SBXI_TIME, ERANGE, "no clock may become negative, nor go over 146 years"},
    {SBXI_SWITCH_IDS, EINVAL, OF_IDS},
    {SBXI_IDS, EINVAL, OF_IDS},
    {SBXI_EXEC, ENOEXEC, "it is no program for this machine, and begins with no #! line"},
    {SBXI_DIRECTORY, EROFS, OF_READ_ONLY},
    {SBXI_SYMLINK, EROFS, OF_READ_ONLY},
    {SBXI_USERNS_LIMIT, EROFS,
     "this container's /proc/sys is read-only; the default seccomp profile forbids them too, as "
     "long as there is no capability"},
    {SBXI_SECCOMP, EINVAL, "it is no program that seccomp(2) takes"},
    {SBXI_CHDIR, ELOOP, OF_DIRECTORIES},
    {SBXI_CHDIR, ENOTDIR, OF_DIRECTORIES},
    {SBXI_REQUEST, ELOOP, OF_DIRECTORIES},
    {SBXI_REQUEST, ENOTDIR, OF_DIRECTORIES},
};

const char *sbxi_step_advice(const struct sbxi_plan_step *step, int err)
{
    if (step->op >= SBXI_OPS || !words[step->op].what)
        return "";
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].op == step->op && causes[i].err == err)
            return causes[i].advice;
    if (err == EPERM || err == EACCES)
        return words[step->op].eperm;
    return err == ENOENT ? words[step->op].enoent : "";
}

static void print_network(const sbx_plan *plan, FILE *out)
{
    char own[SBX_NET_ADDRESS_TEXT], peer[SBX_NET_ADDRESS_TEXT];
    const struct sbx_net *net = &plan->net;
    if (net->kind == SBX_NET_PASTA)
        fputs("\nlauncher: run pasta for its network", out);
    if (net->kind != SBX_NET_VETH)
        return;
    fprintf(out, "\nlauncher: veth eth0 %s, its other end %s in %s%s",
            net->address.family ? sbx_net_address_print(&net->address, own) : "of a free network",
            net->peer.family ? sbx_net_address_print(&net->peer, peer) : "of the same",
            net->netns[0] ? "network namespace " : "the launcher's network",
            net->netns[0] ? net->netns : "");
    if (net->rate_bytes)
        fprintf(out, "\nlauncher: %llu bytes a second each way",
                (unsigned long long)net->rate_bytes);
}

static void print_launcher(const sbx_plan *plan, FILE *out)
{
    const struct sbx_limits *limits = &plan->limits;
    if (plan->range)
        fputs("launcher: take a range of 65536 host ids, shared with nobody\n", out);
    else if (plan->subids.count)
        fprintf(out,
                "launcher: map the caller's own id to 0, and %u of /etc/subuid to 1 and up, by "
                "newuidmap\n",
                plan->subids.count);
    else if (plan->joined_user)
        fputs("launcher: take the ids of the user namespace that is joined\n", out);
    else if (plan->isolate & SBX_NS_USER)
        fprintf(out, "launcher: map the caller's own id to %u:%u\n", plan->uid, plan->gid);
    else
        fputs("launcher: keep host ids\n", out);
    fputs(plan->no_cgroup ? "launcher: make no cgroup" : "launcher: make a cgroup", out);
    if (limits->cpu_percent)
        fprintf(out, " cpu=%u%%", limits->cpu_percent);
    if (limits->cpu_weight)
        fprintf(out, " cpu-weight=%u", limits->cpu_weight);
    if (limits->memory_bytes)
        fprintf(out, " memory=%llu", (unsigned long long)limits->memory_bytes);
    if (limits->pids)
        fprintf(out, " pids=%llu", (unsigned long long)limits->pids);
    fputs("\nlauncher: clone into new namespaces:", out);
    for (uint32_t bit = 1; bit <= SBX_NS_CGROUP; bit <<= 1) /* time is init's */
        if ((plan->isolate & bit) && !(bit == SBX_NS_NET && plan->net_meanwhile))
            fprintf(out, " %s", sbx_ns_name(bit));
    print_network(plan, out);
    for (size_t i = 0; i < plan->njoins; i++)
        fprintf(out, "%s %s", i ? "" : "\nlauncher: join namespaces that exist:",
                sbx_ns_name((uint32_t)plan->joins[i].ns));
    fputs("\nlauncher: exec uds-sandbox-init\n", out);
}

void sbx_plan_print(const sbx_plan *plan, FILE *out)
{
    char text[8300];
    const char *who = "init";
    bool nodes = false;
    fprintf(out, "sandbox %s\n", plan->name);
    print_launcher(plan, out);
    for (size_t i = 0; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        bool launcher = step->op == SBXI_UPPER || step->op == SBXI_NODES ||
                        (step->op == SBXI_OPEN && plan->privileged);
        nodes |= step->op == SBXI_NODES;
        sbxi_step_describe(step, text, sizeof text);
        fprintf(out, "%s: %s%s%s%s%s%s\n", launcher ? "launcher" : who, text,
                step->flags & SBXI_F_RDONLY ? ", read-only" : "",
                step->flags & SBXI_F_LAYER && plan->range ? ", with the sandbox's ids" : "",
                step->flags & SBXI_F_CHROOT            ? ", by chroot"
                : nodes && (step->flags & SBXI_F_NODE) ? ", where no node can be made"
                                                       : "",
                (step->flags & SBXI_F_OPTIONAL) && step->op != SBXI_IDS &&
                        step->op != SBXI_SWITCH_IDS
                    ? ", if it exists"
                    : "",
                step->flags & SBXI_F_NO_CGROUP ? ", where there is no cgroup" : "");
        if (step->op == SBXI_FORK)
            who = "payload";
    }
}
