/* SPDX-License-Identifier: MIT */
/*
 * The list of mounts as steps, in three parts: opening sources; making what needs the scratch tmpfs over the old root
 * (data, overlays), which no source may have in it; both before the pivot, filling slots; and after it what touches the
 * new root, in the list's order. So no path inside can lead to the host, and no order of options changes what a source
 * means.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "plan.h"

static bool reads_fd(const struct sbx_mount *m)
{
    return m->type == SBX_MOUNT_FILE || m->type == SBX_MOUNT_BIND_DATA ||
           (m->type == SBX_MOUNT_BIND && !m->source);
}

static int
check_source(const sbx_plan *plan, const char *path, bool optional, struct sbx_error *error)
{
    if (path[0] != '/')
        return sbxi_error(error, EINVAL, "sandbox %s: mounts: %s: use an absolute path", plan->name,
                          path);
    if (access(path, F_OK) < 0 && !(optional && errno == ENOENT))
        return sbxi_error(error, errno, "sandbox %s: mounts: %s: %s; name an existing path",
                          plan->name, path, strerror(errno));
    return 0;
}

static int check_overlay(const sbx_plan *plan, const struct sbx_mount *m, struct sbx_error *error)
{
    size_t n = 0;
    int r = 0;
    for (; r == 0 && m->layers && m->layers[n]; n++)
        r = check_source(plan, m->layers[n], false, error);
    if (r == 0 && n < (m->readonly ? 2 : 1))
        return sbxi_error(error, EINVAL, "sandbox %s: overlay: %s: it needs %s", plan->name,
                          m->target, m->readonly ? "two layers" : "a layer");
    if (r == 0 && (m->source != NULL) != (m->work != NULL))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: overlay: %s: an upper and a work directory go together",
                          plan->name, m->target);
    if (r == 0 && m->source)
        r = check_source(plan, m->source, false, error);
    return r == 0 && m->work ? check_source(plan, m->work, false, error) : r;
}

static int check_mount(const sbx_plan *plan, const struct sbx_mount *m, struct sbx_error *error)
{
    if (m->type < SBX_MOUNT_BIND || m->type > SBX_MOUNT_CHMOD || !m->target)
        return sbxi_error(error, EINVAL, "sandbox %s: mounts: unknown type or no target",
                          plan->name);
    if (m->target[0] != '/' || strlen(m->target) > PATH_MAX - 64)
        return sbxi_error(error, EINVAL, "sandbox %s: mounts: %s: use an absolute path", plan->name,
                          m->target);
    if (m->mode < -1 || m->mode > 07777)
        return sbxi_error(error, EINVAL, "sandbox %s: mounts: %s: permissions go to 07777",
                          plan->name, m->target);
    if (reads_fd(m) && fcntl(m->fd, F_GETFD) < 0)
        return sbxi_error(error, EBADF, "sandbox %s: mounts: %s: descriptor %d is not open",
                          plan->name, m->target, m->fd);
    if (m->type == SBX_MOUNT_OVERLAY)
        return check_overlay(plan, m, error);
    if (m->type == SBX_MOUNT_BIND && m->source)
        return check_source(plan, m->source, m->optional, error);
    if (m->type == SBX_MOUNT_SYMLINK && (!m->source || !*m->source))
        return sbxi_error(error, EINVAL, "sandbox %s: mounts: %s: a link to nothing", plan->name,
                          m->target);
    return 0;
}

int sbxi_mounts_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < spec->nmounts; i++)
        r = check_mount(plan, &spec->mounts[i], error);
    return r;
}

static uint32_t bind_flags(const struct sbx_spec *spec, const struct sbx_mount *m)
{
    return (m->readonly ? (uint32_t)SBXI_F_RDONLY : 0) | (m->devices ? 0 : (uint32_t)SBXI_F_NODEV) |
           (m->optional ? (uint32_t)SBXI_F_OPTIONAL : 0) |
           (spec->bwrap ? (uint32_t)SBXI_F_SLAVE : 0);
}

static void
add_bind(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec, const struct sbx_mount *m)
{
    struct sbxi_plan_step *step;
    char given[32];
    if (m->source) {
        step = sbxi_plan_open(plan, m->source);
    } else {
        int32_t slot = sbxi_plan_give(plan, m->fd);
        step = sbxi_plan_add(plan, SBXI_OPEN_FD, NULL, NULL);
        step->slot = slot;
    }
    step->flags |= bind_flags(spec, m);
    snprintf(given, sizeof given, "/proc/self/fd/%d", m->fd);
    const char *source = m->source ? step->a : given;
    int32_t slot = step->slot;
    sbxi_plan_attach(later, slot, m->target);
    sbxi_plan_hide(plan, later, source ? source : "", m->target);
}

static void add_written(struct sbxi_block *block, sbx_plan *plan, const char *path)
{
    char real[PATH_MAX];
    sbxi_block_add(block, "", sbxi_plan_real(plan, path, real));
}

static void add_overlay(sbx_plan *plan, sbx_plan *made, sbx_plan *later, const struct sbx_mount *m)
{
    struct sbxi_block layers = {0}, upper = {0};
    size_t n = 0;
    while (m->layers[n])
        n++;
    while (n > 0)
        sbxi_block_add(&layers, "", m->layers[--n]);
    if (m->source) {
        add_written(&upper, plan, m->source);
        add_written(&upper, plan, m->work);
    }
    struct sbxi_plan_step *step = sbxi_plan_add_blocks(made, SBXI_OVERLAY, &layers, &upper);
    step->args[1] = 0; /* all by their paths */
    step->slot = plan->ntrees++;
    step->flags = (m->readonly ? (uint32_t)SBXI_F_RDONLY : 0) | (uint32_t)SBXI_F_OWNED |
                  (plan->hidden ? (uint32_t)SBXI_F_REAL : 0);
    const char *written = m->source ? step->b : NULL;
    sbxi_plan_attach(later, step->slot, m->target);
    if (written)
        sbxi_plan_hide(plan, later, written, m->target);
}

