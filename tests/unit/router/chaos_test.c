/* SPDX-License-Identifier: MIT */
/*
 * Many peers do anything in any order, sandboxes die and come back, the policy changes, and now and then the whole router
 * moves into a fresh one. Nothing may crash; when all have gone nothing may be left, and every charge must be released.
 */
#include <fcntl.h>

#include <sys/mman.h>

#include "call.h"
#include "world.h"

#define CLIENTS 12
#define STEPS   4000

static char any_subject[] = ">", secret[] = "a.b", nobody[] = "", label[] = "rule";
static char decoder[] = "decoder", other[] = "other";
static char *everything[] = {any_subject}, *secrets[] = {secret};
static const char *const subjects[] = {"a",   "a.b", "a.*", "a.>",         ">",      "*.b",
                                       "b.c", "c",   "d",   "$SYS.broker", "$SYS.>", "a..b"};
static const char *const groups[] = {"", "", "g", "h"};

struct chaos {
    struct world w;
    struct world_config c;
    uds_conn *clients[CLIENTS];
    uint64_t requests[64]; /* ids that servers have seen, to answer (or to answer again) */
    uint64_t next_id;
};

static unsigned pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static const char *subject(void)
{
    return subjects[pick(sizeof(subjects) / sizeof(subjects[0]))];
}

static void configure(struct chaos *chaos)
{
    world_config_init(&chaos->c);
    chaos->c.quota.queued_bytes = 600000;
    chaos->c.quota.queued_fds = 24;
    chaos->c.quota.pending_calls = 40;
    chaos->c.sandbox[0].uid_first = getuid();
    for (int i = 0; i < 3; i++) {
        Uds__Supervisor__Rule *rule = world_rule(&chaos->c,
                                                 i == 0   ? decoder
                                                 : i == 1 ? other
                                                          : nobody,
                                                 label);
        rule->any = i == 2;
        rule->admin = i == 1;
        rule->n_publish = rule->n_subscribe = rule->n_call = rule->n_serve = 1;
        rule->publish = rule->subscribe = rule->call = rule->serve = everything;
        rule->fds_send = rule->fds_receive = i == 2 ? 0 : UDS_FD_MEMFD_OPEN | UDS_FD_FILE_RO;
    }
    if (pick(2) == 0) {
        Uds__Supervisor__Rule *rule = world_rule(&chaos->c, pick(2) ? decoder : other, label);
        rule->deny = true;
        rule->n_subscribe = rule->n_serve = rule->n_call = 1;
        rule->subscribe = rule->serve = rule->call = secrets;
    }
}

static uds_conn *dial(struct chaos *chaos)
{
    int pair[2];
    uds_conn *conn;
    if (pick(3) == 0) {
        cr_assert_eq(uds_conn_new(&conn, world_dial(&chaos->w), NULL), 0);
        return conn;
    }
    Uds__Supervisor__Link link = UDS__SUPERVISOR__LINK__INIT;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    link.sandbox_id = 1 + pick(2);
    link.generation = 1 + pick(2);
    (void)router_add_link(chaos->w.router, &link, pair[0]);
    cr_assert_eq(uds_conn_new(&conn, pair[1], NULL), 0);
    return conn;
}

