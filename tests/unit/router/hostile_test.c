/* SPDX-License-Identifier: MIT */
/* Peers that break the protocol, the quotas or the machine's limits: each harms only itself. */
#include <fcntl.h>
#include <sched.h>

#include <sys/mman.h>

#include "nofile.h"
#include "world.h"

static char any_subject[] = ">", nobody[] = "", decoder[] = "decoder", label[] = "rule";
static char *everything[] = {any_subject};

static void open_world(struct world *w, struct world_config *c)
{
    world_config_init(c);
    for (int i = 0; i < 2; i++) {
        Uds__Supervisor__Rule *rule = world_rule(c, i == 0 ? decoder : nobody, label);
        rule->any = i == 1;
        rule->n_publish = rule->n_subscribe = rule->n_call = rule->n_serve = 1;
        rule->publish = rule->subscribe = rule->call = rule->serve = everything;
    }
    world_open(w, c);
    world_listen(w, 1, 0);
}

/* Two honest peers exchange a message: the router is fine. */
static void check_alive(struct world *w)
{
    uds_conn *a = world_connect(w), *b = world_connect(w);
    world_subscribe(w, a, 1, "honest", 0);
    world_send(b, world_msg(UDS_MSG_PUBLISH, 1, "honest", "yes"));
    cr_assert_eq(world_answer(w, b, UDS_MSG_ACK, 1), UDS_STATUS_OK);
    cr_assert_eq(world_answer(w, a, UDS_MSG_DELIVER, 1), UDS_STATUS_OK);
    uds_conn_unref(a);
    uds_conn_unref(b);
    WAIT_FOR(w, w->router->peers.count == 0);
}

/* Sends raw bytes from a new connection and expects to be cut off. */
static void shout(struct world *w, const void *bytes, size_t len)
{
    int fd = world_dial(w);
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    WAIT_FOR(w, w->router->peers.count == 0 && w->router->next_peer > 0);
    close(fd);
}

static const uint8_t hello[] = {0xd5, 1, 1, 0, 0,  0, 0,  0, 28, 0, 0, 0, 0, 0, 0,  0, 0, 0,
                                0,    0, 0, 0, 0,  0, 32, 0, 4,  0, 0, 0, 0, 1, 33, 0, 4, 0,
                                16,   0, 0, 0, 34, 0, 8,  0, 0,  0, 0, 0, 0, 0, 0,  0};

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

Test(hostile, held_calls_are_charged_with_what_waits_in_them)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.quota.queued_bytes = 1u << 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__STARTING;
    world_sandbox(&w, &changed);
    uds_conn *conn = world_connect(&w);
    char *big = calloc(1, 400001);
    memset(big, 'x', 400000);
    for (uint64_t id = 1; id <= 3; id++)
        world_send(conn, world_msg(UDS_MSG_REQUEST, id, "svc", big));
    free(big);
    cr_assert_eq(world_answer(&w, conn, UDS_MSG_REPLY, 3), UDS_STATUS_QUOTA);
    cr_assert_eq(w.router->calls.count, 2);
    uds_conn_unref(conn);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

/* A connection that has sent HELLO and the header of a PUBLISH, and goes on with @body when it likes. */
static int begin_publish(struct world *w, uint32_t body_length, size_t nfds)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    uint8_t frame[24] = {0xd5, 1, 34};
    struct iovec iov = {frame, sizeof(frame)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int fd = world_dial(w);
    for (int i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)(body_length >> 8 * i);
    frame[10] = (uint8_t)nfds;
    cr_assert_eq(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), (ssize_t)sizeof(hello));
    if (nfds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        for (size_t i = 0; i < nfds; i++) /* our standard input, many times */
            memset(CMSG_DATA(cmsg) + i * sizeof(int), 0, sizeof(int));
    }
    cr_assert_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)sizeof(frame));
    return fd;
}

Test(hostile, fds_of_half_frames_are_bounded_over_all_connections)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    int fds[8];
    open_world(&w, &c);
    c.quota.queued_fds = 1; /* a few frames of the largest size there may be, and no more */
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (size_t i = 0; i < 8; i++)
        fds[i] = begin_publish(&w, 100, 16);
    WAIT_FOR(&w, w.router->next_peer == 8 && w.router->peers.count == 4);
    for (size_t i = 0; i < 8; i++)
        close(fds[i]);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

