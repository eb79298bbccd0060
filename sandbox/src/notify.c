/* SPDX-License-Identifier: MIT */
/*
 * What PID 1 of a sandbox passes on of its NOTIFY_SOCKET. PID 1 may have been taken over by its payload, so a message has
 * the one size and is looked at again; a wrong one ends the conversation, not the sandbox.
 *
 * Clocks: from the start until READY=1 runs the time to get ready, from then on, or from the first WATCHDOG=1, the
 * watchdog. EXTEND_TIMEOUT_USEC=N moves the one that runs to N from now, if that is later.
 */

#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sys/socket.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "plan.h"

enum {
    MAX_FDS = 253,
    AT_ONCE = 16
};

struct received {
    struct sbxi_notify message;
    int fds[MAX_FDS];
    size_t nfds;
};

int sbxi_notified_open(struct sbxi_notified *n, const struct sbx_plan *plan, int *ret_far)
{
    int pair[2];
    *n = (struct sbxi_notified){.channel = -1};
    if (!plan->notify)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    n->channel = pair[0];
    *ret_far = pair[1];
    n->store = plan->fdstore;
    n->ready_ms = (uint64_t)plan->ready_ms;
    n->watchdog_ms = (uint64_t)plan->watchdog_ms;
    return 0;
}

static void close_fds(struct received *r)
{
    while (r->nfds > 0)
        uds_fd_close(r->fds[--r->nfds]);
}

/* 1, 0 = nothing there, -errno. */
static int receive(int channel, struct received *r)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = &r->message, .iov_len = sizeof r->message};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    r->nfds = 0;
    ssize_t n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count && r->nfds < MAX_FDS; i++)
            memcpy(&r->fds[r->nfds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    if (n == 0)
        return -EPIPE;
    if (n != (ssize_t)sizeof r->message || (msg.msg_flags & MSG_TRUNC) ||
        !sbxi_notify_is_sound(&r->message))
        return -EBADMSG;
    if (msg.msg_flags & MSG_CTRUNC)
        sbxi_notify_refuse(&r->message, "descriptors were lost: too many are open here");
    return 1;
}

static void refuse(struct sbxi_notified *n, const char *line, const char *name, const char *why)
{
    n->told.refused++;
    n->told.changes++;
    snprintf(n->told.why, sizeof n->told.why, "%s%s%.100s: %s", line, *name ? " of " : "", name,
             why);
}

static void store(struct sbxi_notified *n, struct received *r)
{
    const struct sbxi_notify *m = &r->message;
    const char *name = m->name[0] ? m->name : "stored";
    if (n->store && (m->bits & SBXI_N_FORGET))
        (void)sbxi_fdstore_remove(n->store, name);
    for (size_t i = 0; (m->bits & SBXI_N_STORE) && i < r->nfds; i++) {
        const char *why =
            !n->store ? "nothing is stored for it"
                      : sbxi_fdstore_add(n->store, name, r->fds[i], !(m->bits & SBXI_N_NO_POLL));
        if (why) {
            refuse(n, "FDSTORE=1", name, why);
            continue;
        }
        r->fds[i] = -1;
    }
}

static void set_flags(struct sbx_notify *told, uint32_t bits)
{
    if (bits & SBXI_N_READY) {
        told->ready = true;
        told->reloading = false;
    }
    told->reloading |= (bits & SBXI_N_RELOADING) != 0;
    told->stopping |= (bits & SBXI_N_STOPPING) != 0;
}

static void tell(struct sbxi_notified *n, const struct sbxi_notify *m)
{
    struct sbx_notify before = n->told, *told = &n->told;
    set_flags(told, m->bits);
    if (m->bits & SBXI_N_ERRNO)
        told->err = m->err;
    if (m->bits & SBXI_N_STATUS)
        memcpy(told->status, m->status, sizeof told->status);
    if (m->refused) {
        told->refused += m->refused;
        snprintf(told->why, sizeof told->why, "%s", m->why);
    }
    if (memcmp(&before, told, sizeof before) != 0)
        told->changes++;
}

static uint64_t ms_of(uint64_t usec)
{
    return (usec + 999) / 1000;
}

static void wind_clocks(struct sbxi_notified *n, const struct sbxi_notify *m, uint64_t now)
{
    if (!n->watchdog_ms && !n->watchdog_at && (m->bits & (SBXI_N_TRIGGER | SBXI_N_WATCHDOG_USEC)))
        refuse(n, m->bits & SBXI_N_TRIGGER ? "WATCHDOG=trigger" : "WATCHDOG_USEC", "",
               "it has no watchdog");
    if (m->bits & SBXI_N_WATCHDOG_USEC && n->watchdog_ms)
        n->watchdog_ms = ms_of(m->watchdog_usec);
    if (n->told.ready)
        n->ready_at = 0;
    bool starts = (m->bits & SBXI_N_READY) && n->watchdog_at == 0;
    if (n->watchdog_ms && (starts || (m->bits & (SBXI_N_ALIVE | SBXI_N_WATCHDOG_USEC))))
        n->watchdog_at = now + n->watchdog_ms;
    if (n->watchdog_ms && (m->bits & SBXI_N_TRIGGER)) {
        n->watchdog_at = now;
        n->watchdog_ms = 0; /* nothing that it says later starts it again */
    }
    uint64_t *clock = n->ready_at ? &n->ready_at : n->watchdog_at ? &n->watchdog_at : NULL;
    if (clock && (m->bits & SBXI_N_EXTEND) && now + ms_of(m->extend_usec) > *clock)
        *clock = now + ms_of(m->extend_usec);
}

bool sbxi_notified_receive(struct sbxi_notified *n, uint64_t now)
{
    struct received r;
    uint32_t before = n->told.refused;
    for (int i = 0; i < AT_ONCE && n->channel >= 0; i++) {
        int got = receive(n->channel, &r);
        if (got == 1) {
            tell(n, &r.message);
            store(n, &r);
            wind_clocks(n, &r.message, now);
            if (r.message.bits & SBXI_N_BARRIER)
                (void)send(n->channel, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        close_fds(&r);
        if (got < 0)
            sbxi_closep(&n->channel);
        if (got <= 0)
            return true;
        if (r.message.refused || n->told.refused != before)
            return false; /* each is to be seen by itself */
    }
    return n->channel < 0;
}

void sbxi_notified_thaw(struct sbxi_notified *n, uint64_t since, uint64_t now)
{
    n->ready_at += n->ready_at ? now - since : 0;
    n->watchdog_at += n->watchdog_at ? now - since : 0;
}

void sbxi_notified_begin(struct sbxi_notified *n, uint64_t now)
{
    if (n->ready_ms && !n->told.ready)
        n->ready_at = now + n->ready_ms;
}

enum sbxi_late sbxi_notified_is_late(const struct sbxi_notified *n, uint64_t now)
{
    if (n->ready_at && now >= n->ready_at)
        return SBXI_NOT_READY;
    return n->watchdog_at && now >= n->watchdog_at ? SBXI_NOT_ALIVE : SBXI_IN_TIME;
}

uint64_t sbxi_notified_deadline(const struct sbxi_notified *n)
{
    if (!n->ready_at || (n->watchdog_at && n->watchdog_at < n->ready_at))
        return n->watchdog_at;
    return n->ready_at;
}
