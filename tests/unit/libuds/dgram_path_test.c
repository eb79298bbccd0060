/* SPDX-License-Identifier: MIT */

/* Datagram sockets that are files: whose the file is, and who may send from when on. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <uds/dgram.h>
#include <uds/listener.h>

#include "cleanup.h"
#include "guard.h"
#include "place.h"

static uds_dgram *bound(const struct uds_addr *addr, const struct uds_dgram_options *options)
{
    uds_dgram *dgram = NULL;
    int r = uds_dgram_new(&dgram, addr, options);

    cr_assert_eq(r, 0, "%s", strerror(-r));
    return dgram;
}

static int bind_result(const struct uds_addr *addr)
{
    uds_dgram *dgram = NULL;
    int r = uds_dgram_new(&dgram, addr, NULL);

    (void)uds_dgram_unref(dgram);
    return r;
}

static int send_result(const struct uds_addr *addr)
{
    uds_dgram *dgram = bound(NULL, NULL);
    uds_msg *msg;
    int r;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, "x", 1), 0);
    r = uds_dgram_send(dgram, addr, msg);
    (void)uds_msg_unref(msg);
    (void)uds_dgram_unref(dgram);
    return r;
}

static void expect_reachable(uds_dgram *dgram, const struct uds_addr *addr)
{
    uds_msg *msg = NULL;
    int r = send_result(addr);

    cr_assert_eq(r, 0, "%s", strerror(-r));
    cr_assert_eq(uds_dgram_receive(dgram, &msg, NULL), 1);
    (void)uds_msg_unref(msg);
}

/* Closes the socket and leaves the file: what a killed process leaves. */
static void die(const struct uds_addr *addr)
{
    pid_t child = fork();

    if (child == 0) {
        uds_dgram *dgram = NULL;

        _exit(uds_dgram_new(&dgram, addr, NULL) == 0 ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(dgram_path, is_reachable_and_leaves_nothing_behind)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "dgram");
    uds_dgram *dgram = bound(&place.addr, NULL);
    expect_reachable(dgram, &place.addr);
    (void)uds_dgram_unref(dgram);
    cr_expect_eq(send_result(&place.addr), -ENOENT);
    place_clear(&place);
}

Test(dgram_path, takes_over_a_stale_file_only)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "dgram");
    die(&place.addr);
    cr_assert_eq(access(place.path, F_OK), 0);
    cr_expect_eq(send_result(&place.addr), -ECONNREFUSED);
    uds_dgram *dgram = bound(&place.addr, NULL);
    cr_expect_eq(bind_result(&place.addr), -EADDRINUSE, "it lives");
    expect_reachable(dgram, &place.addr);
    (void)uds_dgram_unref(dgram);
    place_clear(&place);
}

Test(dgram_path, respects_a_live_socket_that_speaks_with_somebody_else_or_another_type)
{
    UDS_TEST_GUARD;
    struct place place;
    struct uds_addr name;
    char text[64];

    place_make(&place, "dgram");
    (void)snprintf(text, sizeof(text), "dgram:@uds-dgram-path-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, &name), 0);
    uds_dgram *peer = bound(&name, NULL), *dgram = bound(&place.addr, NULL);
    cr_assert_eq(uds_dgram_connect(dgram, &name), 0);
    cr_expect_eq(send_result(&place.addr), -EPERM);
    cr_expect_eq(bind_result(&place.addr), -EADDRINUSE);
    (void)uds_dgram_unref(dgram);
    (void)uds_dgram_unref(peer);

    uds_listener *listener = NULL;
    place_at(&place, "unix", "s");
    cr_assert_eq(uds_listener_new(&listener, &place.addr, NULL), 0);
    place_at(&place, "dgram", "s");
    cr_expect_eq(bind_result(&place.addr), -EADDRINUSE);
    cr_expect_eq(send_result(&place.addr), -EPROTOTYPE);
    (void)uds_listener_free(listener);
    place_clear(&place);
}

Test(dgram_path, never_touches_a_file_that_is_no_socket)
{
    UDS_TEST_GUARD;
    struct place place;
    struct stat st;

    place_make(&place, "dgram");
    close(open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_expect_eq(bind_result(&place.addr), -EADDRINUSE);
    cr_expect_eq(stat(place.path, &st), 0);
    cr_expect(S_ISREG(st.st_mode));
    unlink(place.path);
    place_clear(&place);
}

Test(dgram_path, unlinks_only_its_own_file_and_only_in_its_own_process)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "dgram");
    uds_dgram *first = bound(&place.addr, NULL);
    unlink(place.path);
    uds_dgram *second = bound(&place.addr, NULL);
    (void)uds_dgram_unref(first);
    expect_reachable(second, &place.addr);
    pid_t child = fork();
    if (child == 0) {
        (void)uds_dgram_unref(second);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    expect_reachable(second, &place.addr);
    (void)uds_dgram_unref(second);
    place_clear(&place);
}

Test(dgram_path, gives_the_file_its_mode_whatever_umask_says)
{
    UDS_TEST_GUARD;
    static const mode_t modes[] = {0, 0600, 0666, 0620};
    static const mode_t masks[] = {0, 077, 0177};
    struct place place;
    struct stat st;

    place_make(&place, "dgram");
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++) {
            struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
            mode_t old = umask(masks[k]);

            options.mode = modes[i];
            uds_dgram *dgram = bound(&place.addr, &options);
            cr_assert_eq(stat(place.path, &st), 0);
            cr_expect_eq(st.st_mode & 07777, modes[i] ? modes[i] : 0600, "%o under %o", modes[i],
                         masks[k]);
            expect_reachable(dgram, &place.addr);
            (void)uds_dgram_unref(dgram);
            umask(old);
        }
    }
    place_clear(&place);
}

