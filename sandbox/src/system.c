/* SPDX-License-Identifier: MIT */
/*
 * /dev and /proc of a sandbox, or the same at another place: --dev DEST and --proc DEST. Devices are nodes that the launcher
 * has made (nodes.h), or the host's, by bind, where it could not. As bubblewrap makes them /proc is covered in four places, where the payload could write, and
 * nothing is hidden; as we do, what the OCI runtimes hide is hidden.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "nodes.h"
#include "plan.h"

enum {
    DEV_SIZE = 1 << 20
};

static const char *const links[][2] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
};

/* What the OCI runtimes hide of /proc, and what they leave to be read only. */
static const char *const masked[] = {
    "kcore",       "keys",     "kmsg",       "latency_stats", "timer_list",  "timer_stats",
    "sched_debug", "kallsyms", "kpagecount", "kpageflags",    "kpagecgroup", "vmallocinfo",
    "interrupts",  NULL,
};
static const char *const masked_directories[] = {"acpi", "asound", "scsi", "pressure", NULL};
static const char *const readonly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger", NULL};
static const char *const covered[] = {"sys", "sysrq-trigger", "irq", "bus", NULL};

static const char *join(char ret[PATH_MAX], const char *directory, const char *name)
{
    snprintf(ret, PATH_MAX, "%s/%s", directory, name); /* mounts.c has looked at the length */
    return ret;
}

static void add_devices(sbx_plan *plan, sbx_plan *later, const char *target)
{
    char path[PATH_MAX];
    for (const struct sbxi_device *d = sbxi_devices; d->name; d++) {
        struct sbxi_plan_step *step =
            sbxi_plan_add_tree(plan, SBXI_OPEN, join(path, "/dev", d->name));
        step->flags = SBXI_F_CHAR | SBXI_F_RDONLY | SBXI_F_NODE; /* can be written, not chmod'ed */
        step->args[0] = makedev(d->major, d->minor);
        sbxi_plan_attach(later, step->slot, join(path, target, d->name))->flags =
            SBXI_F_BELOW | SBXI_F_NODE;
    }
}

/* What writes to the caller's terminal can know its name: ttyname(3) looks for it. */
static void add_console(sbx_plan *plan, sbx_plan *later, const char *target, int fd)
{
    char tty[PATH_MAX], path[PATH_MAX];
    struct stat st;
    if (fd < 0 || !isatty(fd) || ttyname_r(fd, tty, sizeof tty) != 0 || fstat(fd, &st) < 0)
        return;
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_OPEN, tty);
    step->flags = SBXI_F_CHAR;
    step->args[0] = st.st_rdev;
    sbxi_plan_attach(later, step->slot, join(path, target, "console"));
}

int32_t
sbxi_plan_dev(sbx_plan *plan, sbx_plan *later, const char *target, const struct sbx_spec *spec)
{
    char path[PATH_MAX];
    int32_t slot = plan->ntrees++;
    if (plan->privileged && plan->range) {
        struct sbxi_plan_step *nodes = sbxi_plan_add(plan, SBXI_NODES, NULL, NULL);
        nodes->slot = slot;
        nodes->args[0] = DEV_SIZE;
    }
    sbxi_plan_tmpfs(later, target, 0755, spec->bwrap ? 0 : DEV_SIZE, 0)->slot = slot;
    add_devices(plan, later, target);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        sbxi_plan_add(later, SBXI_SYMLINK, join(path, target, links[i][0]), links[i][1])->flags =
            SBXI_F_BELOW;
    sbxi_plan_add(later, SBXI_DEVPTS, join(path, target, "pts"), NULL)->flags = SBXI_F_BELOW;
    if (!spec->bwrap) {
        sbxi_plan_tmpfs(later, join(path, target, "shm"), 01777, plan->limits.memory_bytes,
                        SBXI_F_BELOW);
        return slot;
    }
    sbxi_plan_add(later, SBXI_SYMLINK, join(path, target, "core"), "/proc/kcore");
    sbxi_plan_add(later, SBXI_DIRECTORY, join(path, target, "shm"), NULL)->args[0] = 0755;
    add_console(plan, later, target, spec->stdio[1]);
    return slot;
}

static void
add_mask(sbx_plan *later, const char *target, const char *name, int32_t null, uint32_t flags)
{
    char path[PATH_MAX];
    struct sbxi_plan_step *step = sbxi_plan_add(later, SBXI_MASK, join(path, target, name), NULL);
    step->slot = null;
    step->flags = SBXI_F_BELOW | flags;
}

/* With a null device of its own: there may be no /dev yet. */
static void add_masks(sbx_plan *plan, sbx_plan *later, const char *target)
{
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_OPEN, "/dev/null");
    int32_t null = step->slot;
    step->flags = SBXI_F_CHAR | SBXI_F_RDONLY;
    step->args[0] = makedev(1, 3);
    for (const char *const *name = masked; *name; name++)
        add_mask(later, target, *name, null, 0);
    for (const char *const *name = masked_directories; *name; name++)
        add_mask(later, target, *name, null, SBXI_F_DIRECTORY);
}

void sbxi_plan_proc(sbx_plan *plan,
                    sbx_plan *later,
                    const char *target,
                    const struct sbx_spec *spec)
{
    char path[PATH_MAX];
    struct sbxi_plan_step *step;
    if ((plan->isolate & SBX_NS_PID) || sbxi_spec_joins(spec, SBX_NS_PID)) {
        step = sbxi_plan_add_tree(plan, SBXI_PROC, NULL);
    } else { /* somebody else's processes: to be looked at only */
        step = sbxi_plan_add_tree(plan, SBXI_OPEN, "/proc");
        step->flags = SBXI_F_NODEV | (spec->bwrap ? SBXI_F_SLAVE : SBXI_F_RDONLY);
    }
    sbxi_plan_attach(later, step->slot, target);
    if (!spec->bwrap)
        add_masks(plan, later, target);
    for (const char *const *name = spec->bwrap ? covered : readonly; *name; name++)
        sbxi_plan_add(later, SBXI_READONLY, join(path, target, *name), NULL)->flags =
            spec->bwrap ? (uint32_t)SBXI_F_WRITABLE : (uint32_t)SBXI_F_BELOW;
}
