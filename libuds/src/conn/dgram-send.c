/* SPDX-License-Identifier: MIT */

/*
 * From messages to records: one frame each, whole or not at all, handed to the kernel at once. There is no queue: what
 * the kernel does not take is the caller's to keep, drop or send again.
 *
 * When is "again"? poll(2) tells only where the socket is connected: unix_dgram_poll() looks at the queue of the default
 * destination and at no other, so for all others POLLOUT is true while a send is EAGAIN (measured), and a loop that
 * waited for it would spin. The same holds for fds in flight and for memory. There we say a time.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/dgram.h"
#include "conn/msg.h"
#include "socket/dial.h"

#define RETRY_MAX_MS 10

/* What is handed to one system call. */
struct bundle {
    uint8_t headers[UDSI_RECORDS_MAX][UDSI_HEADER_SIZE];
    struct iovec iov[UDSI_RECORDS_MAX][3];
    struct udsi_parcel parcels[UDSI_RECORDS_MAX];
    unsigned count;
};

static int check_sendable(const uds_msg *msg)
{
    if (!udsi_msg_is_free_type(msg->type))
        return -EINVAL;
    return udsi_msg_has_all_fds(msg) ? 0 : -ESTALE;
}

static void add(struct bundle *bundle, const uds_msg *msg)
{
    unsigned i = bundle->count++;

    (void)uds_msg_peek_body(msg, NULL); /* its own copy, if it lies in an arena */
    udsi_header_encode(&(struct udsi_header){.type = msg->type,
                                             .head_length = msg->head_len,
                                             .fd_count = msg->nfds,
                                             .body_length = (uint32_t)msg->body_len,
                                             .id = msg->id},
                       bundle->headers[i]);
    bundle->iov[i][0] = (struct iovec){.iov_base = bundle->headers[i], .iov_len = UDSI_HEADER_SIZE};
    bundle->iov[i][1] = (struct iovec){.iov_base = msg->head, .iov_len = msg->head_len};
    bundle->iov[i][2] = (struct iovec){.iov_base = msg->body, .iov_len = msg->body_len};
    bundle->parcels[i] =
        (struct udsi_parcel){.iov = bundle->iov[i], .niov = 3, .fds = msg->fds, .nfds = msg->nfds};
}

static bool is_worth_another_try(int error)
{
    return error == -EAGAIN || error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM;
}

/* Remembers what the result of a send means for poll(2). */
static void note_result(uds_dgram *dgram, bool to_peer, int r)
{
    bool wanted = dgram->wants_pollout;
    uint64_t retry_at = dgram->retry_at;

    if (r > 0) {
        dgram->retries = 0;
        dgram->retry_at = 0;
        if (to_peer)
            dgram->wants_pollout = false;
    } else if (to_peer && (r == -ECONNREFUSED || r == -ENOTCONN)) {
        dgram->connected = dgram->wants_pollout = false; /* the kernel has forgotten it */
    } else if (r == -EAGAIN && to_peer && dgram->connected) {
        dgram->wants_pollout = true;
    } else if (is_worth_another_try(r)) {
        unsigned ms = dgram->retries < 4 ? 1u << dgram->retries : RETRY_MAX_MS;

        if (dgram->retries < 4)
            dgram->retries++;
        dgram->retry_at = udsi_now_ms() + ms;
    }
    if (wanted != dgram->wants_pollout || retry_at != dgram->retry_at)
        udsi_dgram_rearm(dgram);
}

/* One system call's worth. Returns how many went, or -errno. */
static int
send_some(uds_dgram *dgram, const struct udsi_target *target, uds_msg *const *msgs, size_t count)
{
    struct bundle bundle;
    int r = 0;

    bundle.count = 0;
    for (size_t i = 0; i < count && bundle.count < UDSI_RECORDS_MAX && r == 0; i++) {
        r = check_sendable(msgs[i]);
        if (r == 0)
            add(&bundle, msgs[i]);
    }
    if (bundle.count == 0)
        return r;
    r = udsi_send_records(dgram->fd, target ? &target->sa : NULL, target ? target->len : 0,
                          bundle.parcels, bundle.count);
    for (int i = 0; i < r; i++)
        msgs[i]->sealed = true;
    return target ? udsi_target_error(target, r) : r;
}

