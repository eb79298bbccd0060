/* SPDX-License-Identifier: MIT */
/* Landlock: what the payload may open, beside what permissions say. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "init.h"
#include "kernel.h"

/*
 * Landlock looks at where a file *is*: a passed descriptor's file lies below the host's root, not below ours, so opening
 * it a second time through /proc/self/fd is refused, whatever its permissions.
 */
int init_act_landlock(void)
{
    int abi = sbxi_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0)
        return -errno;
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
    };
    if (abi >= 2)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    int ruleset = sbxi_landlock_create_ruleset(&attr, sizeof attr, 0);
    if (ruleset < 0)
        return -errno;
    struct landlock_path_beneath_attr beneath = {.allowed_access = attr.handled_access_fs};
    int r = 0, root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    beneath.parent_fd = root;
    if (root < 0 || sbxi_landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ||
        sbxi_landlock_restrict_self(ruleset, 0) < 0)
        r = -errno;
    if (root >= 0)
        close(root);
    close(ruleset);
    return r;
}
