/* SPDX-License-Identifier: MIT */
/*
 * The root of a sandbox, by the new mount API: nothing is named by a path of the host once it is opened, and nothing
 * below the new root is reached through a link that leads out of it (openat2 RESOLVE_IN_ROOT, no magic links).
 *
 * Order that matters: procfs is made before the pivot, because the kernel lets a user namespace mount one only while an
 * unmasked procfs is in its sight; the pivot comes before every other mount, so that no path can mean the host.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init.h"
#include "kernel.h"
#include "tree.h"
#include "without.h"

int init_resolve(const struct init *init, const char *path)
{
    uint64_t how = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    if (SBXI_WITHOUT("in-root")) {
        path = path[1] ? path + 1 : ".";
        how = 0;
    }
    int fd = sbxi_openat2(init->root, path, O_PATH | O_CLOEXEC, 0, how);
    return fd < 0 ? -errno : fd;
}

/* Is it the root itself, and not something below it? What is attached there covers it all, and is the root from then on. */
static int is_root(const struct init *init, const struct statx *a)
{
    struct statx b;
    if (statx(init->root, "", AT_EMPTY_PATH, INIT_IDENTITY, &b) < 0)
        return -errno;
    return a->stx_ino == b.stx_ino && a->stx_mnt_id == b.stx_mnt_id &&
           a->stx_dev_major == b.stx_dev_major && a->stx_dev_minor == b.stx_dev_minor;
}

int init_attach_at(struct init *init, int tree, int target, const struct statx *st)
{
    int covers = is_root(init, st);
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    init_set_fresh(init, NULL, -1);
    if (covers <= 0)
        return covers;
    int root = fcntl(tree, F_DUPFD_CLOEXEC, 3);
    if (root < 0)
        return -errno;
    close(init->root);
    init->root = root;
    init->covers++;
    return 0;
}

/* Attach @tree where @step says, which is made where it is missing. Does not consume @tree. */
static int attach(struct init *init, int tree, const struct sbxi_step *step)
{
    const char *name, *path = init_a(init, step);
    struct statx at;
    struct stat st;
    if (fstat(tree, &st) < 0)
        return -errno;
    int fresh = init_fresh(init, step, &name);
    if (fresh >= 0) {
        int made = init_make_fresh(fresh, name, S_ISDIR(st.st_mode));
        return made < 0 ? made : init_attach_fresh(tree, fresh, name);
    }
    int target = init_resolve(init, path);
    if (target == -ENOENT) {
        int r = init_make_parents(init, step, path, 0755);
        if (r >= 0)
            r = init_make_leaf(init, path, S_ISDIR(st.st_mode), S_ISDIR(st.st_mode) ? 0755 : 0444);
        if (r == -EROFS)
            return init_fail(init, EROFS,
                             "it does not exist, and the root is read-only; make it there, or name "
                             "what is, or a place on a --tmpfs or --layer with --upper");
        if (r < 0)
            return r;
        target = init_resolve(init, path);
    }
    if (target < 0)
        return target;
    int r = statx(target, "", AT_EMPTY_PATH, INIT_IDENTITY, &at) < 0 ? -errno : 0;
    if (r == 0)
        r = init_attach_at(init, tree, target, &at);
    close(target);
    return r;
}

/* "e overlay: …" */
void init_keep_words(struct init *init, int fs)
{
    char line[sizeof init->detail];
    ssize_t n;
    while (!init->detail[0] && (n = read(fs, line, sizeof line - 1)) > 0) {
        line[n] = '\0';
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == 'e' && line[1] == ' ')
            memcpy(init->detail, line + 2, strlen(line + 2) + 1);
    }
}

int init_new_fs(struct init *init,
                const char *type,
                const struct option *options,
                unsigned attributes)
{
    int r, mount, fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    for (; options->key; options++)
        if (fsconfig(fs, options->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options->key,
                     options->value, 0) < 0)
            goto fail;
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        goto fail;
    mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    if (mount < 0)
        goto fail;
    close(fs);
    return mount;
fail:
    r = -errno;
    init_keep_words(init, fs);
    close(fs);
    return r;
}

