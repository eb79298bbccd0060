/* SPDX-License-Identifier: MIT */
/* Peers that break the rules, end only their own connection. What they cost is in charge_test.c, turns are in turn_test.c. */
#include "hostile_scene.h"

Test(hostile, bytes_end_only_their_own_connection)
{
    UDS_TEST_GUARD;
    static const uint8_t frames[][24] = {
        {0xd5, 1, 34, 0, 0xff, 0xff, 0xff, 0xff}, /* 4 GiB of body */
        {0xd5, 1, 34, 0, 0, 0, 0, 0, 0xff, 0xff}, /* a head over the limit */
        {0xd5, 1, 34, 0, 0, 0, 0, 0, 0, 0, 254},  /* 254 fds that are not there */
        {0xd5, 1, 34, 0, 0, 0, 0, 0, 0, 0, 3},    /* a lie about fds */
        {0xd5, 2, 34},                            /* another version */
        {0xd5, 1, 99},                            /* no such type */
        {0xd5, 1, 35},                            /* what only a broker sends */
        {0xd5, 1, 8},                             /* for direct connections */
        {0xd5, 1, 16},                            /* a request without an id */
    };
    struct world w;
    struct world_config c;
    uint8_t bytes[sizeof(hello) + 24];
    open_world(&w, &c);
    shout(&w, "GET / HTTP/1.1\r\nHost: broker\r\n\r\n", 32);
    memcpy(bytes, hello, sizeof(hello));
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        memcpy(bytes + sizeof(hello), frames[i], 24);
        /* A version or type from the future without a body may be all that was sent: half a frame waits for the rest. */
        shout(&w, bytes, sizeof(bytes));
    }
    check_alive(&w);
    world_close(&w);
}

Test(hostile, silence_in_the_middle_of_a_frame_holds_up_nobody)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uint8_t half[sizeof(hello) + 24] = {0};
    open_world(&w, &c);
    memcpy(half, hello, sizeof(hello));
    memcpy(half + sizeof(hello), (const uint8_t[]){0xd5, 1, 34, 0, 0, 0, 100}, 7);
    int fd = world_dial(&w);
    cr_assert_eq(send(fd, half, sizeof(half), MSG_NOSIGNAL), (ssize_t)sizeof(half));
    WAIT_FOR(&w, w.router->peers.count == 1);
    uds_conn *a = world_connect(&w);
    world_send(a, world_msg(UDS_MSG_PUBLISH, 1, "x", ""));
    cr_assert_eq(world_answer(&w, a, UDS_MSG_ACK, 1), UDS_STATUS_OK);
    uds_conn_unref(a);
    close(fd); /* it dies mid-frame */
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, heads_are_answered_not_obeyed)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *conn = world_connect(&w);
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 1, "a", NULL); /* SENDER is the broker's to write */
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SENDER, "uid:0"), 0);
    world_send(conn, msg);
    cr_expect_eq(world_answer(&w, conn, UDS_MSG_ACK, 1), UDS_STATUS_BAD_REQUEST);
    msg = world_msg(UDS_MSG_PUBLISH, 2, "a", NULL);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, "b"), 0); /* twice */
    world_send(conn, msg);
    cr_expect_eq(world_answer(&w, conn, UDS_MSG_ACK, 2), UDS_STATUS_BAD_REQUEST);
    static const char *const bad[] = {"", "a..b", ".a", "a.", "a b", "a.*", ">", "a\tb"};
    for (uint64_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        world_send(conn, world_msg(UDS_MSG_PUBLISH, 10 + i, bad[i], NULL));
        cr_expect_eq(world_answer(&w, conn, UDS_MSG_ACK, 10 + i), UDS_STATUS_BAD_REQUEST, "%s",
                     bad[i]);
    }
    msg = world_msg(UDS_MSG_PUBLISH, 3, "a", NULL);
    cr_assert_eq(uds_msg_add_bytes(msg, 0x8055, "future", 6), 0); /* skipped */
    world_send(conn, msg);
    cr_expect_eq(world_answer(&w, conn, UDS_MSG_ACK, 3), UDS_STATUS_OK);
    msg = world_msg(UDS_MSG_PUBLISH, 4, "a", NULL);
    cr_assert_eq(uds_msg_add_bytes(msg, 0x55, "future", 6), 0); /* not skipped */
    world_send(conn, msg);
    cr_expect_eq(world_answer(&w, conn, UDS_MSG_ACK, 4), UDS_STATUS_BAD_REQUEST);
    uds_conn_unref(conn);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, connections_are_bounded_by_quota)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *conns[3];
    open_world(&w, &c);
    c.quota.connections = 3;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (int i = 0; i < 3; i++)
        conns[i] = world_connect(&w);
    int fd = world_dial(&w);
    char byte;
    ssize_t n = -1;
    WAIT_FOR(&w, (n = recv(fd, &byte, 1, MSG_DONTWAIT)) >= 0 || errno == ECONNRESET);
    cr_expect(n <= 0, "the fourth is closed without a word");
    close(fd);
    for (int i = 0; i < 3; i++)
        uds_conn_unref(conns[i]);
    WAIT_FOR(&w, w.router->peers.count == 0);
    c.quota.connections = 0;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    check_alive(&w);
    world_close(&w);
}

