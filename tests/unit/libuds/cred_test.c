/* SPDX-License-Identifier: MIT */

/* Who is at the other end: what the kernel attests, and nothing that it does not. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <uds/addr.h>
#include <uds/cred.h>
#include <uds/listener.h>

#include "guard.h"
#include "nofile.h"
#include "socket/dial.h"
#include "socket/kernel.h"

#define ALL 0xffffffffu

static bool has_peer_pidfd(void)
{
    int pair[2], pidfd = -1;
    socklen_t len = sizeof(pidfd);

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int r = getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len);
    close(pair[0]);
    close(pair[1]);
    if (r == 0)
        close(pidfd);
    return r == 0;
}

/* A listener that children connect to. */
struct scene {
    struct uds_addr addr;
    uds_listener *listener;
    pid_t child;
    int hold; /* the child lives until this is closed */
};

static void scene_make(struct scene *scene)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "unix:@uds-cred-%d", getpid());
    cr_assert_eq(uds_addr_parse(text, &scene->addr), 0);
    cr_assert_eq(uds_listener_new(&scene->listener, &scene->addr, NULL), 0);
}

/* The child does @prepare (0 if it could), connects, and lives until hold is closed or, without @stay, not at all. */
static int scene_connect(struct scene *scene, int (*prepare)(void), bool stay)
{
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    scene->child = fork();
    cr_assert_geq(scene->child, 0);
    if (scene->child == 0) {
        char c;

        close(pipe_fds[1]);
        if (prepare && prepare() != 0)
            _exit(77);
        if (udsi_connect(&scene->addr, 5000) < 0)
            _exit(1);
        if (stay)
            (void)!read(pipe_fds[0], &c, 1);
        _exit(0);
    }
    close(pipe_fds[0]);
    scene->hold = pipe_fds[1];

    struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};
    if (poll(&p, 1, 5000) <= 0)
        return -ETIMEDOUT;
    return uds_listener_accept(scene->listener);
}

static void scene_reap(struct scene *scene)
{
    close(scene->hold);
    (void)waitpid(scene->child, NULL, 0);
}

static uint64_t own_ns(const char *name)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    cr_assert_eq(stat(path, &st), 0);
    return st.st_ino;
}

Test(cred, of_a_socketpair_is_the_one_who_made_it)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_cred_from_socket(pair[0], ALL, &cred), 0);
    cr_expect_eq(cred.known & (UDS_CRED_PID | UDS_CRED_UID | UDS_CRED_GID),
                 UDS_CRED_PID | UDS_CRED_UID | UDS_CRED_GID);
    cr_expect_eq(cred.pid, getpid());
    cr_expect_eq(cred.uid, geteuid());
    cr_expect_eq(cred.gid, getegid());
    cr_expect(cred.known & UDS_CRED_GROUPS);
    if (has_peer_pidfd()) {
        cr_expect(cred.known & UDS_CRED_PIDFD);
        cr_expect_geq(cred.pidfd, 0);
        cr_expect_eq(fcntl(cred.pidfd, F_GETFD), FD_CLOEXEC);
        cr_expect(cred.known & UDS_CRED_CGROUP);
        cr_expect_eq(cred.cgroup[0], '/');
        cr_expect(cred.known & UDS_CRED_NS);
        for (unsigned i = 0; i < UDS_NS_COUNT; i++)
            cr_expect_eq(cred.ns[i], own_ns(uds_ns_name((enum uds_ns)i)), "%s",
                         uds_ns_name((enum uds_ns)i));
    }
    uds_cred_clear(&cred);
    cr_expect_eq(cred.known, 0);
    cr_expect_eq(cred.pidfd, -1);
    close(pair[0]);
    close(pair[1]);
}

Test(cred, gives_no_more_than_was_asked_for)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_cred_from_socket(pair[0], 0, &cred), 0);
    cr_expect_eq(cred.known, UDS_CRED_PID | UDS_CRED_UID | UDS_CRED_GID);
    cr_expect_eq(cred.pidfd, -1);
    uds_cred_clear(&cred);
    close(pair[0]);
    close(pair[1]);
}