#define TMPFS_ATTRIBUTES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct tmpfs {
    char mode[16], size[24];
    struct option options[3];
};

static void describe_tmpfs(struct tmpfs *ret, uint64_t mode, uint64_t size)
{
    snprintf(ret->mode, sizeof ret->mode, "%o", (unsigned)mode);
    snprintf(ret->size, sizeof ret->size, "%llu", (unsigned long long)size);
    ret->options[0] = (struct option){"mode", ret->mode};
    ret->options[1] = (struct option){size ? "size" : NULL, ret->size};
    ret->options[2] = (struct option){NULL, NULL};
}

int init_new_tmpfs(struct init *init, uint64_t mode, uint64_t size, unsigned attributes)
{
    struct tmpfs tmpfs;
    describe_tmpfs(&tmpfs, mode, size);
    return init_new_fs(init, "tmpfs", tmpfs.options, TMPFS_ATTRIBUTES | attributes);
}

static int attach_and_close(struct init *init, int tree, const struct sbxi_step *step)
{
    if (tree < 0)
        return tree;
    int r = attach(init, tree, step);
    if (r >= 0 && !(step->flags & SBXI_F_BELOW))
        init_set_fresh(init, init_a(init, step), tree);
    else
        close(tree);
    return r;
}

/* "key=value,…" for mount(2). */
static int join_options(const struct option *options, char *ret, size_t size)
{
    size_t used = 0;
    for (ret[0] = '\0'; options->key; options++) {
        int n = snprintf(ret + used, size - used, "%s%s=%s", used ? "," : "", options->key,
                         options->value);
        if (n < 0 || (size_t)n >= size - used)
            return -E2BIG;
        used += (size_t)n;
    }
    return 0;
}

/* The attributes that we use have the bits of mount(2)'s flags. */
_Static_assert(MOUNT_ATTR_NOSUID == MS_NOSUID && MOUNT_ATTR_NODEV == MS_NODEV &&
                   MOUNT_ATTR_NOEXEC == MS_NOEXEC,
               "mount(2) calls them otherwise");

static int mount_new(struct init *init,
                     const struct sbxi_step *step,
                     const char *type,
                     const struct option *options,
                     unsigned attributes)
{
    const char *name;
    char text[80];
    int fresh = init_fresh(init, step, &name);
    if (fresh < 0)
        return attach_and_close(init, init_new_fs(init, type, options, attributes), step);
    int r = join_options(options, text, sizeof text);
    if (r == 0)
        r = init_make_fresh(fresh, name, true);
    return r < 0 ? r : init_mount_fresh(init, NULL, name, type, attributes, text);
}

