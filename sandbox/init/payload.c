/* SPDX-License-Identifier: MIT */
/*
 * The payload's process between fork and execve. It gives up what it has in an order in which each step is still
 * allowed: limits and the bounding set while it has capabilities, then ids, capabilities, no_new_privs, Landlock,
 * descriptors, and seccomp last, so that the filter need not allow any of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "init.h"
#include "kernel.h"

void init_reset_signals(void)
{
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL); /* KILL and STOP refuse, which is fine */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int init_drop_bounds(void)
{
    for (unsigned long cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL && cap > 0 ? 0 : -errno;
    return 0;
}

int init_get_caps(unsigned *ret)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *ret = data[0].permitted;
    return 0;
}

int init_set_caps(unsigned keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* A new user namespace has given all of them back. EINVAL and EPERM: that one is not there, or out of reach. */
static int keep_bounds(uint64_t keep)
{
    for (unsigned long cap = 0; cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL &&
            errno != EPERM)
            return -errno;
    return 0;
}

/* Ambient too: an exec by a uid that is not 0 keeps no others. */
static int keep_caps(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0 ||
        (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL))
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(keep >> (32 * i));
        data[i].effective = data[i].inheritable = data[i].permitted;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    for (unsigned long cap = 0; cap < 64; cap++)
        if ((data[cap / 32].permitted >> (cap % 32) & 1) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 && errno != EINVAL &&
            errno != EPERM)
            return -errno;
    return 0;
}

int init_die_with_parent(void)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

/* A working directory outside the root ("(unreachable)") is a way out (CVE-2024-21626). */
static int change_directory(struct init *init, const char *path)
{
    char cwd[4096];
    int fd = init_resolve(init, path);
    if (fd < 0)
        return fd;
    int r = fchdir(fd) < 0 ? -errno : 0;
    close(fd);
    if (r < 0)
        return r;
    if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0)
        return -errno;
    snprintf(init->cwd, sizeof init->cwd, "%s", path);
    return cwd[0] == '/' ? 0 : init_fail(init, EXDEV, "it is outside the sandbox");
}

/* What the last of the candidates is, "/", is always there. */
static int find_directory(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step);
    for (uint64_t i = 1; i < step->args[0]; i++, path += strlen(path) + 1)
        if (path[0] == '/' && change_directory(init, path) >= 0)
            return 0;
    init->detail[0] = '\0';
    return change_directory(init, "/");
}

static int set_limit(const struct sbxi_step *step)
{
    struct rlimit limit = {.rlim_cur = step->args[1], .rlim_max = step->args[2]};
    return setrlimit((__rlimit_resource_t)step->args[0], &limit) < 0 ? -errno : 0;
}

/* /proc files of a non-dumpable process belong to the namespace's root, which a sandbox of one id does not have. */
static int set_oom_score(const struct init *init, const struct sbxi_step *step)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%d", (int)step->args[0]);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) /* a root may have no /proc, the host has */
        fd = openat(init->proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    int r = fd < 0 || write(fd, text, (size_t)length) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return step->flags & SBXI_F_OPTIONAL ? 0 : r;
}

static int drop_bounds(void)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                               SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int r = init_drop_bounds();
    if (r < 0)
        return r;
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

static int set_ids(const struct sbxi_step *step)
{
    uid_t uid = (uid_t)step->args[0];
    gid_t gid = (gid_t)step->args[1];
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return -errno;
    return 0;
}

/*
 * Landlock looks at where a file *is*: a passed descriptor's file lies below the host's root, not below ours, so opening
 * it a second time through /proc/self/fd is refused, whatever its permissions.
 */
static int restrict_opens(void)
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

/* Passed descriptors lie at 5… and get their numbers; the error descriptor goes above them, everything else closes. */
static int arrange_fds(struct init *init, const struct sbxi_step *step)
{
    static int32_t number[SBXI_MAX_PASSED];
    static int moved[SBXI_MAX_PASSED];
    int count = (int)step->args[0], above = SBXI_FD_PASSED + count;
    memcpy(number, init_a(init, step), step->a_length);
    if (count > 0 && number[count - 1] >= above)
        above = number[count - 1] + 1;
    int error_fd = fcntl(init->error_fd, F_DUPFD_CLOEXEC, above);
    if (error_fd < 0)
        return -errno;
    close(init->error_fd);
    init->error_fd = error_fd;
    for (int i = 0; i < count; i++)
        if ((moved[i] = fcntl(SBXI_FD_PASSED + i, F_DUPFD_CLOEXEC, above)) < 0)
            return -errno;
    int from = 3;
    for (int i = 0; i < count; i++) {
        if (dup2(moved[i], number[i]) < 0)
            return -errno;
        if (number[i] > from)
            close_range((unsigned)from, (unsigned)number[i] - 1, 0);
        from = number[i] + 1;
    }
    if (error_fd > from)
        close_range((unsigned)from, (unsigned)error_fd - 1, 0);
    return close_range((unsigned)error_fd + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int load_filter(struct init *init, const struct sbxi_step *step)
{
    struct sock_filter code[4096];
    if (step->a_length > sizeof code)
        return -E2BIG;
    memcpy(code, init_a(init, step), step->a_length);
    struct sock_fprog program = {
        .len = (unsigned short)(step->a_length / sizeof code[0]),
        .filter = code,
    };
    /* Not seccomp(2): filters that users have written for bubblewrap let this one pass, to load the next. */
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return -errno;
    return 0;
}

int init_act_payload(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_RLIMIT:
        return set_limit(step);
    case SBXI_OOM_SCORE:
        return set_oom_score(init, step);
    case SBXI_DROP_BOUNDS:
        return drop_bounds();
    case SBXI_HOLD:
    case SBXI_LOCK_FILE:
        return 0; /* PID 1's */
    case SBXI_BOUNDS:
        return keep_bounds(step->args[0]);
    case SBXI_CAPS:
        return keep_caps(step->args[0]);
    case SBXI_FIND_CWD:
        return find_directory(init, step);
    case SBXI_PARENT_DEATH:
        return init_die_with_parent();
    case SBXI_IDS:
        return set_ids(step);
    case SBXI_NO_CAPS:
        return init_set_caps(0);
    case SBXI_NO_NEW_PRIVS:
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
    case SBXI_CHDIR:
        return change_directory(init, init_a(init, step));
    case SBXI_LANDLOCK:
        return restrict_opens();
    case SBXI_FDS:
        return arrange_fds(init, step);
    case SBXI_SECCOMP:
        return load_filter(init, step);
    case SBXI_EXEC:
        return init_exec(init, step);
    default:
        return -ENOSYS;
    }
}