static void push_something(uds_msg *msg)
{
    int fd = -1;
    switch (pick(4)) {
    case 0:
        fd = memfd_create("chaos", MFD_CLOEXEC);
        break;
    case 1:
        fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        break;
    case 2:
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        break;
    default: {
        char path[] = "/tmp/uds-chaos-XXXXXX";
        int rw = mkstemp(path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(ftruncate(rw, (off_t)pick(3000000)), 0);
        unlink(path);
        close(rw);
    }
    }
    if (fd >= 0 && uds_msg_push_fd(msg, fd) < 0)
        close(fd);
}

static void speak(struct chaos *chaos, uds_conn *conn)
{
    static const enum uds_msg_type types[] = {
        UDS_MSG_PUBLISH,   UDS_MSG_PUBLISH, UDS_MSG_REQUEST, UDS_MSG_REQUEST,     UDS_MSG_REPLY,
        UDS_MSG_SUBSCRIBE, UDS_MSG_REPLY,   UDS_MSG_CANCEL,  UDS_MSG_UNSUBSCRIBE, UDS_MSG_DELIVER,
    };
    /* The last one, which ends the connection, seldom. */
    enum uds_msg_type type = types[pick(40) == 0 ? 9 : pick(9)];
    size_t len = pick(8) == 0 ? pick(150000) : pick(100);
    char *body = calloc(1, len + 1);
    uds_msg *msg;
    uint64_t id = type == UDS_MSG_REPLY ? chaos->requests[pick(64)]
                  : type == UDS_MSG_SUBSCRIBE || type == UDS_MSG_UNSUBSCRIBE ? 1 + pick(6)
                  : type == UDS_MSG_CANCEL ? chaos->next_id - pick(20)
                                           : ++chaos->next_id;
    cr_assert_eq(uds_msg_new(&msg, type, id, body, len), 0);
    free(body);
    if (type == UDS_MSG_PUBLISH || type == UDS_MSG_REQUEST || type == UDS_MSG_SUBSCRIBE)
        (void)!uds_msg_add_string(msg, UDS_FIELD_SUBJECT, subject());
    if (type == UDS_MSG_SUBSCRIBE) {
        const char *group = groups[pick(4)];
        (void)!uds_msg_add_u32(msg, UDS_FIELD_MODE, pick(2));
        if (group[0] != '\0')
            (void)!uds_msg_add_string(msg, UDS_FIELD_QUEUE, group);
    }
    if (type == UDS_MSG_REQUEST && pick(2) == 0)
        (void)!uds_msg_add_u32(msg, UDS_FIELD_TIMEOUT_MS, pick(30));
    if (type == UDS_MSG_REQUEST && pick(2) == 0)
        (void)!uds_msg_add_string(msg, UDS_FIELD_METHOD, "uds.admin.Broker/List");
    if (pick(20) == 0)
        (void)!uds_msg_add_string(msg, (uint16_t)pick(20), "oops");
    while (pick(5) == 0 && uds_msg_get_fd_count(msg) < 4)
        push_something(msg);
    (void)!uds_conn_send(conn, msg);
    (void)uds_conn_flush(conn);
    uds_msg_unref(msg);
}

static void hear(struct chaos *chaos, uds_conn **conn)
{
    uds_msg *msg;
    int r = uds_conn_process(*conn);
    for (int i = 0; r >= 0 && i < 20 && (r = uds_conn_receive(*conn, &msg)) == 1; i++) {
        if (uds_msg_get_type(msg) == UDS_MSG_REQUEST)
            chaos->requests[pick(64)] = uds_msg_get_id(msg);
        uds_msg_unref(msg);
    }
    if (r < 0)
        *conn = uds_conn_unref(*conn);
}

static void change_sandbox(struct chaos *chaos)
{
    Uds__Supervisor__Sandbox changed = chaos->c.sandbox[pick(2)];
    changed.state = (Uds__Supervisor__State)pick(5);
    changed.cause = (Uds__Supervisor__Cause)pick(7);
    changed.generation = 1 + pick(3);
    changed.value = pick(70);
    world_sandbox(&chaos->w, &changed);
}

static void step(struct chaos *chaos)
{
    uds_conn **conn = &chaos->clients[pick(CLIENTS)];
    unsigned dice = pick(100);
    if (*conn == NULL)
        *conn = dial(chaos);
    else if (dice < 60)
        speak(chaos, *conn);
    else if (dice < 90)
        hear(chaos, conn);
    else if (dice < 93)
        *conn = uds_conn_unref(*conn);
    else if (dice < 97)
        change_sandbox(chaos);
    else if (dice < 98) {
        configure(chaos);
        cr_assert_eq(router_configure(chaos->w.router, &chaos->c.configuration), 0);
    } else if (pick(4) == 0)
        world_move(&chaos->w);
    if (pick(3) != 0)
        event_base_loop(chaos->w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void run(unsigned seed)
{
    struct chaos chaos = {0};
    srand(seed);
    configure(&chaos);
    world_open(&chaos.w, &chaos.c);
    world_listen(&chaos.w, 1, 0);
    for (int i = 0; i < STEPS; i++)
        step(&chaos);
    for (int i = 0; i < CLIENTS; i++)
        uds_conn_unref(chaos.clients[i]);
    WAIT_FOR(&chaos.w, world_is_empty(&chaos.w));
    world_close(&chaos.w);
}

Test(chaos, leaves_nothing_behind, .timeout = 100)
{
    UDS_TEST_GUARD;
    const char *seed = getenv("UDS_CHAOS_SEED");
    unsigned first = seed != NULL ? (unsigned)atoi(seed) : 1;
    for (unsigned i = 0; i < 8; i++)
        run(first + i);
}
