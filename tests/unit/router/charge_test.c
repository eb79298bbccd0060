/* SPDX-License-Identifier: MIT */
/* What a peer makes the router keep is charged to it, and bounded. */
#include "hostile_scene.h"

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