Test(cred, needs_a_connected_unix_socket)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;
    int pipe_fds[2];

    scene_make(&scene);
    cr_expect_eq(uds_cred_from_socket(uds_listener_get_fd(scene.listener), 0, &cred), -ENOTCONN);
    (void)uds_listener_free(scene.listener);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_expect_eq(uds_cred_from_socket(fd, 0, &cred), -ENOTCONN);
    close(fd);
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    cr_expect_eq(uds_cred_from_socket(pipe_fds[0], 0, &cred), -EINVAL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    cr_expect_eq(uds_cred_from_socket(-1, 0, &cred), -EINVAL);
    uds_cred_clear(NULL);
}

static int become_nobody(void)
{
    gid_t groups[] = {65534, 4711};

    if (setgroups(2, groups) < 0 || setresgid(65534, 65534, 65534) < 0)
        return -1;
    return setresuid(65534, 65534, 65534);
}

Test(cred, of_another_user_is_that_user)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;

    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    scene_make(&scene);
    int fd = scene_connect(&scene, become_nobody, true);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_cred_from_socket(fd, ALL, &cred), 0);
    cr_expect_eq(cred.pid, scene.child);
    cr_expect_eq(cred.uid, 65534);
    cr_expect_eq(cred.gid, 65534);
    cr_assert(cred.known & UDS_CRED_GROUPS);
    cr_expect_eq(cred.ngroups, 2);
    bool found = false;
    for (size_t i = 0; i < cred.ngroups; i++)
        found = found || cred.groups[i] == 4711;
    cr_expect(found);
    uds_cred_clear(&cred);
    close(fd);
    scene_reap(&scene);
    (void)uds_listener_free(scene.listener);
}

/* Root in a namespace of its own, where it is number 0. */
static int become_root_of_a_user_namespace(void)
{
    int fd;

    if (setresuid(65533, 65533, 65533) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 ||
        unshare(CLONE_NEWUSER) < 0)
        return -1;
    fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0 65533 1", 9) != 9)
        return -1;
    close(fd);
    return getuid() == 0 ? 0 : -1;
}

Test(cred, of_a_peer_in_another_user_namespace_is_what_it_is_here)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;

    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    scene_make(&scene);
    int fd = scene_connect(&scene, become_root_of_a_user_namespace, true);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_cred_from_socket(fd, ALL, &cred), 0);
    cr_assert(cred.known & UDS_CRED_UID);
    cr_expect_eq(cred.uid, 65533);
    if (cred.known & UDS_CRED_NS)
        cr_expect_neq(cred.ns[UDS_NS_USER], own_ns("user"));
    uds_cred_clear(&cred);
    close(fd);
    scene_reap(&scene);
    (void)uds_listener_free(scene.listener);
}

/* In a namespace that maps only ourselves, our parent is 65534, and so would be anybody else. */
static int look_from_a_user_namespace(int fd)
{
    struct uds_cred cred;

    if (become_root_of_a_user_namespace() < 0)
        return 77;
    if (uds_cred_from_socket(fd, ALL, &cred) < 0)
        return 2;
    if ((cred.known & (UDS_CRED_UID | UDS_CRED_GID)) ||
        ((cred.known & UDS_CRED_GROUPS) && cred.ngroups > 0))
        return 3;
    if (!(cred.known & UDS_CRED_PID) || cred.uid != (uid_t)-1)
        return 4;
    uds_cred_clear(&cred);
    return 0;
}

Test(cred, of_a_peer_without_a_number_in_our_user_namespace_has_no_uid)
{
    UDS_TEST_GUARD;
    int pair[2], status = -1;

    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(look_from_a_user_namespace(pair[0]));
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(pair[0]);
    close(pair[1]);
    cr_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        cr_skip_test("user namespaces cannot be made here");
    cr_expect_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}

/* Whoever called listen(2) is what a client sees, whoever serves (socket activation: pid 1). */
Test(cred, of_a_server_is_the_one_who_made_the_listener)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    scene_make(&scene);
    scene.child = fork();
    cr_assert_geq(scene.child, 0);
    if (scene.child == 0) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene.listener), .events = POLLIN};
        char c;

        close(pipe_fds[1]);
        if (poll(&p, 1, 5000) <= 0 || uds_listener_accept(scene.listener) < 0)
            _exit(1);
        (void)!read(pipe_fds[0], &c, 1);
        _exit(0);
    }
    close(pipe_fds[0]);
    scene.hold = pipe_fds[1];
    int fd = udsi_connect(&scene.addr, 5000);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_cred_from_socket(fd, UDS_CRED_PID, &cred), 0);
    cr_expect_eq(cred.pid, getpid(), "not the child, which accepts");
    uds_cred_clear(&cred);
    close(fd);
    scene_reap(&scene);
    (void)uds_listener_free(scene.listener);
}

