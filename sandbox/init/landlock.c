/* SPDX-License-Identifier: MIT */
/*
 * Landlock: what the payload may open, connect to and signal, beside what permissions say. The launcher has read the
 * kernel's ABI and decided what is taken away; here the paths of the rules are looked up, as the payload will see them.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "init.h"
#include "kernel.h"

static const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
                                 LANDLOCK_ACCESS_FS_IOCTL_DEV;

/* A right that only directories have is an error in a rule for a file. */
static int allow_path(struct init *init, int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr beneath = {.allowed_access = access};
    struct stat st;
    int r = 0, fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return init_fail(init, errno, "%s", path);
    beneath.parent_fd = fd;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        beneath.allowed_access &= of_files;
    if (sbxi_landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
        r = init_fail(init, errno, "%s", path);
    close(fd);
    return r;
}

static int allow(struct init *init, int ruleset, const struct sbxi_step *step, size_t i)
{
    struct sbxi_landlock_rule rule;
    memcpy(&rule, init_a(init, step) + i * sizeof rule, sizeof rule);
    if (rule.path >= 0)
        return allow_path(init, ruleset, init_b(init, step) + rule.path, rule.access);
    struct sbxi_landlock_port port = {.access = rule.access, .port = rule.port};
    if (sbxi_landlock_add_rule(ruleset, SBXI_LANDLOCK_RULE_NET_PORT, &port, 0) < 0)
        return init_fail(init, errno, "port %u", rule.port);
    return 0;
}

int init_act_landlock(struct init *init, const struct sbxi_step *step)
{
    const struct sbxi_landlock_ruleset attr = {step->args[0], step->args[1], step->args[2]};
    int r = 0, ruleset = sbxi_landlock_create_ruleset(&attr, sizeof attr, 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; r >= 0 && i < step->a_length / sizeof(struct sbxi_landlock_rule); i++)
        r = allow(init, ruleset, step, i);
    if (r >= 0 && sbxi_landlock_restrict_self(ruleset, 0) < 0)
        r = -errno;
    close(ruleset);
    return r;
}
