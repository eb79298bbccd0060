/* SPDX-License-Identifier: MIT */
/*
 * The router's confinement, step by step. What is true after each:
 *
 *   descriptors   0, 1, 2 and the control connection are open, nothing else
 *   namespaces    own mount, net, ipc and uts namespace; started by a user: inside a user namespace that maps one id
 *   root          the only filesystem is an empty read-only tmpfs; no /proc, nothing to open even without seccomp
 *   user          (root) own uid and gid, no groups
 *   privileges    no capability in any set, bounding set empty, no_new_privs, not dumpable (so no ptrace by equals)
 *   limits        no core, no processes, no file larger than a copy of a descriptor (fdcopy.h)
 *   system calls  an allow-list; everything else fails with EPERM
 *
 * The order matters: the bounding set and the mounts need capabilities that leaving uid 0 takes away; seccomp comes
 * last because it forbids all of the steps. A process that dies with its parent (PDEATHSIG) is set after the uid
 * change, which clears it (prctl(2)); the router also ends when the control connection does.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "confine-seccomp.h"
#include "fdcopy.h"
#include "idmap.h"

static int parse_id(const char *text, unsigned *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value >= UINT_MAX || text[0] == '-')
        return -EINVAL;
    *ret = (unsigned)value;
    return 0;
}

int confine_parse(int argc, char **argv, struct confine_options *ret)
{
    struct confine_options options = {.control_fd = 3};
    bool uid = false, gid = false;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return -EINVAL;
        if (strcmp(argv[i], "--uid") == 0 && parse_id(argv[i + 1], &options.uid) == 0)
            uid = true;
        else if (strcmp(argv[i], "--gid") == 0 && parse_id(argv[i + 1], &options.gid) == 0)
            gid = true;
        else
            return -EINVAL;
    }
    if (uid && !gid)
        options.gid = options.uid;
    if ((gid && !uid) || (uid && (options.uid == 0 || options.gid == 0)))
        return -EINVAL;
    options.drop_user = uid;
    *ret = options;
    return 0;
}

static int close_others(int control_fd)
{
    if ((control_fd > 3 && close_range(3, (unsigned)control_fd - 1, 0) < 0) ||
        close_range((unsigned)control_fd + 1, ~0u, 0) < 0)
        return -errno;
    return 0;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int r = n < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* A user has no right to the other namespaces but inside a user namespace of his own. */
static int enter_user_namespace(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    int r = write_file("/proc/self/setgroups", "deny");
    if (r < 0 && r != -ENOENT)
        return r;
    snprintf(map, sizeof(map), "%u %u 1", idmap_choose(IDMAP_UID, uid), uid);
    r = write_file("/proc/self/uid_map", map);
    if (r < 0)
        return r;
    snprintf(map, sizeof(map), "%u %u 1", idmap_choose(IDMAP_GID, gid), gid);
    return write_file("/proc/self/gid_map", map);
}

/* pivot_root(2) cannot leave an initramfs; there the new root is moved over the old one. */
static int change_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
    if (errno != EINVAL)
        return -errno;
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
        return -errno;
    return 0;
}

static int enter_empty_root(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    /* Any directory will do to hang the new root on; "/usr" is one that every system has. */
    if (mount("tmpfs", "/usr", "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") < 0 ||
        chdir("/usr") < 0)
        return -errno;
    int r = change_root();
    if (r < 0)
        return r;
    if (chdir("/") < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
        return -errno;
    return 0;
}

static int empty_bounding_set(void)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0)
            break; /* EINVAL: past the last one this kernel knows */
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    }
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

static int change_user(const struct confine_options *options)
{
    if (setgroups(0, NULL) < 0 || setresgid(options->gid, options->gid, options->gid) < 0 ||
        setresuid(options->uid, options->uid, options->uid) < 0)
        return -errno;
    return 0;
}

static int drop_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int limit(int resource, rlim_t value)
{
    struct rlimit both = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &both) < 0 ? -errno : 0;
}

static int set_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -errno;
    /* Also bounds what may be in flight in the kernel for our uid (unix(7), ETOOMANYREFS). */
    files.rlim_cur = files.rlim_max;
    int r = setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
    if (r == 0)
        r = limit(RLIMIT_CORE, 0);
    if (r == 0)
        r = limit(RLIMIT_NPROC, 0);
    if (r == 0)
        r = limit(RLIMIT_MSGQUEUE, 0);
    if (r == 0)
        r = limit(RLIMIT_MEMLOCK, 0);
    /* memfds count as files here: room for the copies that the fd policy makes. */
    if (r == 0)
        r = limit(RLIMIT_FSIZE, FDCOPY_MAX);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return r;
}

int router_confine(const struct confine_options *options, const char **ret_step)
{
    int r;
    *ret_step = "close inherited descriptors";
    if ((r = close_others(options->control_fd)) < 0)
        return r;
    if (options->drop_user) {
        idmap_probe();
    } else {
        *ret_step = "enter a user namespace";
        if ((r = enter_user_namespace()) < 0)
            return r;
    }
    *ret_step = "enter mount, net, ipc and uts namespaces";
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return -errno;
    *ret_step = "change to an empty root";
    if ((r = enter_empty_root()) < 0)
        return r;
    *ret_step = "empty the capability bounding set";
    if ((r = empty_bounding_set()) < 0)
        return r;
    if (options->drop_user) {
        *ret_step = "change to the router's own uid";
        if ((r = change_user(options)) < 0)
            return r;
    }
    *ret_step = "drop capabilities";
    if ((r = drop_privileges()) < 0)
        return r;
    *ret_step = "set resource limits";
    if ((r = set_limits()) < 0)
        return r;
    *ret_step = "load the system call filter";
    return confine_seccomp();
}
