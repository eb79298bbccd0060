/* SPDX-License-Identifier: MIT */
/*
 * The payload's process between fork and execve. It gives up what it has in an order in which each step is still
 * allowed: limits while it has capabilities (the bounding set went with PID 1's), then ids, capabilities, no_new_privs,
 * Landlock, descriptors, and seccomp last, so that the filter need not allow any of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "init.h"
#include "without.h"

void init_reset_signals(void)
{
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL); /* KILL and STOP refuse, which is fine */
    init_unblock_signals();
}

void init_unblock_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int init_die_with_parent(void)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

/* A working directory outside the root ("(unreachable)") is a way out (CVE-2024-21626). */
int init_change_directory(struct init *init, const char *path)
{
    char cwd[4096];
    if (SBXI_WITHOUT("cwd"))
        return chdir(path) < 0 ? -errno : 0;
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
        if (path[0] == '/' && init_change_directory(init, path) >= 0)
            return 0;
    init->detail[0] = '\0';
    return init_change_directory(init, "/");
}

static int set_limit(const struct sbxi_step *step)
{
    struct rlimit limit = {.rlim_cur = step->args[1], .rlim_max = step->args[2]};
    if (setrlimit((__rlimit_resource_t)step->args[0], &limit) < 0)
        return -errno;
    if (step->args[0] != RLIMIT_AS && step->args[0] != RLIMIT_DATA)
        return 0;
    /* A program that execve has begun and that gets no page is killed without a word: that is said here. */
    void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED || munmap(page, 1) < 0 ? -errno : 0;
}

/* /proc files of a non-dumpable process belong to the namespace's root, which a sandbox of one id does not have. */
int init_act_oom_score(const struct init *init, const struct sbxi_step *step)
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
    prctl(PR_SET_DUMPABLE, SBXI_WITHOUT("dumpable"), 0, 0, 0);
    return step->flags & SBXI_F_OPTIONAL ? 0 : r;
}

/*
 * The C library's would look for other threads. Who changes its ids becomes what fs.suid_dumpable says, and so would PID 1
 * where it shares its memory.
 */
static int set_ids(const struct sbxi_step *step)
{
    uid_t uid = (uid_t)step->args[0];
    gid_t gid = (gid_t)step->args[1];
    if (step->args[2] && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return -errno;
    /* A user namespace of somebody else may deny it; what groups we had stayed outside. */
    if (!SBXI_WITHOUT("groups") && syscall(SYS_setgroups, 0, NULL) < 0 &&
        !(errno == EPERM && (step->flags & SBXI_F_OPTIONAL)))
        return -errno;
    if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
        return -errno;
    return prctl(PR_SET_DUMPABLE, SBXI_WITHOUT("dumpable"), 0, 0, 0) < 0 ? -errno : 0;
}

static int close_all(int first, unsigned last)
{
    return SBXI_WITHOUT("close") ? 0 : close_range((unsigned)first, last, 0);
}

/* How many are passed, the numbers they are to have, and the first as it lies now. */
static int list_passed(const struct init *init,
                       const struct sbxi_step *step,
                       int32_t number[SBXI_MAX_PASSED],
                       int *ret_first)
{
    const struct sbxi_request *request = init->request;
    *ret_first = request ? init->passed : SBXI_FD_PASSED;
    if (!request) {
        memcpy(number, init_a(init, step), step->a_length);
        return (int)step->args[0];
    }
    for (uint32_t i = 0; i < request->npassed; i++)
        number[i] = 3 + (int32_t)i;
    return (int)request->npassed;
}

/* Passed descriptors get their numbers; the error descriptor, if there is one, goes above them; everything else closes. */
static int arrange_fds(struct init *init, const struct sbxi_step *step)
{
    static int32_t number[SBXI_MAX_PASSED];
    static int moved[SBXI_MAX_PASSED];
    int first, count = list_passed(init, step, number, &first), above = first + count;
    init->pid = getpid(); /* a filter need not allow that */
    if (count > 0 && number[count - 1] >= above)
        above = number[count - 1] + 1;
    int error_fd = init->error_fd;
    if (error_fd >= 0 && count == 0 && fcntl(error_fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    if (error_fd >= 0 && count > 0) {
        if ((error_fd = fcntl(init->error_fd, F_DUPFD_CLOEXEC, above)) < 0)
            return -errno;
        close(init->error_fd);
        init->error_fd = error_fd;
    }
    for (int i = 0; i < count; i++)
        if ((moved[i] = fcntl(first + i, F_DUPFD_CLOEXEC, above)) < 0)
            return -errno;
    int from = 3;
    for (int i = 0; i < count; i++) {
        if (dup2(moved[i], number[i]) < 0)
            return -errno;
        if (number[i] > from)
            close_all(from, (unsigned)number[i] - 1);
        from = number[i] + 1;
    }
    if (error_fd > from)
        close_all(from, (unsigned)error_fd - 1);
    return close_all(error_fd < 0 ? from : error_fd + 1, ~0U) < 0 ? -errno : 0;
}

static int load_filter(struct init *init, const struct sbxi_step *step)
{
    if (step->a_length > BPF_MAXINSNS * sizeof(struct sock_filter))
        return -E2BIG;
    struct sock_fprog program = {
        .len = (unsigned short)(step->a_length / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)init_a(init, step), /* the kernel copies it */
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
        return init->seen ? 0 : init_act_oom_score(init, step);
    case SBXI_HOLD:
    case SBXI_LOCK_FILE:
        return 0; /* PID 1's */
    case SBXI_BOUNDS:
    case SBXI_CAPS:
    case SBXI_AMBIENT:
    case SBXI_NO_CAPS:
    case SBXI_GRANT:
        return init_act_caps(init, step);
    case SBXI_FIND_CWD:
        return find_directory(init, step);
    case SBXI_PARENT_DEATH:
        return init_die_with_parent();
    case SBXI_IDS:
        return set_ids(step);
    case SBXI_NO_NEW_PRIVS:
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
    case SBXI_CHDIR:
        return init_change_directory(init, init_a(init, step));
    case SBXI_REQUEST:
        init->passed = init->tree[step->slot] + 1;
        return init_read_request(init, init->tree[step->slot]);
    case SBXI_AWAIT:
        return init_act_await(init);
    case SBXI_TERMINAL:
        return init_act_terminal(init, step);
    case SBXI_LANDLOCK:
        return init_act_landlock(init, step);
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
