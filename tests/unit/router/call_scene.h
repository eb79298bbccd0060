/* SPDX-License-Identifier: MIT */
#ifndef CALL_SCENE_H
#define CALL_SCENE_H

/* A router, somebody who serves "thumbnail", and somebody who calls it. */

#include <sys/mman.h>

#include <uds/fdset.h>

#include "call.h"
#include "world.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* 6.16 */
#endif

static char any_subject[] = ">";
static char thumbnail[] = "thumbnail";
static char *all[] = {any_subject};
static char *thumb[] = {thumbnail};
static char sandbox_name[] = "decoder";
static char other_name[] = "other";
static char empty_text[] = "";
static char label_sandbox[] = "sandbox decoder";
static char label_host[] = "host rule";

/* decoder serves thumbnail; host peers of our uid may call everything. */
static inline void open_world(struct world *w, struct world_config *c)
{
    world_config_init(c);
    Uds__Supervisor__Rule *rule = world_rule(c, sandbox_name, label_sandbox);
    rule->serve = thumb;
    rule->n_serve = 1;
    rule = world_rule(c, other_name, label_sandbox);
    rule->serve = thumb;
    rule->n_serve = 1;
    rule = world_rule(c, empty_text, label_host);
    rule->has_uid = true;
    rule->uid = getuid();
    rule->call = all;
    rule->n_call = 1;
    world_open(w, c);
    world_listen(w, 1, 0);
}

static inline void call(uds_conn *conn, uint64_t id, uint32_t timeout_ms)
{
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, id, thumbnail, "picture");
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_METHOD, "a.B/C"), 0);
    if (timeout_ms != 0)
        cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_TIMEOUT_MS, timeout_ms), 0);
    world_send(conn, msg);
}

/* Sandbox 1 serves it, by subscription @id, and somebody of our uid is there to call it. */
static inline void open_ends(struct world *w, uint64_t id, uds_conn **server, uds_conn **client)
{
    *server = world_link(w, 1, 1);
    *client = world_connect(w);
    world_subscribe(w, *server, id, thumbnail, 1);
}

/* Both go, and nothing of theirs stays. */
static inline void close_ends(struct world *w, uds_conn *server, uds_conn *client)
{
    uds_conn_unref(server);
    uds_conn_unref(client);
    WAIT_FOR(w, world_is_empty(w));
    world_close(w);
}

#endif
