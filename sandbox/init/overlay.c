/* SPDX-License-Identifier: MIT */
/*
 * Overlays, made while the host is still in sight.
 *
 * Directories are named by number, from within /proc/self/fd: no name of the user's is ever part of an option, and none
 * needs escaping. Where the launcher is root they are mounts of its making, layers with the sandbox's ids, which are
 * attached to the scratch tmpfs for the while: the kernel stacks only what is in this mount namespace (any mount since
 * Linux 6.15).
 *
 * userxattr: what OverlayFS notes in the upper directory are attributes that this user namespace may write, and with it go
 * redirect_dir and metacopy, which would have the kernel follow what a payload has written there. index is off: it would
 * tie an upper directory to its layers, and neither could be copied.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "init.h"
#include "kernel.h"
#include "tree.h"
#include "without.h"

enum {
    MOST_LAYERS = 256,
    OLD_OPTION = 255 /* bytes of "lowerdir", which was the only way before Linux 6.8 */
};

/* What an overlay is made of; all of it is closed when that is done. */
struct parts {
    int layer[MOST_LAYERS]; /* the highest first */
    size_t nlayers;
    int upper, work;
    int numbers; /* /proc/self/fd */
};

static int open_directory(struct init *init, int dirfd, const char *path)
{
    int fd = openat(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? init_fail(init, errno, "%s", path) : fd;
}

static int open_written(struct init *init, const struct sbxi_step *step, const char *path)
{
    int fd = sbxi_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
                          step->flags & SBXI_F_REAL ? RESOLVE_NO_SYMLINKS : 0);
    return fd < 0 ? init_fail(init, errno, "%s", path) : fd;
}

/* Out of the table of trees: ours to close. */
static int take_tree(struct init *init, uint64_t slot)
{
    int fd = init->tree[slot];
    init->tree[slot] = -1;
    return fd;
}

static int attach_to_scratch(struct init *init, int tree)
{
    char name[16];
    int r = init_scratch(init);
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "m%u", init->scratched++);
    if (mkdirat(init->scratch, name, 0700) < 0 ||
        move_mount(tree, "", init->scratch, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/* By path, or from the slots that begin at args[1] - 1. */
static int open_layers(struct init *init, const struct sbxi_step *step, struct parts *parts)
{
    const char *path = init_a(init, step);
    size_t n = step->args[0];
    int r = 0;
    if (n > MOST_LAYERS)
        return init_fail(init, E2BIG, "more than %d layers", MOST_LAYERS);
    for (size_t i = 0; r >= 0 && i < n; i++, path += strlen(path) + 1) {
        r = step->args[1] ? take_tree(init, step->args[1] - 1 + i)
                          : open_directory(init, AT_FDCWD, path);
        if (r < 0)
            break;
        parts->layer[parts->nlayers++] = r;
        if (step->args[1] && (r = attach_to_scratch(init, r)) < 0)
            init_fail(init, -r, "%s", path);
    }
    return r < 0 ? r : 0;
}

/* The launcher's: a mount that holds both, and the two in it. */
static int take_upper(struct init *init, const struct sbxi_step *step, struct parts *parts)
{
    int tree = take_tree(init, step->args[2] - 1);
    parts->upper = take_tree(init, step->args[2]);
    parts->work = take_tree(init, step->args[2] + 1);
    int r = attach_to_scratch(init, tree);
    close(tree);
    return r < 0 ? init_fail(init, -r, "%s", init_b(init, step)) : 0;
}

/* A fresh pair in the scratch tmpfs. */
static int make_upper(struct init *init, const struct sbxi_step *step, struct parts *parts)
{
    char name[2][24];
    int r = init_scratch(init), *fds[2] = {&parts->upper, &parts->work};
    for (int i = 0; r >= 0 && i < 2; i++) {
        snprintf(name[i], sizeof name[i], "%s%u", i ? "work" : "upper", init->scratched);
        if (mkdirat(init->scratch, name[i], 0755) < 0)
            r = -errno;
        else
            r = *fds[i] = open_directory(init, init->scratch, name[i]);
    }
    init->scratched++;
    return r < 0 ? r : init_give_away(init, step, parts->upper);
}

static int open_upper(struct init *init, const struct sbxi_step *step, struct parts *parts)
{
    const char *upper = init_b(init, step);
    if (step->flags & SBXI_F_RDONLY)
        return 0;
    if (step->args[2])
        return take_upper(init, step, parts);
    if (!step->b_length)
        return make_upper(init, step, parts);
    parts->upper = open_written(init, step, upper);
    if (parts->upper < 0)
        return parts->upper;
    parts->work = open_written(init, step, upper + strlen(upper) + 1);
    return parts->work < 0 ? parts->work : 0;
}

static int set_number(int fs, const char *key, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0) < 0 ? -errno : 0;
}

static size_t join_numbers(char text[MOST_LAYERS * 6], const struct parts *parts)
{
    size_t used = 0;
    for (size_t i = 0; i < parts->nlayers; i++)
        used += (size_t)snprintf(text + used, MOST_LAYERS * 6 - used, "%s%d", i ? ":" : "",
                                 parts->layer[i]);
    return used;
}

/* Before Linux 6.8 all of them are one option. -E2BIG: too long a one. */
static int set_old_layers(int fs, const struct parts *parts)
{
    char text[MOST_LAYERS * 6] = "";
    if (join_numbers(text, parts) > OLD_OPTION)
        return -E2BIG;
    return fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", text, 0) < 0 ? -errno : 0;
}

/* mount(2) takes a page of options. It mounts somewhere, and what is wanted is a mount that is nowhere yet. */
static int mount_old(struct init *init, const struct parts *parts)
{
    char text[MOST_LAYERS * 6] = "", options[4096], name[16], place[32], written[64] = "";
    unsigned long flags = MS_NOSUID | MS_NODEV | (parts->upper < 0 ? (unsigned long)MS_RDONLY : 0);
    int r = init_scratch(init);
    if (r < 0)
        return r;
    join_numbers(text, parts);
    if (parts->upper >= 0)
        snprintf(written, sizeof written, ",upperdir=%d,workdir=%d", parts->upper, parts->work);
    snprintf(options, sizeof options, "userxattr,index=off,lowerdir=%s%s", text, written);
    snprintf(name, sizeof name, "o%u", init->scratched++);
    snprintf(place, sizeof place, "%d/%s", init->scratch, name);
    if (mkdirat(init->scratch, name, 0700) < 0 ||
        mount("overlay", place, "overlay", flags, options) < 0)
        return -errno;
    int tree = sbxi_tree_open(init->scratch, name, 0, 0);
    return umount2(place, MNT_DETACH) < 0 ? -errno : tree;
}

static int set_layers(int fs, const struct parts *parts)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < parts->nlayers; i++)
        r = set_number(fs, "lowerdir+", parts->layer[i]);
    return r;
}