static int take_many_groups(void)
{
    gid_t groups[UDS_CRED_GROUPS_MAX + 1];

    for (unsigned i = 0; i <= UDS_CRED_GROUPS_MAX; i++)
        groups[i] = 5000 + i;
    return setgroups(UDS_CRED_GROUPS_MAX + 1, groups);
}

Test(cred, leaves_a_list_of_groups_unknown_that_does_not_fit)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;

    if (geteuid() != 0)
        cr_skip_test("needs root to take groups");
    scene_make(&scene);
    int fd = scene_connect(&scene, take_many_groups, true);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_cred_from_socket(fd, UDS_CRED_GROUPS, &cred), 0);
    cr_expect_not(cred.known & UDS_CRED_GROUPS);
    cr_expect_eq(cred.ngroups, 0);
    uds_cred_clear(&cred);
    close(fd);
    scene_reap(&scene);
    (void)uds_listener_free(scene.listener);
}

Test(cred, of_a_reaped_peer_takes_nothing_from_proc)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;

    scene_make(&scene);
    int fd = scene_connect(&scene, NULL, false);
    cr_assert_geq(fd, 0);
    scene_reap(&scene);
    cr_assert_eq(uds_cred_from_socket(fd, ALL, &cred), 0);
    cr_expect_eq(cred.uid, geteuid());
    cr_expect_not(cred.known & UDS_CRED_CGROUP);
    cr_expect_not(cred.known & UDS_CRED_NS);
    cr_expect_eq(cred.cgroup[0], '\0');
    uds_cred_clear(&cred);
    close(fd);
    (void)uds_listener_free(scene.listener);
}

/* A zombie still has a /proc/PID, and its number may be somebody else's at any moment. */
Test(cred, of_a_peer_that_is_not_running_takes_nothing_from_proc)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    struct scene scene;
    siginfo_t info;

    scene_make(&scene);
    int fd = scene_connect(&scene, NULL, false);
    cr_assert_geq(fd, 0);
    cr_assert_eq(waitid(P_PID, (id_t)scene.child, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(uds_cred_from_socket(fd, ALL, &cred), 0);
    cr_expect_not(cred.known & UDS_CRED_CGROUP);
    cr_expect_eq(cred.cgroup[0], '\0');
    cr_expect_not(cred.known & UDS_CRED_NS);
    uds_cred_clear(&cred);
    scene_reap(&scene);
    close(fd);
    (void)uds_listener_free(scene.listener);
}

/* In a new pid namespace: everything that is outside has no number there. */
static int look_from_a_pid_namespace(int fd)
{
    struct uds_cred cred;

    if (uds_cred_from_socket(fd, ALL, &cred) < 0)
        return 1;
    if (cred.known & UDS_CRED_PID || cred.pid != 0)
        return 2;
    if (!(cred.known & UDS_CRED_UID) || cred.uid != 0)
        return 3;
    if (cred.known & UDS_CRED_CGROUP_ID && cred.cgroup_id == 0)
        return 4;
    uds_cred_clear(&cred);
    return 0;
}

Test(cred, of_a_peer_outside_our_pid_namespace_has_no_pid)
{
    UDS_TEST_GUARD;
    int pair[2], status = -1;

    if (geteuid() != 0)
        cr_skip_test("needs root to make a pid namespace");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t middle = fork();
    cr_assert_geq(middle, 0);
    if (middle == 0) {
        if (unshare(CLONE_NEWPID) < 0)
            _exit(77);
        pid_t inner = fork();
        if (inner == 0)
            _exit(look_from_a_pid_namespace(pair[0]));
        if (inner < 0 || waitpid(inner, &status, 0) != inner || !WIFEXITED(status))
            _exit(99);
        _exit(WEXITSTATUS(status));
    }
    cr_assert_eq(waitpid(middle, &status, 0), middle);
    close(pair[0]);
    close(pair[1]);
    cr_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        cr_skip_test("pid namespaces cannot be made here");
    cr_expect_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}

static int enter_namespaces(void)
{
    return unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
}

Test(cred, names_the_namespaces_of_the_peer)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;
    struct uds_cred cred;
    struct scene scene;
    char path[64], text[80];

    if (geteuid() != 0)
        cr_skip_test("needs root to make namespaces");
    if (!has_peer_pidfd())
        cr_skip_test("sockets give no pidfds here (before 6.5)");
    /* A path: abstract names end at the network namespace. */
    (void)snprintf(path, sizeof(path), "/tmp/uds-cred-%d", getpid());
    (void)snprintf(text, sizeof(text), "unix:%s", path);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    scene.addr = addr;
    cr_assert_eq(uds_listener_new(&scene.listener, &addr, NULL), 0);
    int fd = scene_connect(&scene, enter_namespaces, true);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_cred_from_socket(fd, UDS_CRED_NS, &cred), 0);
    cr_assert(cred.known & UDS_CRED_NS);
    for (unsigned i = 0; i < UDS_NS_COUNT; i++) {
        bool own = cred.ns[i] == own_ns(uds_ns_name((enum uds_ns)i));
        bool other = i == UDS_NS_NET || i == UDS_NS_IPC || i == UDS_NS_UTS;
        cr_expect_neq(own, other, "%s", uds_ns_name((enum uds_ns)i));
    }
    uds_cred_clear(&cred);
    close(fd);
    scene_reap(&scene);
    (void)uds_listener_free(scene.listener);
}

