/* SPDX-License-Identifier: MIT */

/* Listeners: whose the socket file is, who may connect from when on, and dialling. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <uds/listener.h>

#include "cleanup.h"
#include "guard.h"
#include "place.h"
#include "rawpeer.h"
#include "socket/dial.h"
#include "socket/kernel.h"

static uds_listener *listen_at(const struct uds_addr *addr)
{
    uds_listener *listener = NULL;
    int r = uds_listener_new(&listener, addr, NULL);

    cr_assert_eq(r, 0, "%s", strerror(-r));
    return listener;
}

/* A connection to the listener, seen from both sides. */
static void expect_connects(uds_listener *listener, const struct uds_addr *addr)
{
    int fd = udsi_connect(addr, 0);

    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    int peer = uds_listener_accept(listener);
    cr_assert_geq(peer, 0, "%s", strerror(-peer));
    cr_expect_eq(write(fd, "x", 1), 1);
    char c = 0;
    cr_expect_eq(read(peer, &c, 1), 1);
    cr_expect_eq(c, 'x');
    cr_expect_neq(fcntl(peer, F_GETFL) & O_NONBLOCK, 0);
    cr_expect_eq(fcntl(peer, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    close(peer);
}

static int listen_result(const struct uds_addr *addr)
{
    uds_listener *listener = NULL;
    int r = uds_listener_new(&listener, addr, NULL);

    (void)uds_listener_free(listener);
    return r;
}

Test(listener, accepts_and_leaves_nothing_behind)
{
    UDS_TEST_GUARD;
    static const char *const schemes[] = {"unix", "seqpacket"};
    struct place place;

    place_make(&place, "unix");
    for (size_t i = 0; i < 2; i++) {
        place_at(&place, schemes[i], "s");
        uds_listener *listener = listen_at(&place.addr);
        cr_expect_eq(uds_listener_accept(listener), -EAGAIN);
        expect_connects(listener, &place.addr);
        (void)uds_listener_free(listener);
        cr_expect_eq(udsi_connect(&place.addr, 0), -ENOENT);
    }
    place_clear(&place);
}

Test(listener, gives_the_file_its_mode_whatever_umask_says)
{
    UDS_TEST_GUARD;
    static const mode_t modes[] = {0, 0600, 0666, 0660};
    static const mode_t masks[] = {0, 077, 0177};
    struct place place;
    struct stat st;

    place_make(&place, "unix");
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++) {
            struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
            uds_listener *listener;
            mode_t old = umask(masks[k]);

            options.mode = modes[i];
            cr_assert_eq(uds_listener_new(&listener, &place.addr, &options), 0);
            cr_assert_eq(stat(place.path, &st), 0);
            cr_expect_eq(st.st_mode & 07777, modes[i] ? modes[i] : 0600, "%o under %o", modes[i],
                         masks[k]);
            (void)uds_listener_free(listener);
            umask(old);
        }
    }
    place_clear(&place);
}

Test(listener, gives_the_file_to_its_owner)
{
    UDS_TEST_GUARD;
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct place place;
    uds_listener *listener;
    struct stat st;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    place_make(&place, "unix");
    options.owner = 4242;
    options.group = 4343;
    options.mode = 0620;
    cr_assert_eq(uds_listener_new(&listener, &place.addr, &options), 0);
    cr_assert_eq(stat(place.path, &st), 0);
    cr_expect_eq(st.st_uid, 4242);
    cr_expect_eq(st.st_gid, 4343);
    cr_expect_eq(st.st_mode & 07777, 0620);
    (void)uds_listener_free(listener);
    place_clear(&place);
}

Test(listener, takes_over_a_stale_file_only)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "unix");
    uds_listener *first = listen_at(&place.addr);
    cr_expect_eq(listen_result(&place.addr), -EADDRINUSE, "somebody listens");
    (void)uds_listener_abandon(first);
    cr_assert_eq(access(place.path, F_OK), 0, "abandon keeps the file");
    cr_expect_eq(udsi_connect(&place.addr, 0), -ECONNREFUSED);
    uds_listener *second = listen_at(&place.addr);
    expect_connects(second, &place.addr);
    (void)uds_listener_free(second);
    place_clear(&place);
}

Test(listener, respects_a_listener_of_another_type)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "unix");
    place_at(&place, "seqpacket", "s");
    uds_listener *first = listen_at(&place.addr);
    place_at(&place, "unix", "s");
    cr_expect_eq(listen_result(&place.addr), -EADDRINUSE);
    cr_expect_eq(udsi_connect(&place.addr, 0), -EPROTOTYPE);
    (void)uds_listener_free(first);
    place_clear(&place);
}

