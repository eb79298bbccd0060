/* SPDX-License-Identifier: MIT */
/*
 * Between clone3 and execve, in a copy of the launcher: only system calls, no allocation, no lock, nothing that a libc
 * does on behalf of threads that are not here (setresuid() of glibc signals them; the raw call does not).
 *
 * First cgroups, then descriptors, then waiting: whoever waits here must not hold a copy of the launcher's end of any control socket, or
 * nobody would ever see it close.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kernel.h"
#include "running.h"
#include "without.h"

static _Noreturn void fail(const char *what, size_t length)
{
    struct sbxi_event event = {.type = SBXI_FAILED, .step = SBXI_STEP_CHILD, .err = errno};
    memcpy(event.detail, what, length);
    send(SBXI_FD_CONTROL, &event, sizeof event, MSG_NOSIGNAL);
    _exit(1);
}
#define FAIL(what) fail(what, sizeof(what))

/* Sources may sit on each other's numbers, so all go up first. */
static void place_descriptors(const struct sbxi_child *child)
{
    int above = (int)child->nfds + 1;
    int program = fcntl(child->program, F_DUPFD_CLOEXEC, above);
    if (program < 0)
        _exit(1);
    for (size_t i = 0; i < child->nfds; i++) {
        child->spare[i] = fcntl(child->fds[i], F_DUPFD_CLOEXEC, above);
        if (child->spare[i] < 0)
            _exit(1);
    }
    for (size_t i = 0; i < child->nfds; i++)
        if (dup2(child->spare[i], (int)i) < 0)
            _exit(1);
    if (dup3(program, (int)child->nfds, O_CLOEXEC) < 0 ||
        (!SBXI_WITHOUT("close") && close_range((unsigned)above, ~0U, 0) < 0))
        FAIL("descriptors");
}

/* While the numbers are still the launcher's. @errno says why not. */
static bool join_cgroups(const struct sbxi_child *child)
{
    for (size_t i = 0; i < child->njoins; i++)
        if (write(child->joins[i], "0", 1) != 1)
            return false;
    return true;
}

static void wait_for_go(void)
{
    char go;
    ssize_t n;
    do
        n = recv(SBXI_FD_CONTROL, &go, sizeof go, 0);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(1);
}

/*
 * Who owns our program on the host finds it as /proc/PID/exe of whoever is it, if only for the moment that a script of
 * "#!/proc/self/exe" takes until we are not dumpable. On a mount that is read-only nothing can be done to it.
 */
static int open_read_only(const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return -1;
    return tree;
}

int sbxi_raise_ambient(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    data[0].inheritable = data[0].permitted;
    data[1].inheritable = data[1].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    for (unsigned cap = 0; cap < 64; cap++)
        if (data[cap / 32].permitted & (1u << (cap % 32)) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return 0;
}

/*
 * Outside of the namespaces that init will enter (init/join.c), there is no right to make a mount: so where its program is
 * to be out of reach for its owner, it is a copy that nobody can write to.
 */
static int open_copy(int program)
{
    struct stat st;
    int copy = memfd_create("uds-sandbox-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | SBXI_MFD_EXEC);
    if (copy < 0 && errno == EINVAL) /* a kernel that has none without */
        copy = memfd_create("uds-sandbox-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0 || fstat(program, &st) < 0)
        return -1;
    while (st.st_size > 0) {
        ssize_t n = sendfile(copy, program, NULL, (size_t)st.st_size);
        if (n <= 0)
            return -1;
        st.st_size -= n;
    }
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -1;
    return copy;
}

static _Noreturn void
become_joiner(const struct sbxi_child *child, char *const *argv, char *const *env)
{
    int program = (int)child->nfds;
    if (child->program_path) {
        int readable = open(child->program_path, O_RDONLY | O_CLOEXEC);
        if (readable < 0 || (program = open_copy(readable)) < 0)
            FAIL("a copy of uds-sandbox-init that nobody can write to");
    }
    syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
    FAIL("exec uds-sandbox-init");
}

_Noreturn void sbxi_child_run(const struct sbxi_child *child)
{
    static char name[] = "uds-sandbox-init";
    char *const argv[] = {name, NULL}, *const *env = SBXI_NO_ENVIRONMENT;
    bool joined = child->enters || join_cgroups(child);
    int why = errno, program = (int)child->nfds;
    place_descriptors(child);
    errno = why;
    if (!joined)
        FAIL("join the cgroup");
    if (child->enters)
        become_joiner(child, argv, env);
    wait_for_go();
    if (child->become_root &&
        ((!SBXI_WITHOUT("groups") && syscall(SYS_setgroups, 0, NULL) < 0) ||
         syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
        FAIL("become root of the user namespace");
    if (child->program_path && (program = open_read_only(child->program_path)) < 0)
        FAIL("a read-only mount of uds-sandbox-init");
    if (child->ambient && sbxi_raise_ambient() < 0)
        FAIL("ambient capabilities");
    syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
    FAIL("exec uds-sandbox-init");
}