static int mount_devpts(struct init *init, const struct sbxi_step *step)
{
    const struct option options[] = {{"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}};
    return mount_new(init, step, "devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

static int mount_mqueue(struct init *init, const struct sbxi_step *step)
{
    const struct option none = {NULL, NULL};
    return mount_new(init, step, "mqueue", &none,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* The old root stays where it is, under and out of sight of the new one. */
static int change_root(struct init *init, int tree)
{
    if (fchdir(tree) < 0 || chroot(".") < 0)
        return init_fail(init, errno, "chroot");
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    close(init->root);
    init->root = root;
    return 0;
}

static int pivot(struct init *init, const struct sbxi_step *step)
{
    int tree = init->tree[step->slot];
    /* Here the scratch tmpfs does not go with the old root, and what is attached at / goes on top of it. */
    if ((step->flags & SBXI_F_CHROOT) && init->scratch >= 0) {
        if (fchdir(init->scratch) < 0 || umount2(".", MNT_DETACH) < 0)
            return init_fail(init, errno, "detach of the scratch tmpfs");
        close(init->scratch);
        init->scratch = -1;
    }
    if (SBXI_WITHOUT("pivot")) /* a root that is only a directory; enter() goes there */
        return move_mount(tree, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno
               : dup3(tree, init->root, O_CLOEXEC) < 0                             ? -errno
                                                                                   : 0;
    if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return init_fail(init, errno, "attach");
    if (step->flags & SBXI_F_CHROOT)
        return change_root(init, tree);
    if (fchdir(tree) < 0 || sbxi_pivot_root(".", ".") < 0)
        return init_fail(init, errno, "pivot_root");
    int root = fcntl(tree, F_DUPFD_CLOEXEC, 3);
    if (root < 0)
        return -errno;
    init->old = init->root;
    init->root = root;
    return 0;
}

/*
 * The old root now lies over the new one, the scratch tmpfs over that; "." leads to the uppermost. What was uncovered lies
 * on the old root and goes with it, in one umount(2): meanwhile.c says why.
 */
int init_end_old_root(struct init *init, uint32_t before)
{
    int r = 0;
    if (init->old >= 0 && before != SBXI_UNCOVER) {
        r = init_meanwhile_detach(init, SBXI_WITHOUT("detach") ? 0 : init->scratch >= 0 ? 2 : 1);
        close(init->old);
        if (init->scratch >= 0)
            close(init->scratch);
        init->old = init->scratch = -1;
    }
    return r == 0 && before >= SBXI_ENTER ? init_meanwhile_wait(init) : r;
}

/* What was attached at / lies over the process's own root. */
static int enter(struct init *init, const struct sbxi_step *step)
{
    struct statx st;
    if (SBXI_WITHOUT("pivot"))
        return fchdir(init->root) < 0 || chroot(".") < 0 ? -errno : 0;
    int r = statx(AT_FDCWD, "/", 0, INIT_IDENTITY, &st) < 0 ? -errno : is_root(init, &st);
    if (r != 0)
        return r < 0 ? r : init_leave_fresh(init);
    if (fchdir(init->root) < 0)
        return -errno;
    if (step->flags & SBXI_F_CHROOT)
        return chroot(".") < 0 ? -errno : 0;
    if (sbxi_pivot_root(".", ".") < 0)
        return init_fail(init, errno, "pivot_root");
    /* The first root and all that covered it, but for the last, lie over that now; "." leads to the uppermost. */
    for (; init->covers > 0; init->covers--)
        if (umount2(".", MNT_DETACH) < 0)
            return init_fail(init, errno, "detach of the first root");
    return chdir("/") < 0 ? -errno : 0;
}

static int mount_tmpfs(struct init *init, const struct sbxi_step *step)
{
    struct tmpfs tmpfs;
    if (step->slot < 0 && !(step->flags & SBXI_F_OWNED)) {
        describe_tmpfs(&tmpfs, step->args[0], step->args[1]);
        return mount_new(init, step, "tmpfs", tmpfs.options, TMPFS_ATTRIBUTES);
    }
    bool given = step->slot >= 0 && init->tree[step->slot] >= 0;
    int fd = given ? init->tree[step->slot] : init_new_tmpfs(init, step->args[0], step->args[1], 0);
    int r = fd < 0 ? fd : init_give_away(init, step, fd);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    if (step->slot < 0)
        return attach_and_close(init, fd, step);
    init->tree[step->slot] = fd; /* to be sealed when it is filled */
    r = attach(init, fd, step);
    if (r >= 0)
        init_set_fresh(init, init_a(init, step), fcntl(fd, F_DUPFD_CLOEXEC, 3));
    return r;
}

static int unshare_cgroup(struct init *init)
{
    struct stat st;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return -errno;
    if (stat("/proc/self/ns/cgroup", &st) == 0)
        init->cgroup_ns = (uint64_t)st.st_ino;
    return 0;
}

static int open_slot(struct init *init, const struct sbxi_step *step)
{
    const struct option none = {NULL, NULL};
    int fd = -1;
    if (step->op == SBXI_OPEN && init->tree[step->slot] >= 0)
        return 0; /* the launcher has opened it */
    if (step->op == SBXI_OPEN)
        fd = sbxi_tree_open(AT_FDCWD, init_a(init, step), step->flags, step->args[0]);
    else if (step->op == SBXI_PROC)
        fd = init_new_fs(init, "proc", &none,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    else
        fd = init_new_tmpfs(init, step->args[0], step->args[1], 0);
    if (fd == -ENOENT && (step->flags & SBXI_F_OPTIONAL))
        return 0;
    if (fd < 0)
        return fd;
    init->tree[step->slot] = fd;
    return 0;
}

static int attach_slot(struct init *init, const struct sbxi_step *step)
{
    int *tree = &init->tree[step->slot];
    if (*tree < 0)
        return 0; /* optional, and not there */
    int fd = *tree;
    *tree = -1;
    return attach_and_close(init, fd, step);
}

/*
 * Over the same place of the old root, as long as there is one; no link is followed. EINVAL: it is no mount, or locked, and
 * then it is covered. Mounts can be stacked.
 */
static int uncover(const struct init *init, const char *path)
{
    while (init->old >= 0 ? move_mount(init->root, path + 1, init->old, path + 1, 0) == 0
                          : umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        continue;
    return 0;
}

/* What a plan may not say before the pivot, whoever has made it: its paths would be the host's. */
static bool is_below_new_root(uint32_t op)
{
    return op > SBXI_PIVOT && op <= SBXI_ENTER;
}

int init_act_mount(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step);
    if (is_below_new_root(step->op) && !init->pivoted)
        return init_fail(init, EPERM, "it comes before the root is the sandbox's own");
    int r;
    switch (step->op) {
    case SBXI_OPEN:
    case SBXI_PROC:
    case SBXI_NEW_TMPFS:
        return open_slot(init, step);
    case SBXI_GIVEN:
    case SBXI_UPPER:
    case SBXI_NODES:
        return 0; /* main.c has put it there */
    case SBXI_OPEN_FD:
    case SBXI_DATA:
    case SBXI_OVERLAY:
        return init_act_source(init, step);
    case SBXI_UNSHARE_CG:
        return unshare_cgroup(init);
    case SBXI_TIME:
        return init_act_time(init, step);
    case SBXI_NOTIFY:
        return init_notify_make(init, step);
    case SBXI_HOSTNAME:
        return sethostname(path, strlen(path)) < 0 ? -errno : 0;
    case SBXI_LOOPBACK:
        return init_loopback_up();
    case SBXI_NETWORK:
        init_meanwhile_network(step->args[0]);
        return 0;
    case SBXI_NETWORK_ENTER:
        return init_meanwhile_enter_network(init);
    case SBXI_PRIVATE: {
        unsigned long how = step->flags & SBXI_F_SLAVE ? MS_SLAVE : MS_PRIVATE;
        return mount(NULL, "/", NULL, MS_REC | how, NULL) < 0 ? -errno : 0;
    }
    case SBXI_PIVOT:
        r = pivot(init, step);
        init->pivoted = r == 0;
        return r;
    case SBXI_UNCOVER:
        return uncover(init, path);
    case SBXI_PARENTS:
    case SBXI_DIRECTORY:
    case SBXI_FILE:
    case SBXI_SYMLINK:
    case SBXI_CHMOD:
        return init_act_file(init, step);
    case SBXI_ATTACH:
        return attach_slot(init, step);
    case SBXI_TMPFS:
        return mount_tmpfs(init, step);
    case SBXI_DEVPTS:
        return mount_devpts(init, step);
    case SBXI_MQUEUE:
        return mount_mqueue(init, step);
    case SBXI_MASK:
    case SBXI_READONLY:
    case SBXI_SEAL:
        return init_act_cover(init, step);
    case SBXI_ENTER:
        return enter(init, step);
    case SBXI_DROP_BOUNDS:
        return init_act_caps(init, step);
    default:
        return init_act_userns(init, step);
    }
}