Test(dgram_path, gives_the_file_to_its_owner)
{
    UDS_TEST_GUARD;
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct place place;
    struct stat st;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    place_make(&place, "dgram");
    options.owner = 4242;
    options.group = 4343;
    options.mode = 0620;
    uds_dgram *dgram = bound(&place.addr, &options);
    cr_assert_eq(stat(place.path, &st), 0);
    cr_expect_eq(st.st_uid, 4242);
    cr_expect_eq(st.st_gid, 4343);
    cr_expect_eq(st.st_mode & 07777, 0620);
    (void)uds_dgram_unref(dgram);
    place_clear(&place);
}

/*
 * The file is for group 4343 to write to, and is born with the group of who makes it: 0. A stranger of group 0 who sends
 * all the time must never be lucky.
 */
Test(dgram_path, lets_nobody_in_before_ids_and_mode_are_in_force)
{
    UDS_TEST_GUARD;
    enum {
        ROUNDS = 400
    };
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_dgram_stats stats;
    struct place place;
    int ready[2];
    mode_t old;
    char c;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    place_make(&place, "dgram");
    cr_assert_eq(chmod(place.dir, 0755), 0);
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        strcpy(sa.sun_path, place.path);
        if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(4242, 4242, 4242) < 0 ||
            write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            if (sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&sa, sizeof(sa)) == 1)
                _exit(2);
    }
    cr_assert_eq(read(ready[0], &c, 1), 1);
    old = umask(0);
    options.group = 4343;
    options.mode = 0620;
    for (int i = 0; i < ROUNDS; i++) {
        uds_dgram *dgram = bound(&place.addr, &options);
        uds_msg *msg = NULL;

        cr_expect_eq(uds_dgram_receive(dgram, &msg, NULL), 0);
        uds_dgram_get_stats(dgram, &stats);
        (void)uds_dgram_unref(dgram);
        if (stats.dropped > 0)
            cr_assert_fail("round %d: a stranger's datagram is in the queue", i);
    }
    umask(old);
    cr_expect_eq(waitpid(child, NULL, WNOHANG), 0, "it sent one");
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    place_clear(&place);
}

/* dir/ddd…/bbb…, over 108 bytes and with the longest last component: bound, sent to, connected to. */
Test(dgram_path, may_be_longer_than_sun_path)
{
    UDS_TEST_GUARD;
    struct place place;
    char deep[160], name[280], base[108];
    struct uds_dgram_sender sender;
    uds_msg *msg = NULL;
    struct uds_addr own;
    int r;

    place_make(&place, "dgram");
    memset(base, 'b', sizeof(base) - 1);
    base[sizeof(base) - 1] = '\0';
    (void)snprintf(deep, sizeof(deep), "%s/%0100d", place.dir, 0);
    cr_assert_eq(mkdir(deep, 0700), 0);
    (void)snprintf(name, sizeof(name), "%0100d/%s", 0, base);
    place_at(&place, "dgram", name);

    uds_dgram *dgram = bound(&place.addr, NULL), *client = bound(NULL, NULL);
    expect_reachable(dgram, &place.addr);
    cr_assert_eq(uds_dgram_connect(client, &place.addr), 0);
    cr_assert_eq(uds_dgram_get_addr(dgram, &own), 0);
    cr_expect_str_eq(own.name, place.path);
    cr_expect_eq(bind_result(&place.addr), -EADDRINUSE);

    /* As a sender it shows a name that would lead elsewhere here: not answered. */
    uds_dgram *other = NULL;
    struct place near;
    near = place;
    place_at(&near, "dgram", "t");
    other = bound(&near.addr, NULL);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0), 0);
    cr_assert_eq(uds_dgram_send(dgram, &near.addr, msg), 0);
    msg = uds_msg_unref(msg);
    cr_assert_eq(uds_dgram_receive(other, &msg, &sender), 1);
    cr_expect_eq(strncmp(sender.addr.name, "/proc/self/fd/", 14), 0, "%s", sender.addr.name);
    cr_expect_eq(uds_dgram_reply(other, &sender, msg), -EDESTADDRREQ);
    (void)uds_msg_unref(msg);
    (void)uds_dgram_unref(other);
    (void)uds_dgram_unref(client);
    (void)uds_dgram_unref(dgram);

    die(&place.addr);
    dgram = bound(&place.addr, NULL);
    expect_reachable(dgram, &place.addr);
    (void)uds_dgram_unref(dgram);
    r = send_result(&place.addr);
    cr_expect_eq(r, -ENOENT, "%s", strerror(-r));
    cr_expect_eq(rmdir(deep), 0, "%s", strerror(errno));
    place_clear(&place);
}

static int take(const struct uds_addr *addr)
{
    uds_dgram *dgram;

    return uds_dgram_new(&dgram, addr, NULL);
}

static void expect_taken(const struct uds_addr *addr)
{
    cr_expect_eq(send_result(addr), 0, "the winner's file");
}

/* One gets it, and what the others do does not take it away again. */
Test(dgram_path, is_won_by_one_of_many_that_race_for_a_stale_file)
{
    UDS_TEST_GUARD;
    struct place place;

    place_make(&place, "dgram");
    die(&place.addr);
    place_race(&place, take, expect_taken);
    place_clear(&place);
}
