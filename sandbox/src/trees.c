/* SPDX-License-Identifier: MIT */
/* What the launcher opens for init: it can reach paths that the ids of a user namespace cannot. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <sys/mount.h>

#include "cleaner.h"
#include "cleanup.h"
#include "error.h"
#include "launch.h"
#include "nodes.h"
#include "tree.h"
#include "without.h"

static void fill(struct launch *launch, int32_t slot, int fd)
{
    launch->fds[launch->nfds++] = fd;
    launch->ntrees++;
    launch->tree[slot] = fd;
}

static int
copy_given(struct launch *launch, const struct sbxi_plan_step *step, struct sbx_error *error)
{
    int copy = fcntl(step->fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return sbxi_error(error, errno, "sandbox %s: descriptor %d: %s", launch->plan->name,
                          step->fd, strerror(errno));
    fill(launch, step->slot, copy);
    return 0;
}

static int
open_source(struct launch *launch, const struct sbxi_plan_step *step, struct sbx_error *error)
{
    int fd = sbxi_tree_open(AT_FDCWD, step->a, step->flags, step->args[0]);
    if (fd == -ENOENT && (step->flags & SBXI_F_OPTIONAL))
        return 0;
    if (fd < 0)
        return sbxi_error(error, -fd, "sandbox %s: open host path %s: %s; %s", launch->plan->name,
                          (char *)step->a, strerror(-fd),
                          fd == -ENODEV   ? "it is not the device it should be"
                          : fd == -EMFILE ? "raise the limit of open files (ulimit -n)"
                                          : "it must be reachable for the launcher");
    fill(launch, step->slot, fd);
    return 0;
}

/* Where they may not be made the devices are bound, all of them. */
static int make_nodes(struct launch *launch,
                      const sbx *s,
                      const struct sbxi_plan_step *step,
                      struct sbx_error *error)
{
    int fd = sbxi_nodes_make(step->args[0], SBXI_WITHOUT("map") ? 0 : s->report.uid_first);
    if (fd < 0 && launch->nodes)
        return sbxi_error(error, -fd, "sandbox %s: device nodes: %s", launch->plan->name,
                          strerror(-fd));
    launch->nodes = fd >= 0;
    if (fd >= 0)
        fill(launch, step->slot, fd);
    return 0;
}

int sbxi_launch_take_upper(struct launch *launch, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    for (size_t i = 0; i < plan->nsteps; i++)
        if (plan->steps[i].op == SBXI_UPPER) {
            int r = sbxi_upper_open(&launch->upper, plan->steps[i].a, true, error);
            return r < 0 ? r : sbxi_upper_lock(&launch->upper, error);
        }
    return 0;
}

/* All that a later look at it needs: whose files these are, what lies below, who writes there. */
static int note_upper(struct launch *launch, const sbx *s, struct sbx_error *error)
{
    const char *group = s->cgroup ? strrchr(sbxi_cgroup_get_path(s->cgroup), '/') : NULL;
    const struct sbxi_plan_step *overlay = NULL;
    for (size_t i = 0; i < launch->plan->nsteps && !overlay; i++)
        if (launch->plan->steps[i].op == SBXI_OVERLAY)
            overlay = &launch->plan->steps[i];
    int r = overlay ? sbxi_upper_note(&launch->upper, overlay->a, overlay->args[0],
                                      group && strncmp(group, "/uds-", 5) == 0 ? group + 5 : "",
                                      s->cleaner ? sbxi_cleaner_get_run_dir(s->cleaner) : "")
                    : -EINVAL;
    if (r < 0)
        return sbxi_error(error, -r, "sandbox %s: upper: %s.uds/info: %s", launch->plan->name,
                          launch->upper.path, strerror(-r));
    return 0;
}

static int open_upper(struct launch *launch,
                      const sbx *s,
                      const struct sbxi_plan_step *step,
                      struct sbx_error *error)
{
    uint32_t first = s->ids_taken ? s->report.uid_first : SBXI_UPPER_OWN_IDS;
    int r = 0;
    if (step->args[0] == SBXI_UPPER_LOCK) {
        r = sbxi_upper_shift(&launch->upper, first, error);
        if (r == 0)
            r = sbxi_upper_claim(&launch->upper, first, error);
        if (r == 0)
            r = note_upper(launch, s, error);
        if (r == 0)
            sbxi_upper_end_shift(&launch->upper);
    }
    if (r < 0)
        return r;
    int mount = step->args[0] > SBXI_UPPER_MOUNT
                    ? launch->tree[step->slot - (int32_t)step->args[0] + SBXI_UPPER_MOUNT]
                    : -1;
    int fd = sbxi_upper_open_part(&launch->upper, (unsigned)step->args[0], mount);
    if (fd < 0)
        return sbxi_error(error, -fd, "sandbox %s: upper: %s: %s", launch->plan->name,
                          launch->upper.path, strerror(-fd));
    fill(launch, step->slot, fd);
    return 0;
}

int sbxi_launch_open_trees(struct launch *launch, const sbx *s, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    int r = 0;
    for (size_t i = 0; i < SBXI_MAX_TREES; i++)
        launch->tree[i] = -1;
    for (size_t i = 0; r == 0 && i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (step->op == SBXI_GIVEN)
            r = copy_given(launch, step, error);
        else if (step->op == SBXI_NOTIFY)
            fill(launch, step->slot, sbxi_take_fd(&launch->notify));
        else if (step->op == SBXI_UPPER)
            r = open_upper(launch, s, step, error);
        else if (step->op == SBXI_NODES)
            r = make_nodes(launch, s, step, error);
        else if ((step->flags & SBXI_F_NODE) && launch->nodes)
            continue;
        else if (step->op == SBXI_OPEN && plan->privileged)
            r = open_source(launch, step, error);
    }
    return r;
}

static int map_layer(const struct launch *launch,
                     int tree,
                     int userns,
                     sbx *s,
                     const char *path,
                     struct sbx_error *error)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns};
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0)
        return 0;
    if (launch->plan->degrade & SBX_DEGRADE_LAYER_IDS) {
        s->report.degraded |= SBX_DEGRADE_LAYER_IDS;
        return 0;
    }
    return sbxi_error(
        error, errno,
        "sandbox %s: layer: %s: its files cannot keep their ids: %s; its file system or this "
        "kernel has no id-mapped mounts: put it on another, or let them be nobody's by "
        "--degrade=layer-ids",
        launch->plan->name, path, strerror(errno));
}

int sbxi_launch_map_layers(const struct launch *launch, sbx *s, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    char path[64];
    _cleanup_close_ int userns = -1;
    int r = 0;
    for (size_t i = 0; plan->range && r == 0 && i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (step->op != SBXI_OPEN || !(step->flags & SBXI_F_LAYER) || launch->tree[step->slot] < 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/ns/user", (int)s->init_pid);
        if (userns < 0 && (userns = open(path, O_RDONLY | O_CLOEXEC)) < 0)
            return sbxi_error(error, errno, "sandbox %s: layers: %s: %s", plan->name, path,
                              strerror(errno));
        r = map_layer(launch, launch->tree[step->slot], userns, s, step->a, error);
    }
    return r;
}