Test(hostile, bytes_of_half_frames_are_bounded_over_all_connections)
{
    UDS_TEST_GUARD;
    static const char zeros[64 << 10];
    struct world w;
    struct world_config c;
    int fds[4];
    open_world(&w, &c);
    c.quota.queued_bytes = 1;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (size_t i = 0; i < 4; i++) {
        fds[i] = begin_publish(&w, 16u << 20, 0);
        for (size_t sent = 0; sent < 15u << 20;) {
            ssize_t n = send(fds[i], zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                break; /* cut off */
            sent += n > 0 ? (size_t)n : 0;
            world_turn(&w);
        }
    }
    WAIT_FOR(&w, w.router->next_peer == 4 && w.router->peers.count == 2);
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

Test(hostile, an_account_waits_when_its_messages_have_cost_enough_for_this_turn)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= 1000; i++)
        world_subscribe(&w, greedy, i, "loop", 0);
    /* Each publish costs a thousand deliveries, and all of them are there when the router comes to read. */
    for (uint64_t i = 1; i <= 100; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 10000 + i, "loop", NULL);
        cr_assert_eq(uds_conn_send(greedy, msg), 0);
        uds_msg_unref(msg);
    }
    cr_assert_geq(uds_conn_flush(greedy), 0);
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    uint64_t before = peer->counters.messages_out;
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    uint64_t once = peer->counters.messages_out - before;
    cr_assert(once > 0 && once <= 10000, "%lu deliveries in one turn", once);
    cr_assert(peer->tired, "it waits, and is not lost");
    WAIT_FOR(&w, peer->counters.messages_out - before == 100000);
    WAIT_FOR(&w, !peer->tired && peer->account->tired == 0);
    uds_conn_unref(greedy);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

Test(hostile, a_peer_that_goes_while_it_waits_for_its_turn_leaves_nothing)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= 1000; i++)
        world_subscribe(&w, greedy, i, "loop", 0);
    for (uint64_t i = 1; i <= 100; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 0, "loop", NULL);
        cr_assert_eq(uds_conn_send(greedy, msg), 0);
        uds_msg_unref(msg);
    }
    cr_assert_geq(uds_conn_flush(greedy), 0);
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_assert(peer->tired);
    peer_kick(peer, UDS_STATUS_INTERNAL, "test");
    WAIT_FOR(&w, world_is_empty(&w));
    uds_conn_unref(greedy);
    world_close(&w);
}

Test(hostile, many_connections_get_no_more_of_a_turn_than_one)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy[40];
    c.quota.connections = 64;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (size_t k = 0; k < 40; k++) {
        greedy[k] = world_link(&w, 1, 1);
        world_subscribe(&w, greedy[k], 1000, "greeted", 0);
    }
    for (size_t k = 0; k < 40; k++) {
        for (uint64_t i = 1; i <= 250; i++) {
            uds_msg *msg = world_msg(UDS_MSG_PUBLISH, i, "nobody.listens", NULL);
            cr_assert_eq(uds_conn_send(greedy[k], msg), 0);
            uds_msg_unref(msg);
        }
        cr_assert_geq(uds_conn_flush(greedy[k]), 0);
    }
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    struct account *account = account_ref(peer->account);
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_assert_leq(account->steps, 20000, "%lu steps in one turn", account->steps);
    cr_assert_gt(account->tired, 5, "the others wait");
    for (size_t k = 0; k < 40; k++) {
        for (uint64_t i = 1; i <= 250; i++) /* all are answered, each connection in order */
            uds_msg_unref(world_expect(&w, greedy[k], UDS_MSG_ACK, i));
        uds_conn_unref(greedy[k]);
    }
    cr_assert_eq(account->tired, 0);
    account_unref(account);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

static size_t count_peers_of(struct world *w, bool sandbox)
{
    struct peer *peer;
    size_t count = 0;
    for (size_t pos = 0; (peer = table_next(&w->router->peers, &pos)) != NULL;)
        count += peer->identity.is_sandbox == sandbox;
    return count;
}

