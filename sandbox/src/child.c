/* SPDX-License-Identifier: MIT */
/*
 * Between clone3 and execve, in a copy of the launcher or in its own memory (birth.h): only system calls, no allocation, no
 * lock, nothing that a libc does on behalf of threads that are not here.
 *
 * First cgroups, then descriptors, then waiting: whoever waits here must not hold a copy of the launcher's end of any control
 * socket, or nobody would ever see it close. Who is to enter namespaces that exist (become_joiner) does not wait here and is
 * always a copy: it may call the C library.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
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
#include "raw.h"
#include "running.h"
#include "without.h"

static _Noreturn void leave(void)
{
    for (;;)
        sbxi_raw(SYS_exit_group, 1, 0, 0, 0, 0);
}

static _Noreturn void fail(const char *what, size_t length, long r)
{
    struct sbxi_event event = {.type = SBXI_FAILED, .step = SBXI_STEP_CHILD, .err = (int32_t)-r};
    for (size_t i = 0; i < length; i++)
        event.detail[i] = what[i];
    /* Six arguments: the last two, of an address, are NULL and 0. */
    sbxi_raw(SYS_sendto, SBXI_FD_CONTROL, SBXI_POINTER(&event), sizeof event, MSG_NOSIGNAL, 0);
    leave();
}
#define FAIL(what, r) fail(what, sizeof(what), r)

static long duplicate(int fd, int above)
{
    return sbxi_raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, above, 0, 0);
}

/* Sources may sit on each other's numbers, so all go up first. */
static void place_descriptors(const struct sbxi_child *child)
{
    int above = (int)child->nfds + 1;
    long r, program = duplicate(child->program, above);
    if (program < 0)
        leave();
    for (size_t i = 0; i < child->nfds; i++) {
        child->spare[i] = (int)duplicate(child->fds[i], above);
        if (child->spare[i] < 0)
            leave();
    }
    for (size_t i = 0; i < child->nfds; i++)
        if (sbxi_raw(SYS_dup3, child->spare[i], (long)i, 0, 0, 0) < 0)
            leave();
    if ((r = sbxi_raw(SYS_dup3, program, (long)child->nfds, O_CLOEXEC, 0, 0)) < 0 ||
        (!SBXI_WITHOUT("close") &&
         (r = sbxi_raw(SYS_close_range, above, (long)UINT32_MAX, 0, 0, 0)) < 0))
        FAIL("descriptors", r);
}

/* While the numbers are still the launcher's. */
static long join_cgroups(const struct sbxi_child *child)
{
    long r = 1;
    for (size_t i = 0; i < child->njoins && r == 1; i++)
        r = sbxi_raw(SYS_write, child->joins[i], SBXI_POINTER("0"), 1, 0, 0);
    return r;
}

static void wait_for_go(void)
{
    char go;
    long n;
    do
        n = sbxi_raw(SYS_read, SBXI_FD_CONTROL, SBXI_POINTER(&go), sizeof go, 0, 0);
    while (n == -EINTR);
    if (n != 1)
        leave();
}

/*
 * Who owns our program on the host finds it as /proc/PID/exe of whoever is it, if only for the moment that a script of
 * "#!/proc/self/exe" takes until we are not dumpable. On a mount that is read-only nothing can be done to it.
 */
static long open_read_only(const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long tree = sbxi_raw(SYS_open_tree, AT_FDCWD, SBXI_POINTER(path),
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
    long r = tree < 0 ? tree
                      : sbxi_raw(SYS_mount_setattr, tree, SBXI_POINTER(""), AT_EMPTY_PATH,
                                 SBXI_POINTER(&attr), sizeof attr);
    return r < 0 ? r : tree;
}

int sbxi_raise_ambient(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    long r = sbxi_raw(SYS_capget, SBXI_POINTER(&header), SBXI_POINTER(data), 0, 0, 0);
    if (r < 0)
        return (int)r;
    data[0].inheritable = data[0].permitted;
    data[1].inheritable = data[1].permitted;
    r = sbxi_raw(SYS_capset, SBXI_POINTER(&header), SBXI_POINTER(data), 0, 0, 0);
    for (unsigned cap = 0; cap < 64 && r >= 0; cap++)
        if (data[cap / 32].permitted & (1u << (cap % 32)))
            r = sbxi_raw(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return (int)r;
}

static long become_root(void)
{
    long r = SBXI_WITHOUT("groups") ? 0 : sbxi_raw(SYS_setgroups, 0, 0, 0, 0, 0);
    if (r >= 0)
        r = sbxi_raw(SYS_setresgid, 0, 0, 0, 0, 0);
    return r < 0 ? r : sbxi_raw(SYS_setresuid, 0, 0, 0, 0, 0);
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

/* Always in a copy of the launcher: join.c. */
static _Noreturn void
become_joiner(const struct sbxi_child *child, char *const *argv, char *const *env)
{
    int program = (int)child->nfds;
    if (child->program_path) {
        int readable = open(child->program_path, O_RDONLY | O_CLOEXEC);
        if (readable < 0 || (program = open_copy(readable)) < 0)
            FAIL("a copy of uds-sandbox-init that nobody can write to", -errno);
    }
    syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
    FAIL("exec uds-sandbox-init", -errno);
}

_Noreturn void sbxi_child_run(const struct sbxi_child *child)
{
    static char name[] = "uds-sandbox-init";
    char *const argv[] = {name, NULL}, *const *env = SBXI_NO_ENVIRONMENT;
    long joined = child->enters ? 1 : join_cgroups(child), program = (long)child->nfds, r;
    place_descriptors(child);
    if (joined != 1)
        FAIL("join the cgroup", joined);
    if (child->enters)
        become_joiner(child, argv, env);
    wait_for_go();
    if (child->become_root && (r = become_root()) < 0)
        FAIL("become root of the user namespace", r);
    if (child->program_path && (program = open_read_only(child->program_path)) < 0)
        FAIL("a read-only mount of uds-sandbox-init", program);
    if (child->ambient && (r = sbxi_raise_ambient()) < 0)
        FAIL("ambient capabilities", r);
    r = sbxi_raw(SYS_execveat, program, SBXI_POINTER(""), SBXI_POINTER(argv), SBXI_POINTER(env),
                 AT_EMPTY_PATH);
    FAIL("exec uds-sandbox-init", r);
}