int uds_dgram_send_many(uds_dgram *dgram,
                        const struct uds_addr *to,
                        uds_msg *const *msgs,
                        size_t count)
{
    struct udsi_target target = {.file = -1};
    size_t sent = 0;
    int r;

    if (count == 0)
        return -EINVAL;
    if (to && to->sock_type != SOCK_DGRAM && to->kind != UDS_ADDR_FD)
        return to->kind ? -EPROTOTYPE : -EINVAL;
    r = to ? udsi_target_open(to, &target) : 0;
    if (r < 0)
        return r;
    do {
        r = send_some(dgram, to ? &target : NULL, msgs + sent, count - sent);
        if (r > 0)
            sent += (size_t)r;
    } while (r == UDSI_RECORDS_MAX && sent < count && sent < INT32_MAX - UDSI_RECORDS_MAX);
    udsi_target_close(&target);
    if (sent > 0)
        r = (int)sent;
    note_result(dgram, !to, r);
    return r;
}

int uds_dgram_send(uds_dgram *dgram, const struct uds_addr *to, uds_msg *msg)
{
    int r = uds_dgram_send_many(dgram, to, &msg, 1);

    return r < 0 ? r : 0;
}

/*
 * Does the name lead to the sender here as it does there? Nobody can know for a path, which is looked up in our mount
 * namespace; but some are certain not to: /proc/self/fd/5/x, which is how a socket with a long path was bound, would
 * be *our* descriptor 5.
 */
static bool is_answerable(const struct uds_addr *addr)
{
    if (addr->kind == UDS_ADDR_ABSTRACT)
        return true;
    return addr->kind == UDS_ADDR_PATH && addr->name[0] == '/' && !strstr(addr->name, "/../") &&
           strncmp(addr->name, "/proc/", 6) != 0 && strncmp(addr->name, "//", 2) != 0;
}

int uds_dgram_reply(uds_dgram *dgram, const struct uds_dgram_sender *to, uds_msg *msg)
{
    if (is_answerable(&to->addr))
        return uds_dgram_send(dgram, &to->addr, msg);
    return !to->addr.kind && dgram->connected ? uds_dgram_send(dgram, NULL, msg) : -EDESTADDRREQ;
}

/* ---- the blocking forms ---- */

static uint64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : udsi_now_ms() + (uint64_t)timeout_ms;
}

static int left_until(uint64_t deadline)
{
    uint64_t now;

    if (deadline == UINT64_MAX)
        return -1;
    now = udsi_now_ms();
    return deadline > now ? (int)(deadline - now) : 0;
}

/* Waits for @events, or for @own_ms if that is not -1. 0, -ETIMEDOUT, or poll's -errno. */
static int wait_for(const uds_dgram *dgram, short events, int own_ms, uint64_t deadline)
{
    struct pollfd pfd = {.fd = events ? dgram->fd : -1, .events = events};
    int left = left_until(deadline);
    int r = poll(&pfd, 1, own_ms >= 0 && (left < 0 || own_ms < left) ? own_ms : left);

    if (r < 0 && errno != EINTR)
        return -errno;
    return r <= 0 && left == 0 ? -ETIMEDOUT : 0;
}

int uds_dgram_receive_wait(uds_dgram *dgram,
                           uds_msg **ret,
                           struct uds_dgram_sender *ret_sender,
                           int timeout_ms)
{
    uint64_t deadline = deadline_after(timeout_ms);
    bool late = false;

    for (;;) {
        int r = uds_dgram_receive(dgram, ret, ret_sender);

        if (r != 0)
            return r < 0 ? r : 0;
        /* Who sends nothing but garbage, and much of it, does not hold us for longer than the message may. */
        if (late)
            return -ETIMEDOUT;
        late = left_until(deadline) == 0;
        r = wait_for(dgram, POLLIN, -1, deadline);
        if (r < 0)
            return r;
    }
}

int uds_dgram_send_wait(uds_dgram *dgram, const struct uds_addr *to, uds_msg *msg, int timeout_ms)
{
    uint64_t deadline = deadline_after(timeout_ms);

    for (;;) {
        int r = uds_dgram_send(dgram, to, msg);

        if (!is_worth_another_try(r))
            return r;
        if (dgram->wants_pollout && !to && r == -EAGAIN) {
            r = wait_for(dgram, POLLOUT, -1, deadline);
        } else {
            int own = dgram->retry_at > udsi_now_ms() ? (int)(dgram->retry_at - udsi_now_ms()) : 0;

            r = wait_for(dgram, 0, own, deadline);
        }
        if (r < 0)
            return r;
    }
}
