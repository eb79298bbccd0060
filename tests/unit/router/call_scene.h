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

#endif
