/* SPDX-License-Identifier: MIT */
/* A loaded router moves into a fresh one, and the conversations go on. */
#include <fcntl.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include "call.h"
#include "sub.h"
#include "world.h"

static char any_subject[] = ">", nobody[] = "", decoder[] = "decoder", other[] = "other";
static char label[] = "rule", slow_subject[] = "slow";
static char *everything[] = {any_subject}, *slow[] = {slow_subject};

static void open_world(struct world *w, struct world_config *c)
{
    world_config_init(c);
    for (int i = 0; i < 3; i++) {
        Uds__Supervisor__Rule *rule = world_rule(c,
                                                 i == 0   ? decoder
                                                 : i == 1 ? other
                                                          : nobody,
                                                 label);
        rule->any = i == 2;
        rule->n_publish = rule->n_subscribe = rule->n_call = rule->n_serve = 1;
        rule->publish = rule->subscribe = rule->call = everything;
        rule->serve = i == 0 ? slow : everything;
        rule->fds_send = rule->fds_receive = UDS_FD_MEMFD_OPEN | UDS_FD_FILE_RO | UDS_FD_PIPE;
    }
    world_open(w, c);
    world_listen(w, 1, 0);
}

Test(state, moves_an_empty_router)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    world_move(&w);
    uds_conn *client = world_connect(&w);
    uds_conn_unref(client);
    world_close(&w);
}

Test(state, moves_subscriptions_groups_sequences_and_calls)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *a = world_link(&w, 1, 1), *b = world_link(&w, 2, 1), *client = world_connect(&w);
    world_subscribe(&w, a, 1, "news.>", 0);
    for (int i = 0; i < 2; i++) {
        uds_conn *member = i == 0 ? a : b;
        uds_msg *msg = world_msg(UDS_MSG_SUBSCRIBE, 2, "job", NULL);
        cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_QUEUE, "g"), 0);
        world_send(member, msg);
        cr_assert_eq(world_answer(&w, member, UDS_MSG_ACK, 2), UDS_STATUS_OK);
    }
    world_subscribe(&w, b, 3, "svc", 1);
    world_send(client, world_msg(UDS_MSG_PUBLISH, 1, "news.x", "one"));
    (void)world_answer(&w, client, UDS_MSG_ACK, 1);
    (void)world_answer(&w, a, UDS_MSG_DELIVER, 1);
    world_send(client, world_msg(UDS_MSG_PUBLISH, 2, "job", ""));
    (void)world_answer(&w, client, UDS_MSG_ACK, 2);
    (void)world_answer(&w, b, UDS_MSG_DELIVER, 2);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 9, "svc", "sent");
    world_send(client, msg);
    uds_msg *sent = world_receive(&w, b);

    world_move(&w);

    world_send(client, world_msg(UDS_MSG_PUBLISH, 3, "news.x", "two"));
    (void)world_answer(&w, client, UDS_MSG_ACK, 3);
    msg = world_expect(&w, a, UDS_MSG_DELIVER, 1);
    uint64_t sequence = 0;
    cr_assert_eq(uds_msg_get_u64(msg, UDS_FIELD_SEQUENCE, &sequence), 0);
    cr_assert_eq(sequence, 2);
    uds_msg_unref(msg);
    world_send(client, world_msg(UDS_MSG_PUBLISH, 4, "job", ""));
    (void)world_answer(&w, client, UDS_MSG_ACK, 4);
    (void)world_answer(&w, a, UDS_MSG_DELIVER, 2); /* its turn, not b's */
    world_send(b, world_msg(UDS_MSG_REPLY, uds_msg_get_id(sent), NULL, "answer"));
    msg = world_expect(&w, client, UDS_MSG_REPLY, 9);
    cr_assert(world_body_is(msg, "answer"));
    uds_msg_unref(msg);
    uds_msg_unref(sent);
    uds_conn_unref(a);
    uds_conn_unref(b);
    uds_conn_unref(client);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(state, moves_streams_with_their_credit)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uint32_t window = 0;
    open_world(&w, &c);
    uds_conn *server = world_link(&w, 2, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 3, "svc", 1);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 9, "svc", "");
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_WINDOW, 3), 0);
    world_send(client, msg);
    msg = world_receive(&w, server);
    uint64_t id = uds_msg_get_id(msg);
    uds_msg_unref(msg);
    world_send(server, world_msg(UDS_MSG_PART, id, NULL, "one"));
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 9));
    msg = world_msg(UDS_MSG_CREDIT, 9, NULL, NULL);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_WINDOW, 1), 0);
    world_send(client, msg);
    WAIT_FOR(&w, ((struct call *)table_get(&w.router->calls, id))->credit == 3);

    world_move(&w);

    struct call *call = table_get(&w.router->calls, id);
    cr_assert(call->streaming);
    cr_assert_eq(call->credit, 3);
    cr_assert_eq(call->told, 2);
    world_send(server, world_msg(UDS_MSG_PART, id, NULL, "two"));
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 9));
    msg = world_expect(&w, server, UDS_MSG_CREDIT, id);
    cr_assert_eq(uds_msg_get_u32(msg, UDS_FIELD_WINDOW, &window), 0);
    cr_assert_eq(window, 1);
    uds_msg_unref(msg);
    for (int i = 0; i < 3; i++)
        world_send(server, world_msg(UDS_MSG_PART, id, NULL, "more"));
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 9));
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 9));
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 9), UDS_STATUS_INTERNAL);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}