static int configure(int fs, const struct parts *parts, bool old)
{
    int r = fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0 ||
                    fsconfig(fs, FSCONFIG_SET_STRING, "index", "off", 0) < 0
                ? -errno
                : 0;
    if (r == 0)
        r = old ? set_old_layers(fs, parts) : set_layers(fs, parts);
    if (r == 0 && parts->upper >= 0)
        r = set_number(fs, "upperdir", parts->upper);
    if (r == 0 && parts->upper >= 0)
        r = set_number(fs, "workdir", parts->work);
    if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    return r;
}

/* The kernel says it to its log alone. */
static void say_places(struct init *init, const struct parts *parts)
{
    struct statx upper, work;
    if (statx(parts->upper, "", AT_EMPTY_PATH, STATX_MNT_ID, &upper) < 0 ||
        statx(parts->work, "", AT_EMPTY_PATH, STATX_MNT_ID, &work) < 0)
        return;
    if (upper.stx_dev_major != work.stx_dev_major || upper.stx_dev_minor != work.stx_dev_minor ||
        upper.stx_mnt_id != work.stx_mnt_id)
        init_fail(init, EINVAL,
                  "the work directory lies on another mount than what is written; put it beside "
                  "that");
}

static int mount_overlay(struct init *init, const struct sbxi_step *step, const struct parts *parts)
{
    unsigned attributes =
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (parts->upper < 0 ? (unsigned)MOUNT_ATTR_RDONLY : 0);
    struct statvfs vfs;
    int r = -EINVAL, tree = -1, fs = -1;
    /* Before 6.5 the kernel reads no option until the end, and it is only there that it does not know the new one. */
    for (int old = 0; r == -EINVAL && old < 2; old++) {
        if (fs >= 0)
            close(fs);
        fs = fsopen("overlay", FSOPEN_CLOEXEC);
        if (fs < 0)
            return -errno;
        r = configure(fs, parts, old);
    }
    if (r == -E2BIG)
        r = tree = mount_old(init, parts);
    else if (r == 0 && (r = tree = fsmount(fs, FSMOUNT_CLOEXEC, attributes)) < 0)
        r = -errno;
    if (r == -EINVAL && parts->upper >= 0)
        say_places(init, parts);
    if (r < 0)
        init_keep_words(init, fs);
    close(fs);
    /* What it cannot do with an upper directory it does without, and tells the kernel's log alone. */
    if (tree >= 0 && parts->upper >= 0 && fstatvfs(tree, &vfs) == 0 && (vfs.f_flag & ST_RDONLY)) {
        close(tree);
        return init_fail(init, EROFS, "the file system of %s cannot be written through an overlay",
                         step->b_length ? init_b(init, step) : "the scratch directory");
    }
    return r;
}

static int make(struct init *init, const struct sbxi_step *step, struct parts *parts)
{
    int r = open_layers(init, step, parts);
    if (r == 0 && SBXI_WITHOUT("overlay")) /* its lowest layer, as it is */
        return sbxi_tree_open(parts->layer[parts->nlayers - 1], "", 0, 0);
    if (r == 0)
        r = open_upper(init, step, parts);
    if (r < 0)
        return r;
    parts->numbers = openat(init->proc, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parts->numbers < 0 || fchdir(parts->numbers) < 0)
        return init_fail(init, errno, "/proc/self/fd");
    return mount_overlay(init, step, parts);
}

int init_overlay(struct init *init, const struct sbxi_step *step)
{
    struct parts parts = {.upper = -1, .work = -1, .numbers = -1};
    int r = make(init, step, &parts);
    for (size_t i = 0; i < parts.nlayers; i++)
        close(parts.layer[i]);
    if (parts.upper >= 0)
        close(parts.upper);
    if (parts.work >= 0)
        close(parts.work);
    if (parts.numbers >= 0)
        close(parts.numbers);
    if (r < 0)
        return r;
    init->tree[step->slot] = r;
    return chdir("/") < 0 ? -errno : 0;
}
