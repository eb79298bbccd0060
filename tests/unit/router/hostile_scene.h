/* SPDX-License-Identifier: MIT */
#ifndef HOSTILE_SCENE_H
#define HOSTILE_SCENE_H

/* A router that lets everybody do everything, and what its attackers send. */

#include <fcntl.h>
#include <sched.h>

#include <sys/mman.h>

#include "nofile.h"
#include "world.h"

static char any_subject[] = ">", nobody[] = "", decoder[] = "decoder", label[] = "rule";
static char *everything[] = {any_subject};

static inline void open_world(struct world *w, struct world_config *c)
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
static inline void check_alive(struct world *w)
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
static inline void shout(struct world *w, const void *bytes, size_t len)
{
    int fd = world_dial(w);
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    WAIT_FOR(w, w->router->peers.count == 0 && w->router->next_peer > 0);
    close(fd);
}

static const uint8_t hello[] = {0xd5, 1, 1, 0, 0,  0, 0,  0, 28, 0, 0, 0, 0, 0, 0,  0, 0, 0,
                                0,    0, 0, 0, 0,  0, 32, 0, 4,  0, 0, 0, 0, 1, 33, 0, 4, 0,
                                16,   0, 0, 0, 34, 0, 8,  0, 0,  0, 0, 0, 0, 0, 0,  0};

#endif