Test(hostile, nobody_is_kicked_for_what_others_make_us_tell_it)
{
    UDS_TEST_GUARD;
    enum {
        SUBJECTS = 6000
    };
    struct world w;
    struct world_config c;
    char subject[32];
    open_world(&w, &c);
    c.quota.queued_bytes = 1u << 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *slow = world_connect(&w), *flood = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= SUBJECTS; i++) {
        snprintf(subject, sizeof(subject), "many.%lu", i);
        world_subscribe(&w, slow, i, subject, 0);
    }
    /* It does not read for a moment. Each subject of it has a drop to tell, more than the room for our own words. */
    char *big = calloc(1, 100001);
    memset(big, 'x', 100000);
    for (uint64_t i = 0; i < 8; i++)
        world_send(flood, world_msg(UDS_MSG_PUBLISH, 0, "many.1", big));
    free(big);
    for (uint64_t i = 1; i <= SUBJECTS; i++) {
        snprintf(subject, sizeof(subject), "many.%lu", i);
        world_send(flood,
                   world_msg(UDS_MSG_PUBLISH, 0, subject, "a body that is not worth the room"));
        world_turn(&w);
    }
    cr_assert_eq(count_peers_of(&w, false), 1, "the slow one was kicked");
    /* Now it reads: of each drop it hears. */
    static uint64_t last[SUBJECTS + 1];
    uint64_t told = 0, got = 0;
    while (told + got < SUBJECTS + 8) {
        uint64_t dropped;
        uds_msg *msg = world_receive(&w, slow);
        cr_assert_not_null(msg);
        got += uds_msg_get_type(msg) == UDS_MSG_DELIVER;
        if (uds_msg_get_u64(msg, UDS_FIELD_DROPPED, &dropped) == 0) {
            told += dropped - last[uds_msg_get_id(msg)];
            last[uds_msg_get_id(msg)] = dropped; /* of that subscription so far */
        }
        uds_msg_unref(msg);
    }
    cr_assert_gt(told, 0);
    uds_conn_unref(slow);
    uds_conn_unref(flood);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, one_caller_cannot_take_all_places_of_calls_that_wait)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__STARTING;
    world_sandbox(&w, &changed);
    uds_conn *greedy = world_link(&w, 1, 1), *honest = world_connect(&w);
    for (uint64_t id = 1; id <= 300; id++) {
        world_send(greedy, world_msg(UDS_MSG_REQUEST, id, "svc", ""));
        world_turn(&w);
    }
    cr_assert_eq(w.router->calls.count, 128);
    for (uint64_t id = 1; id <= 64; id++)
        world_send(honest, world_msg(UDS_MSG_REQUEST, id, "svc", ""));
    WAIT_FOR(&w, w.router->calls.count == 192);
    uds_conn_unref(greedy);
    uds_conn_unref(honest);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, a_queued_message_is_charged_with_what_it_costs_to_keep)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.quota.queued_bytes = 4u << 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *slow = world_connect(&w), *flood = world_link(&w, 1, 1);
    world_subscribe(&w, slow, 1, "x", 0);
    struct peer *peer = table_get(&w.router->peers, 1);
    for (uint64_t i = 1; i <= 20000; i++) {
        world_send(flood, world_msg(UDS_MSG_PUBLISH, 0, "x", NULL));
        world_turn(&w);
    }
    /* One sender has half of 4 MiB. A frame of 60 bytes takes some hundred to keep. */
    size_t frames = uds_conn_get_queued_bytes(peer->conn) / 60;
    cr_assert(frames > 1000 && frames < (2u << 20) / 300, "%zu frames", frames);
    uds_conn_unref(slow);
    uds_conn_unref(flood);
    WAIT_FOR(&w, world_is_empty(&w));
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

Test(hostile, a_long_pattern_counts_for_several)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    char pattern[256] = "*";
    open_world(&w, &c);
    c.quota.subscriptions = 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (size_t i = 1; i < 120; i++)
        memcpy(pattern + 2 * i - 1, ".*", 3);
    uds_conn *conn = world_connect(&w);
    world_subscribe(&w, conn, 1, pattern, 0);
    world_send(conn, world_msg(UDS_MSG_SUBSCRIBE, 2, pattern, NULL));
    cr_assert_eq(world_answer(&w, conn, UDS_MSG_ACK, 2), UDS_STATUS_QUOTA);
    world_subscribe(&w, conn, 3, "short", 0);
    uds_conn_unref(conn);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}