Test(listener, never_touches_a_file_that_is_no_socket)
{
    UDS_TEST_GUARD;
    struct place place;
    struct stat st;
    char target[64];

    place_make(&place, "unix");
    close(open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_expect_eq(listen_result(&place.addr), -EADDRINUSE);
    cr_expect_eq(stat(place.path, &st), 0);
    cr_expect(S_ISREG(st.st_mode));
    unlink(place.path);

    (void)snprintf(target, sizeof(target), "%s/target", place.dir);
    cr_assert_eq(symlink(target, place.path), 0);
    cr_expect_eq(listen_result(&place.addr), -EADDRINUSE);
    cr_expect_eq(lstat(place.path, &st), 0);
    cr_expect(S_ISLNK(st.st_mode));
    unlink(place.path);
    place_clear(&place);
}

Test(listener, unlinks_the_file_only_if_it_is_its_own)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "unix");
    uds_listener *first = listen_at(&place.addr);
    unlink(place.path);
    uds_listener *second = listen_at(&place.addr);
    (void)uds_listener_free(first);
    expect_connects(second, &place.addr);
    (void)uds_listener_free(second);
    place_clear(&place);
}

Test(listener, finds_its_file_after_a_change_of_directory)
{
    UDS_TEST_GUARD;
    struct place place;
    struct uds_addr addr;

    place_make(&place, "unix");
    cr_assert_eq(chdir(place.dir), 0);
    cr_assert_eq(uds_addr_parse("unix:rel", &addr), 0);
    uds_listener *listener = listen_at(&addr);
    expect_connects(listener, &addr);
    cr_assert_eq(chdir("/"), 0);
    (void)uds_listener_free(listener);
    place_clear(&place);
}

/* dir/ddd…/ddd…/bbb…, over 108 bytes and with the longest last component */
Test(listener, reaches_a_path_that_sun_path_cannot_hold)
{
    UDS_TEST_GUARD;
    struct place place;
    char deep[160], name[280], base[108];

    place_make(&place, "unix");
    memset(base, 'b', sizeof(base) - 1);
    base[sizeof(base) - 1] = '\0';
    (void)snprintf(deep, sizeof(deep), "%s/%0100d", place.dir, 0);
    cr_assert_eq(mkdir(deep, 0700), 0);
    (void)snprintf(name, sizeof(name), "%0100d/%s", 0, base);
    place_at(&place, "unix", name);

    uds_listener *listener = listen_at(&place.addr);
    expect_connects(listener, &place.addr);
    cr_expect_eq(listen_result(&place.addr), -EADDRINUSE);
    (void)uds_listener_abandon(listener);
    cr_expect_eq(udsi_connect(&place.addr, 0), -ECONNREFUSED);
    listener = listen_at(&place.addr);
    expect_connects(listener, &place.addr);
    (void)uds_listener_free(listener);
    cr_expect_eq(udsi_connect(&place.addr, 0), -ENOENT);
    cr_expect_eq(rmdir(deep), 0, "%s", strerror(errno));
    place_clear(&place);
}

Test(listener, says_what_is_wrong)
{
    UDS_TEST_GUARD;
    struct place place;
    struct uds_addr addr;
    int pair[2];
    char text[16];

    place_make(&place, "unix");
    place_at(&place, "unix", "none/s");
    cr_expect_eq(listen_result(&place.addr), -ENOENT);
    place_at(&place, "dgram", "s");
    cr_expect_eq(listen_result(&place.addr), -EPROTOTYPE);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(text, sizeof(text), "fd:%d", pair[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_expect_eq(listen_result(&addr), -EINVAL, "connected, not listening");
    close(pair[0]);
    cr_expect_eq(listen_result(&addr), -EBADF);
    close(pair[1]);
    place_clear(&place);
}

Test(listener, adopts_a_duplicate_of_an_inherited_socket)
{
    UDS_TEST_GUARD;
    struct place place;
    struct uds_addr addr;
    char text[16];

    place_make(&place, "unix");
    uds_listener *first = listen_at(&place.addr);
    (void)snprintf(text, sizeof(text), "fd:%d", uds_listener_get_fd(first));
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    uds_listener *second = listen_at(&addr);
    cr_expect_neq(uds_listener_get_fd(second), uds_listener_get_fd(first));
    expect_connects(second, &place.addr);
    (void)uds_listener_free(second);
    cr_expect_eq(access(place.path, F_OK), 0, "an adopted socket's file is not ours");
    (void)uds_listener_free(first);
    place_clear(&place);
}

Test(listener, has_abstract_names)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;
    char text[64];

    (void)snprintf(text, sizeof(text), "unix:@uds-listener-%d", getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    uds_listener *listener = listen_at(&addr);
    expect_connects(listener, &addr);
    cr_expect_eq(listen_result(&addr), -EADDRINUSE);
    (void)uds_listener_free(listener);
    cr_expect_eq(udsi_connect(&addr, 0), -ECONNREFUSED);
}

/* A peer may send before it is accepted: what is refused must be refused by what it connected to. */
Test(listener, has_the_kernel_refuse_fds_before_accept)
{
    UDS_TEST_GUARD;
    static const char *const schemes[] = {"unix", "seqpacket"};
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct place place;

    place_make(&place, "unix");
    for (size_t i = 0; i < 4; i++) {
        uds_listener *listener;
        int fd, value;
        socklen_t len = sizeof(value);

        place_at(&place, schemes[i % 2], "s");
        options.refuse_fds = i < 2;
        cr_assert_eq(uds_listener_new(&listener, &place.addr, &options), 0);
        fd = uds_listener_get_fd(listener);
        if (getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &value, &len) < 0) {
            (void)uds_listener_free(listener);
            place_clear(&place);
            cr_skip_test("this kernel has no SO_PASSRIGHTS");
        }
        fd = udsi_connect(&place.addr, 0);
        cr_assert_geq(fd, 0);
        cr_expect_eq(raw_send(fd, "x", 1, 0, 1), options.refuse_fds ? -EPERM : 1);
        cr_expect_eq(raw_send(fd, "x", 1, -1, 0), 1);
        close(fd);
        (void)uds_listener_free(listener);
    }
    place_clear(&place);
}

static int take(const struct uds_addr *addr)
{
    uds_listener *listener;

    return uds_listener_new(&listener, addr, NULL);
}

static void expect_taken(const struct uds_addr *addr)
{
    int fd = udsi_connect(addr, 0);

    cr_expect_geq(fd, 0, "the winner's file: %s", strerror(fd < 0 ? -fd : 0));
    udsi_close(fd);
}

/* One gets it, and what the others do does not take it away again. */
Test(listener, is_won_by_one_of_many_that_race_for_a_stale_file)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "unix");
    (void)uds_listener_abandon(listen_at(&place.addr));
    place_race(&place, take, expect_taken);
    place_clear(&place);
}