/* A file with what is in the descriptor, bound over the target. */
static void add_data(sbx_plan *plan, sbx_plan *made, sbx_plan *later, const struct sbx_mount *m)
{
    int32_t slot = sbxi_plan_give(plan, m->fd);
    struct sbxi_plan_step *step = sbxi_plan_add(made, SBXI_DATA, NULL, NULL);
    step->slot = slot;
    step->flags = (m->readonly ? (uint32_t)SBXI_F_RDONLY : 0) | (uint32_t)SBXI_F_OWNED;
    step->args[0] = m->mode < 0 ? 0600 : (unsigned)m->mode;
    sbxi_plan_attach(later, slot, m->target);
}

static void add_file(sbx_plan *plan, sbx_plan *later, const struct sbx_mount *m)
{
    int32_t slot = sbxi_plan_give(plan, m->fd);
    struct sbxi_plan_step *step = sbxi_plan_add(later, SBXI_FILE, m->target, NULL);
    step->slot = slot;
    step->flags = SBXI_F_OWNED;
    step->args[0] = m->mode < 0 ? 0666 : (unsigned)m->mode;
}

static void add_mode(sbx_plan *later, enum sbxi_op op, const char *target, int mode)
{
    struct sbxi_plan_step *step = sbxi_plan_add(later, op, target, NULL);
    step->flags = SBXI_F_OWNED;
    step->args[0] = mode < 0 ? 0755 : (unsigned)mode;
}

/* A file that a group or others cannot reach is in directories that they cannot enter. */
static void add_parents(sbx_plan *later, const struct sbx_mount *m)
{
    int mode = 0755;
    if (m->mode < 0 || m->type == SBX_MOUNT_CHMOD)
        return;
    if (!(m->mode & 0070))
        mode &= ~0050;
    if (!(m->mode & 0007))
        mode &= ~0005;
    add_mode(later, SBXI_PARENTS, m->target, mode);
}

static void add_mount(sbx_plan *plan,
                      sbx_plan *made,
                      sbx_plan *later,
                      const struct sbx_spec *spec,
                      const struct sbx_mount *m)
{
    add_parents(later, m);
    switch (m->type) {
    case SBX_MOUNT_BIND:
        add_bind(plan, later, spec, m);
        break;
    case SBX_MOUNT_REMOUNT_RO:
        sbxi_plan_add(later, SBXI_SEAL, m->target, NULL);
        break;
    case SBX_MOUNT_OVERLAY:
        add_overlay(plan, made, later, m);
        break;
    case SBX_MOUNT_PROC:
        sbxi_plan_proc(plan, later, m->target, spec);
        break;
    case SBX_MOUNT_DEV:
        sbxi_plan_dev(plan, later, m->target, spec);
        break;
    case SBX_MOUNT_TMPFS:
        sbxi_plan_tmpfs(later, m->target, m->mode < 0 ? 0755 : (unsigned)m->mode, m->size_bytes,
                        SBXI_F_OWNED);
        break;
    case SBX_MOUNT_MQUEUE:
        sbxi_plan_add(later, SBXI_MQUEUE, m->target, NULL);
        break;
    case SBX_MOUNT_DIR:
        add_mode(later, SBXI_DIRECTORY, m->target, m->mode);
        break;
    case SBX_MOUNT_FILE:
        add_file(plan, later, m);
        break;
    case SBX_MOUNT_BIND_DATA:
        add_data(plan, made, later, m);
        break;
    case SBX_MOUNT_SYMLINK:
        sbxi_plan_add(later, SBXI_SYMLINK, m->target, m->source);
        break;
    case SBX_MOUNT_CHMOD:
        add_mode(later, SBXI_CHMOD, m->target, m->mode);
        break;
    }
}

void sbxi_plan_mounts(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec)
{
    struct sbx_plan made = {0};
    for (size_t i = 0; i < spec->nmounts; i++)
        add_mount(plan, &made, later, spec, &spec->mounts[i]);
    sbxi_plan_append(plan, &made);
}