Test(cred, of_one_namespace_nothing_is_said_about_the_others)
{
    UDS_TEST_GUARD;
    const uint32_t one = UDS_CRED_NS_OF(UDS_NS_PID);
    struct uds_cred cred;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    cr_assert_geq(pidfd, 0);
    cr_assert_eq(uds_cred_from_pidfd(pidfd, one, &cred), 0);
    cr_expect_eq(cred.known & ~(uint32_t)(UDS_CRED_PID | UDS_CRED_UID | UDS_CRED_GID), one);
    for (unsigned i = 0; i < UDS_NS_COUNT; i++)
        cr_expect_eq(cred.ns[i], i == UDS_NS_PID ? own_ns("pid") : 0);
    cr_assert_eq(uds_cred_from_pidfd(pidfd, UDS_CRED_NS, &cred), 0);
    cr_expect(cred.known & one, "all of them are each of them");
    close(pidfd);
}

Test(cred, from_a_pidfd_is_that_process)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    cr_assert_geq(pidfd, 0);
    cr_assert_eq(uds_cred_from_pidfd(pidfd, ALL, &cred), 0);
    cr_expect_eq(cred.pid, getpid());
    cr_expect_eq(cred.uid, geteuid());
    cr_expect_eq(cred.gid, getegid());
    cr_expect(cred.known & UDS_CRED_PIDFD);
    cr_expect_neq(cred.pidfd, pidfd);
    cr_expect(cred.known & UDS_CRED_GROUPS);
    cr_expect(cred.known & UDS_CRED_NS);
    cr_expect(cred.known & UDS_CRED_CGROUP);
    uds_cred_clear(&cred);
    close(pidfd);
}

Test(cred, from_a_pidfd_needs_a_pidfd_of_a_process_that_runs)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    int pair[2];
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    cr_assert_geq(pidfd, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 5000), 1);
    cr_expect_eq(uds_cred_from_pidfd(pidfd, ALL, &cred), -ESRCH, "a zombie");
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(uds_cred_from_pidfd(pidfd, ALL, &cred), -ESRCH, "reaped");
    close(pidfd);
    cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
    cr_expect_eq(uds_cred_from_pidfd(pair[0], ALL, &cred), -EBADF);
    cr_expect_eq(uds_cred_from_pidfd(-1, ALL, &cred), -EBADF);
    close(pair[0]);
    close(pair[1]);
}

Test(cred, says_when_no_descriptor_is_left)
{
    UDS_TEST_GUARD;
    struct uds_cred cred;
    rlim_t old;
    int pair[2];

    if (!has_peer_pidfd())
        cr_skip_test("sockets give no pidfds here (before 6.5)");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    old = nofile_set((rlim_t)(pair[0] < pair[1] ? pair[0] : pair[1]));
    int r = uds_cred_from_socket(pair[0], UDS_CRED_PIDFD, &cred);
    nofile_set(old);
    cr_expect_eq(r, -EMFILE);
    close(pair[0]);
    close(pair[1]);
}

Test(ns_name, is_that_of_proc)
{
    UDS_TEST_GUARD;
    cr_expect_str_eq(uds_ns_name(UDS_NS_MNT), "mnt");
    cr_expect_str_eq(uds_ns_name(UDS_NS_COUNT), "?");
}