Test(hostile, a_full_descriptor_table_sheds_and_goes_on)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    rlim_t old;
    int clients[4], fill[1024];
    size_t filled = 0;
    open_world(&w, &c);
    uds_conn *honest = world_connect(&w);
    for (int i = 0; i < 4; i++)
        clients[i] = world_dial(&w);
    old = nofile_set(256);
    while (filled < 1024 && (fill[filled] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
        filled++;
    /* The four are taken and closed, or wait; the honest peer's conversation goes on meanwhile. */
    for (uint64_t i = 1; i <= 20; i++) {
        world_send(honest, world_msg(UDS_MSG_PUBLISH, i, "x", ""));
        cr_assert_eq(world_answer(&w, honest, UDS_MSG_ACK, i), UDS_STATUS_OK);
    }
    cr_assert_eq(w.router->peers.count, 1);
    while (filled > 0)
        close(fill[--filled]);
    nofile_set(old);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    uds_conn_unref(honest);
    WAIT_FOR(&w, w.router->peers.count == 0);
    check_alive(&w);
    world_close(&w);
}

Test(hostile, one_that_never_reads_its_answers_is_kicked)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.quota.queued_bytes = 1;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *conn = world_connect(&w);
    uint64_t id = 0, until = world_ms() + 20000;
    while (w.router->peers.count > 0 && world_ms() < until) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, ++id, "not a subject", NULL);
        if (uds_conn_send(conn, msg) == 0)
            (void)uds_conn_flush(conn);
        uds_msg_unref(msg);
        event_base_loop(w.base, EVLOOP_NONBLOCK);
    }
    cr_assert_eq(w.router->peers.count, 0, "%lu unread answers", id);
    uds_conn_unref(conn);
    check_alive(&w);
    world_close(&w);
}

Test(hostile, one_that_never_greets_loses_its_place)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    int strangers[3];
    open_world(&w, &c);
    c.quota.connections = 4;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    w.router->greeting_usec = 1000;
    Uds__Supervisor__Link link = UDS__SUPERVISOR__LINK__INIT;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    link.sandbox_id = link.generation = 1;
    cr_assert_eq(router_add_link(w.router, &link, pair[0]), 0);
    for (int i = 0; i < 3; i++)
        strangers[i] = world_dial(&w);
    cr_assert_eq(send(strangers[2], hello, 20, MSG_NOSIGNAL), 20); /* half of one is none */
    WAIT_FOR(&w, w.router->peers.count == 4);
    uds_conn *honest = world_connect(&w);
    WAIT_FOR(&w, w.router->peers.count == 2); /* the honest one and the link, which owes nothing */
    cr_expect(uds_conn_process(honest) >= 0 && uds_conn_is_open(honest));
    cr_expect(TAILQ_EMPTY(&w.router->strangers));
    cr_expect(!event_pending(w.router->greeting_timer, EV_TIMEOUT, NULL), "nothing wakes us");
    for (int i = 0; i < 3; i++)
        close(strangers[i]);
    close(pair[1]);
    uds_conn_unref(honest);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, no_timer_waits_for_those_who_have_spoken)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *a = world_connect(&w), *b = world_connect(&w);
    cr_expect(event_pending(w.router->greeting_timer, EV_TIMEOUT, NULL));
    world_subscribe(&w, a, 1, "x", 0);
    world_subscribe(&w, b, 1, "x", 0);
    cr_expect(!event_pending(w.router->greeting_timer, EV_TIMEOUT, NULL));
    uds_conn_unref(a);
    uds_conn_unref(b);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

/* One uid may have more connections by its quota than we have descriptors: the table has room for others nevertheless. */
Test(hostile, a_host_user_cannot_take_the_whole_descriptor_table)
{
    UDS_TEST_GUARD;
    enum {
        MANY = 60,
        TABLE = 80
    };
    struct world w;
    struct world_config c;
    int fds[MANY];
    open_world(&w, &c);
    w.router->quota.fds = TABLE; /* as if RLIMIT_NOFILE were that */
    for (int i = 0; i < MANY; i++) {
        fds[i] = world_dial(&w);
        world_turn(&w);
    }
    WAIT_FOR(&w, w.router->peers.count == TABLE / 2);
    uds_conn *sandbox = world_link(&w, 1, 1);
    world_subscribe(&w, sandbox, 1, "x", 0);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    uds_conn_unref(sandbox);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}
