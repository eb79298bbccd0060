/* SPDX-License-Identifier: MIT */
/*
 * The steps that build a sandbox's root, of whatever kind:
 *
 *   read-only host   a recursive, read-only copy of / with /proc, /dev, /sys, /tmp and /run of its own over it
 *   layers           directories one above the other (layers.c), with the same over them
 *   jail             an empty tmpfs with each file bound read-only at its own path, then sealed
 *
 * Phases: open what belongs to the host, pivot, build, seal. After the pivot no step can name the host.
 */

#include <errno.h>
#include <limits.h>
#include <sbx/jail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "error.h"
#include "jail-follow.h"
#include "layers.h"
#include "plan.h"

static int32_t open_tree_step(sbx_plan *plan, const char *source, uint32_t flags)
{
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_OPEN, source);
    step->flags = flags;
    return step->slot;
}

static bool has_step(const sbx_plan *plan, enum sbxi_op op, const char *a)
{
    for (size_t i = 0; i < plan->nsteps; i++)
        if (plan->steps[i].op == op && plan->steps[i].a && strcmp(plan->steps[i].a, a) == 0)
            return true;
    return false;
}

static int add_link(const char *link, const char *target, void *later)
{
    if (!has_step(later, SBXI_SYMLINK, link))
        sbxi_plan_add(later, SBXI_SYMLINK, link, target);
    return 0;
}

/* The real files of the jail; @later gets what attaches them and the links that lead to them. */
static int
add_jail(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec, struct sbx_error *error)
{
    char **paths, real[PATH_MAX];
    int r = sbx_jail_list(spec->jail, &paths, error);
    if (r < 0)
        return r;
    for (size_t i = 0; paths[i]; i++) {
        if (r == 0 && (r = sbxi_jail_follow(paths[i], add_link, later, real)) < 0)
            sbxi_error(error, -r, "sandbox %s: jail: %s: %s", plan->name, paths[i], strerror(-r));
        if (r == 0 && !has_step(later, SBXI_ATTACH, real)) {
            int32_t slot = open_tree_step(plan, real, SBXI_F_RDONLY | SBXI_F_NODEV);
            sbxi_plan_attach(later, slot, real);
        }
        free(paths[i]);
    }
    free(paths);
    return r;
}

/* What is opened before the pivot and attached after it. */
struct slots {
    int32_t root, binds, own_dev, own_run; /* the last two to be sealed; -1 = there is none */
    struct sbx_plan proc, dev, mounts, made;
};

static void open_sources(sbx_plan *plan, const struct sbx_spec *spec, struct slots *slots)
{
    slots->binds = plan->ntrees;
    for (size_t i = 0; i < spec->nbinds; i++)
        sbxi_plan_open(plan, spec->binds[i].source)->flags |=
            SBXI_F_NODEV | (spec->binds[i].writable ? 0 : (uint32_t)SBXI_F_RDONLY) |
            (spec->binds[i].optional ? (uint32_t)SBXI_F_OPTIONAL : 0);
    if (spec->root != SBX_ROOT_EMPTY) {
        slots->own_dev = sbxi_plan_dev(plan, &slots->dev, "/dev", spec);
        sbxi_plan_proc(plan, &slots->proc, "/proc", spec);
    }
    if (spec->root == SBX_ROOT_LAYERS) {
        slots->root = sbxi_plan_layers(plan, &slots->made, spec);
    } else if (spec->root != SBX_ROOT_HOST_RO) {
        struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_NEW_TMPFS, NULL);
        step->args[0] = 0755;
        slots->root = step->slot;
    } else {
        slots->root = open_tree_step(plan, "/", SBXI_F_RDONLY | SBXI_F_NODEV);
    }
    sbxi_plan_mounts(plan, &slots->mounts, spec); /* last: see there */
    sbxi_plan_secrets(plan, &slots->mounts, spec);
    sbxi_plan_append(plan, &slots->made);
}

/* On a read-only host: only where the host has the directory. */
static bool is_directory(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add_own(sbx_plan *plan, struct slots *slots, enum sbx_root root)
{
    static const char *const own[] = {"/proc", "/sys", "/dev", "/tmp", "/run"};
    bool host = root == SBX_ROOT_HOST_RO;
    for (size_t i = 0; host && i < sizeof own / sizeof own[0]; i++)
        sbxi_plan_add(plan, SBXI_UNCOVER, own[i], NULL);
    if (root == SBX_ROOT_LAYERS || (host && is_directory("/sys")))
        sbxi_plan_add(plan, SBXI_MASK, "/sys", NULL);
    if (!host || is_directory("/tmp"))
        sbxi_plan_tmpfs(plan, "/tmp", 01777, plan->limits.memory_bytes, 0);
    if (host && !is_directory("/run"))
        return;
    slots->own_run = plan->ntrees++;
    sbxi_plan_tmpfs(plan, "/run", 0755, 1 << 20, 0)->slot = slots->own_run;
}

static void add_filled(sbx_plan *plan, sbx_plan *jail, struct slots *slots, enum sbx_root root)
{
    add_own(plan, slots, root);
    sbxi_plan_append(plan, &slots->dev);
    if (plan->isolate & SBX_NS_IPC)
        sbxi_plan_add(plan, SBXI_MQUEUE, "/dev/mqueue", NULL)->flags = SBXI_F_BELOW;
    sbxi_plan_append(plan, &slots->proc);
    sbxi_plan_append(plan, jail);
}

/* Ours, whatever options have put over them. */
static void seal(sbx_plan *plan, int32_t slot, const char *path)
{
    if (slot >= 0)
        sbxi_plan_add(plan, SBXI_SEAL, path, NULL)->slot = slot;
}

int sbxi_plan_root(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    struct sbx_plan jail = {0};
    struct slots slots = {.own_dev = -1, .own_run = -1};
    uint32_t chroot = spec->chroot ? SBXI_F_CHROOT : 0;
    bool empty = spec->root == SBX_ROOT_EMPTY;
    sbxi_plan_add(plan, SBXI_PRIVATE, NULL, NULL)->flags = spec->bwrap ? SBXI_F_SLAVE : 0;
    int r = spec->root == SBX_ROOT_JAIL ? add_jail(plan, &jail, spec, error) : 0;
    open_sources(plan, spec, &slots);
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_PIVOT, NULL, NULL);
    step->slot = slots.root;
    step->flags = chroot;
    if (!empty)
        add_filled(plan, &jail, &slots, spec->root);
    for (size_t i = 0; i < spec->nbinds; i++) {
        sbxi_plan_attach(plan, slots.binds + (int32_t)i, spec->binds[i].target);
        sbxi_plan_hide(plan, plan, spec->binds[i].source, spec->binds[i].target);
    }
    sbxi_plan_append(plan, &slots.mounts);
    for (size_t i = 0; spec->masks && spec->masks[i]; i++)
        sbxi_plan_add(plan, SBXI_MASK, spec->masks[i], NULL);
    sbxi_plan_notify(plan);
    seal(plan, slots.own_dev, "/dev");
    seal(plan, slots.own_run, "/run");
    if (spec->root == SBX_ROOT_JAIL)
        seal(plan, slots.root, "/");
    /* a bind or a mask may have gone to / too */
    sbxi_plan_add(plan, SBXI_ENTER, NULL, NULL)->flags = chroot;
    return r;
}