/* Between bind and listen a socket looks stale; who holds the lock is trusted to be on the way from one to the other. */
Test(listener, does_not_take_over_a_socket_that_is_being_born)
{
    UDS_TEST_GUARD;
    struct place place;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char lock_path[128], c = 0;
    int result[2];

    place_make(&place, "unix");
    (void)snprintf(lock_path, sizeof(lock_path), "%s/s.lock", place.dir);
    int lock = open(lock_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_eq(flock(lock, LOCK_EX), 0);
    strcpy(sa.sun_path, place.path);
    int born = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(born, (struct sockaddr *)&sa, sizeof(sa)), 0);

    cr_assert_eq(pipe2(result, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        close(lock);
        c = listen_result(&place.addr) == -EADDRINUSE ? 'l' : '?';
        _exit(write(result[1], &c, 1) == 1 ? 0 : 1);
    }
    struct pollfd p = {.fd = result[0], .events = POLLIN};
    cr_expect_eq(poll(&p, 1, 100), 0, "it did not wait for the lock");
    cr_assert_eq(listen(born, 1), 0);
    unlink(lock_path);
    close(lock);
    cr_assert_eq(read(result[0], &c, 1), 1);
    cr_expect_eq(c, 'l');
    cr_assert_eq(waitpid(child, NULL, 0), child);
    int fd = udsi_connect(&place.addr, 0);
    cr_expect_geq(fd, 0);
    udsi_close(fd);
    close(born);
    close(result[0]);
    close(result[1]);
    unlink(place.path);
    place_clear(&place);
}

Test(dial, waits_for_a_full_backlog_no_longer_than_it_was_told)
{
    UDS_TEST_GUARD;
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct place place;
    uds_listener *listener;
    int fds[8], n = 0, r;

    place_make(&place, "unix");
    options.backlog = 1;
    cr_assert_eq(uds_listener_new(&listener, &place.addr, &options), 0);
    while ((r = udsi_connect(&place.addr, 0)) >= 0) {
        cr_assert_lt(n, 8);
        fds[n++] = r;
    }
    cr_expect_eq(r, -EAGAIN);
    cr_expect_eq(udsi_connect(&place.addr, 50), -ETIMEDOUT);
    udsi_close(uds_listener_accept(listener));
    r = udsi_connect(&place.addr, 50);
    cr_expect_geq(r, 0, "%s", strerror(-r));
    udsi_close(r);
    while (n > 0)
        close(fds[--n]);
    (void)uds_listener_free(listener);
    place_clear(&place);
}

Test(dial, adopts_a_duplicate_of_an_inherited_connection)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;
    int pair[2];
    char text[16];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(text, sizeof(text), "fd:%d", pair[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    int fd = udsi_connect(&addr, 0);
    cr_assert_geq(fd, 0);
    cr_expect_neq(fd, pair[0]);
    close(fd);
    close(pair[0]);
    close(pair[1]);
    cr_expect_eq(udsi_connect(&addr, 0), -EBADF);
}
