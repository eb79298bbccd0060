/* SPDX-License-Identifier: MIT */

/* The soak's client: connects, sends bursts, receives what the server returns (the number alone), ends, connects again. */

#include <uds/conn.h>

#include "soak.h"

#define WINDOW    256
#define LIFE_MAX  40000 /* messages of one connection */
#define LIVES_MIN 25    /* connections, however few messages there are */

struct tally tally;

uds_conn *connect_to(const struct uds_addr *addr)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *conn;

    /* A third of the connections over streams go through a ring, a third does without arenas. */
    if (addr->sock_type == SOCK_STREAM && random_next() % 3 == 0) {
        options.ring_bytes = RING;
        options.ring_propose = true;
    }
    if (random_next() % 3 == 0)
        options.arena_bytes = 0;
    CHECK(uds_conn_connect(&conn, addr, &options, 30000) == 0);
    return conn;
}

static uds_msg *draw_message(uint64_t number, size_t max, unsigned one_in)
{
    struct label label = label_draw(number, max, one_in);
    void *room;
    uds_msg *msg;

    CHECK(uds_msg_new(&msg, UDS_MSG_MESSAGE, number, NULL, 0) == 0);
    CHECK(uds_msg_reserve_body(msg, label.len, &room) == 0);
    for (size_t i = 0; i < label.nfds; i++)
        CHECK(uds_msg_push_dup_fd(msg, cargo_of(label.which[i])) == 0);
    label_write(&label, room);
    return msg;
}

/* Takes every answer that is there; waits for one if @wait. */
static void take_answers(uds_conn *conn, uint64_t *answered, bool wait)
{
    uds_msg *msg;

    for (;;) {
        int r = wait ? uds_conn_receive_wait(conn, &msg, 30000) : uds_conn_receive(conn, &msg);

        if (!wait && (r == 0 || r == -ESHUTDOWN))
            return; /* none now; or none any more, both sides having finished */
        if (r < 0)
            fprintf(stderr, "soak: receive: %s: %s\n", strerror(-r), uds_conn_get_error_text(conn));
        CHECK(r == (wait ? 0 : 1));
        CHECK(uds_msg_get_id(msg) == ++*answered);
        (void)uds_msg_unref(msg);
        wait = false;
    }
}

static void end_connection(uds_conn *conn, uint64_t sent, uint64_t answered)
{
    uds_msg *msg;

    switch (random_next() % 3) {
    case 0: /* when everything is answered */
        while (answered < sent)
            take_answers(conn, &answered, true);
        CHECK(uds_conn_shutdown(conn, 0, NULL) == 0);
        (void)uds_conn_flush(conn);
        tally.in_order++;
        break;
    case 1: /* the rest is still answered */
        while (answered == 0)
            take_answers(conn, &answered,
                         true); /* the other side's HELLO has come then, and allows this */
        CHECK(uds_conn_finish(conn) == 0);
        while (answered < sent)
            take_answers(conn, &answered, true);
        CHECK(uds_conn_receive_wait(conn, &msg, 30000) == -ESHUTDOWN);
        tally.half_closed++;
        break;
    default: /* wherever it is */
        tally.broken_off++;
        break;
    }
    (void)uds_conn_unref(conn);
}

static uint64_t life_draw(uint64_t messages, uint64_t left)
{
    uint64_t max = messages / LIVES_MIN < LIFE_MAX ? messages / LIVES_MIN : LIFE_MAX;
    uint64_t life = 1 + random_next() % (max + 1);

    return life < left ? life : left;
}

/* One connection's life of @life messages. Returns how many that is. */
static uint64_t live(const struct uds_addr *addr, uint64_t life)
{
    uint64_t sent = 0, answered = 0;
    bool stream = addr->sock_type == SOCK_STREAM;
    unsigned one_in = large_draw();
    uds_conn *conn = connect_to(addr);

    while (sent < life) {
        uint64_t burst = 1 + random_next() % 64, before = sent;

        for (; burst > 0 && sent < life; burst--) {
            uds_msg *msg = draw_message(sent, stream ? BODY_MAX : RECORD_MAX, one_in);

            CHECK(uds_conn_send(conn, msg) == 0);
            (void)uds_msg_unref(msg);
            sent++;
        }
        CHECK(uds_conn_flush(conn) >= 0);
        *(uds_conn_uses_ring(conn) ? &tally.by_ring
          : stream                 ? &tally.by_stream
                                   : &tally.by_record) += sent - before;
        level_look();
        take_answers(conn, &answered, false);
        while (sent - answered > WINDOW)
            take_answers(conn, &answered, true);
    }
    end_connection(conn, sent, answered);
    return sent;
}

bool ask(const struct uds_addr addrs[WAYS], uint64_t messages)
{
    level_begin("client");
    for (uint64_t sent = 0; sent < messages;) {
        enum way way = (enum way)(random_next() % WAYS);

        sent += (way == WAY_CALLS ? live_with_calls : live)(&addrs[way],
                                                            life_draw(messages, messages - sent));
        if (sent >= messages / 10)
            level_settle();
    }
    return level_is_kept();
}