Test(state, moves_held_and_lost_calls_with_their_descriptors)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    int pipes[2];
    open_world(&w, &c);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    world_sandbox(&w, &changed);
    changed = c.sandbox[1];
    changed.state = UDS__SUPERVISOR__STATE__FAILED;
    world_sandbox(&w, &changed);
    uds_conn *dying = world_link(&w, 2, 1), *client = world_connect(&w);
    world_subscribe(&w, dying, 1, "dies", 1);
    world_send(client, world_msg(UDS_MSG_REQUEST, 5, "dies", ""));
    WAIT_FOR(&w, w.router->calls.count == 1);
    changed = c.sandbox[1];
    world_sandbox(&w, &changed); /* running: its end is not known */
    uds_conn_unref(dying);
    WAIT_FOR(&w, w.router->peers.count == 1);
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 6, slow_subject, "held");
    cr_assert_eq(uds_msg_push_fd(msg, pipes[0]), 0);
    world_send(client, msg);
    WAIT_FOR(&w, w.router->calls.count == 2);

    world_move(&w);

    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    changed.cause = UDS__SUPERVISOR__CAUSE__SIGNALED;
    changed.value = 9;
    world_sandbox(&w, &changed);
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 5), UDS_STATUS_CALLEE_CRASHED);
    uds_conn *server = world_link(&w, 1, 2);
    world_subscribe(&w, server, 1, slow_subject, 1);
    msg = world_receive(&w, server);
    cr_assert(world_body_is(msg, "held"));
    cr_assert_eq(write(pipes[1], "!", 1), 1);
    int fd = uds_msg_take_fd(msg, 0);
    char byte = 0;
    cr_assert_eq(read(fd, &byte, 1), 1);
    cr_assert_eq(byte, '!');
    close(fd);
    close(pipes[1]);
    world_send(server, world_msg(UDS_MSG_REPLY, uds_msg_get_id(msg), NULL, ""));
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 6), UDS_STATUS_OK);
    uds_msg_unref(msg);
    uds_conn_unref(server);
    uds_conn_unref(client);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(state, moves_peers_in_the_middle_of_a_frame_both_ways)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *sub = world_link(&w, 1, 1), *pub = world_link(&w, 2, 1);
    world_subscribe(&w, sub, 1, "x", 0);
    size_t size = 3u << 20;
    char *big = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)('a' + i % 26);
    big[size] = '\0';
    /* Into the router: only a part of the frame is on its way when it moves. */
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 1, "x", big);
    world_send(pub, msg);
    for (int i = 0; i < 3; i++)
        event_base_loop(w.base, EVLOOP_NONBLOCK);
    cr_assert(uds_conn_get_queued_bytes(pub) > 0, "otherwise this test tests nothing");

    world_move(&w);

    WAIT_FOR(&w, uds_conn_process(pub) >= 0 && uds_conn_get_queued_bytes(pub) == 0);
    cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, 1), UDS_STATUS_OK);
    struct peer *peer = table_get(&w.router->peers, 1);
    cr_assert(uds_conn_get_queued_bytes(peer->conn) > 0, "the subscriber does not read");
    uint64_t charged = peer->account->used[QUOTA_QUEUED_BYTES];
    cr_assert(charged > 0);

    world_move(&w);

    peer = table_get(&w.router->peers, 1);
    cr_assert_eq(peer->account->used[QUOTA_QUEUED_BYTES], charged, "charges move too");
    msg = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
    cr_assert(world_body_is(msg, big));
    uds_msg_unref(msg);
    free(big);
    uds_conn_unref(sub);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(state, moves_descriptors_that_wait_for_a_reader)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    w.router->fd_limit = 64; /* 32 may be in flight */
    uds_conn *sub = world_link(&w, 1, 1), *pub = world_link(&w, 2, 1);
    world_subscribe(&w, sub, 1, "x", 0);
    for (uint64_t i = 1; i <= 40; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, i, "x", "");
        cr_assert_eq(uds_msg_push_fd(msg, memfd_create("m", MFD_CLOEXEC)), 0);
        world_send(pub, msg);
        cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, i), UDS_STATUS_OK);
    }
    struct peer *peer = table_get(&w.router->peers, 1);
    cr_assert(!STAILQ_EMPTY(&peer->waiting), "more than the cap must wait in user space");
    cr_assert(peer->account->used[QUOTA_QUEUED_FDS] >= 8);

    world_move(&w);
    w.router->fd_limit = 64;

    for (uint64_t i = 1; i <= 40; i++) {
        uint64_t sequence = 0;
        uds_msg *msg = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
        cr_assert_eq(uds_msg_get_fd_count(msg), 1);
        cr_assert_eq(uds_msg_get_u64(msg, UDS_FIELD_SEQUENCE, &sequence), 0);
        cr_assert_eq(sequence, i);
        uds_msg_unref(msg);
    }
    uds_conn_unref(sub);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(state, moves_a_message_whose_file_is_being_copied)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    char path[] = "/tmp/uds-state-XXXXXX";
    open_world(&w, &c);
    c.sandbox[0].uid_first = getuid();
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *sub = world_link(&w, 1, 1), *pub = world_link(&w, 2, 1);
    world_subscribe(&w, sub, 1, "x", 0);
    int rw = mkstemp(path), ro = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(ftruncate(rw, 20 << 20), 0);
    close(rw);
    unlink(path);
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 1, "x", "file");
    cr_assert_eq(uds_msg_push_fd(msg, ro), 0);
    world_send(pub, msg);
    world_send(pub, world_msg(UDS_MSG_PUBLISH, 2, "x", "after"));
    struct peer *peer = table_get(&w.router->peers, 2);
    /* One pass of the loop at a time: a whole turn would make the whole copy. */
    for (int i = 0; i < 1000 && peer->pending == NULL; i++)
        event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_assert(peer->pending != NULL, "otherwise this test tests nothing");

    world_move(&w);

    msg = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
    cr_assert(world_body_is(msg, "file"));
    struct uds_fd_info info;
    cr_assert_eq(uds_fd_classify(uds_msg_peek_fd(msg, 0), &info), 0);
    cr_assert_eq(info.kind, UDS_FD_MEMFD);
    cr_assert_eq(info.size, 20u << 20);
    uds_msg_unref(msg);
    msg = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
    cr_assert(world_body_is(msg, "after"));
    uds_msg_unref(msg);
    uds_conn_unref(sub);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(state, of_nonsense_is_refused_and_leaves_nothing)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_snapshot *out, *in;
    const void *data;
    const int *fds;
    size_t len, nfds;
    open_world(&w, &c);
    uds_conn *a = world_link(&w, 1, 1);
    world_subscribe(&w, a, 1, "x", 0);
    cr_assert_eq(uds_snapshot_new(&out), 0);
    cr_assert_eq(router_serialise(w.router, out), 0);
    uds_snapshot_peek(out, &data, &len, &fds, &nfds);
    for (size_t cut = 0; cut < len; cut += 7) {
        struct router *fresh = NULL;
        int copies[8];
        cr_assert(nfds <= 8);
        for (size_t i = 0; i < nfds; i++)
            copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        cr_assert_eq(uds_snapshot_open(&in, data, cut, copies, nfds), 0);
        cr_assert_lt(router_restore(&fresh, w.base, in), 0, "cut at %zu", cut);
        cr_assert_null(fresh);
        uds_snapshot_free(in);
    }
    uds_snapshot_free(out);
    uds_conn_unref(a);
    world_close(&w);
}
