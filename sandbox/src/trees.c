/* SPDX-License-Identifier: MIT */
/* What the launcher opens for init: it can reach paths that the ids of a user namespace cannot. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "launch.h"
#include "tree.h"

int sbxi_launch_open_trees(struct launch *launch, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    for (size_t i = 0; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (step->op == SBXI_GIVEN) {
            int copy = fcntl(step->fd, F_DUPFD_CLOEXEC, 3);
            if (copy < 0)
                return sbxi_error(error, errno, "sandbox %s: descriptor %d: %s", plan->name,
                                  step->fd, strerror(errno));
            launch->fds[launch->nfds++] = copy;
            launch->ntrees++;
            launch->opened[step->slot] = true;
        }
        if (step->op != SBXI_OPEN || !plan->privileged)
            continue;
        int fd = sbxi_tree_open(AT_FDCWD, step->a, step->flags, step->args[0]);
        if (fd == -ENOENT && (step->flags & SBXI_F_OPTIONAL))
            continue;
        if (fd < 0)
            return sbxi_error(error, -fd, "sandbox %s: open host path %s: %s; %s", plan->name,
                              (char *)step->a, strerror(-fd),
                              fd == -ENODEV   ? "it is not the device it should be"
                              : fd == -EMFILE ? "raise the limit of open files (ulimit -n)"
                                              : "it must be reachable for the launcher");
        launch->fds[launch->nfds++] = fd;
        launch->ntrees++;
        launch->opened[step->slot] = true;
    }
    return 0;
}
