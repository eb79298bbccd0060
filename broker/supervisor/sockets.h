/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SOCKETS_H
#define SUPERVISOR_SOCKETS_H

#include <sbx/listen.h>
#include <sbx/sandbox.h>

#include "stack.h"

struct event;
struct event_base;

/* The sockets that a stack entry has us listen on, over all lives of its sandbox. See sockets.c. */
struct sockets {
    size_t n;
    sbx_listen **v;
    struct sbx_named_fd *fds; /* as many, named as the entry names them */
    struct event **events;    /* as many while they are watched, else NULL */
    void (*wanted)(void *arg);
    void *arg;
};

/* 0 or -errno with @error; sockets_close() is right after both. */
int sockets_open(struct sockets *sockets,
                 const struct stack_sandbox *entry,
                 sbx_cleaner *cleaner,
                 struct sbx_error *error);
/* Nobody serves them: @wanted is called once when somebody connects to one, or sends. 0 or -ENOMEM. */
int sockets_watch(struct sockets *sockets,
                  struct event_base *base,
                  void (*wanted)(void *arg),
                  void *arg);
void sockets_unwatch(struct sockets *sockets);
void sockets_close(struct sockets *sockets);

#endif
