/* SPDX-License-Identifier: MIT */

/*
 * From records to messages. One system call brings as many records as wait and have room; they are looked at one at a
 * time, when somebody wants the next. What is no frame, or over our limits, is dropped with its descriptors and counted:
 * anybody who may write the socket file can send it, so it changes nothing for what comes after it.
 *
 * The room is laid out by our own limits before anything has come, so no length of a stranger's decides what is allocated:
 * untouched pages of it cost nothing. Where the limits are so large that even this is too much, the kernel is asked for
 * the length of the next record first.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/dgram.h"
#include "conn/msg.h"
#include "socket/sockaddr.h"
#include "wire/head.h"

#define ROOM_MAX (4u << 20) /* address space for one batch */
#define ROOM_KEEP \
    (16u << 10)            /* a record over this has the room given back when nothing more comes */
#define DISPATCH_MAX 256   /* records in one process() */
#define OVERFLOW_ID  65534 /* fs/…/overflowuid: what an id is that cannot be told */

int udsi_inbox_init(struct udsi_inbox *inbox, uint32_t max_body)
{
    if (__builtin_add_overflow((size_t)max_body, UDSI_HEADER_SIZE + UDS_HEAD_MAX,
                               &inbox->slot_size))
        return -ENOMEM;
    inbox->nslots = UDSI_RECORDS_MAX;
    if (inbox->slot_size > ROOM_MAX / UDSI_RECORDS_MAX)
        inbox->nslots = inbox->slot_size < ROOM_MAX ? (unsigned)(ROOM_MAX / inbox->slot_size) : 1;
    inbox->slots = calloc(inbox->nslots, sizeof(*inbox->slots));
    return inbox->slots ? 0 : -ENOMEM;
}

static void drop_room(struct udsi_inbox *inbox)
{
    free(inbox->room);
    inbox->room = NULL;
    inbox->large = false;
}

void udsi_inbox_clear(struct udsi_inbox *inbox)
{
    while (inbox->first < inbox->end)
        udsi_ancillary_clear(&inbox->slots[inbox->first++].ancillary);
    drop_room(inbox);
    free(inbox->slots);
    inbox->slots = NULL;
}

/* Room for the next batch. */
static int prepare_room(struct udsi_inbox *inbox, int fd)
{
    size_t size = inbox->slot_size;

    if (size > ROOM_MAX) {
        ssize_t len = udsi_peek_length(fd);

        if (len < 0)
            return (int)len;
        if ((size_t)len < size)
            size = len > 0 ? (size_t)len : 1;
        drop_room(inbox);
    }
    if (!inbox->room)
        inbox->room = malloc(size * inbox->nslots);
    if (!inbox->room)
        return -ENOMEM;
    for (unsigned i = 0; i < inbox->nslots; i++)
        inbox->slots[i].room = (struct iovec){.iov_base = inbox->room + i * size, .iov_len = size};
    return 0;
}

/* How many came, or -errno; -EAGAIN none waits. Only while the inbox is empty. */
static int refill(uds_dgram *dgram)
{
    struct udsi_inbox *inbox = &dgram->in;
    int n = prepare_room(inbox, dgram->fd);

    if (n == 0)
        n = udsi_recv_records(dgram->fd, inbox->slots, inbox->nslots);
    if (n < 0) {
        if (n == -EAGAIN && inbox->large)
            drop_room(inbox);
        return n;
    }
    inbox->first = 0;
    inbox->end = (unsigned)n;
    for (int i = 0; i < n; i++)
        inbox->large |= inbox->slots[i].len > ROOM_KEEP;
    return n;
}

/* Which rule does the record break? NONE, and @header, if it is one whole frame that we take. */
static enum udsi_rule
inspect(const uds_dgram *dgram, const struct udsi_record *record, struct udsi_header *header)
{
    const struct udsi_ancillary *ancillary = &record->ancillary;
    const uint8_t *bytes = record->room.iov_base;
    enum udsi_rule rule;

    if (record->len < UDSI_HEADER_SIZE)
        return UDSI_RULE_DATAGRAM;
    rule = udsi_header_decode(bytes, &dgram->limits, header);
    if (rule != UDSI_RULE_NONE)
        return rule;
    if (!udsi_msg_is_free_type(header->type))
        return UDSI_RULE_DATAGRAM_TYPE;
    if (ancillary->record_truncated ||
        record->len != UDSI_HEADER_SIZE + (size_t)header->head_length + header->body_length)
        return UDSI_RULE_DATAGRAM;
    if (!udsi_head_is_valid(bytes + UDSI_HEADER_SIZE, header->head_length))
        return UDSI_RULE_HEAD_FIELDS;
    if (header->fd_count == 0)
        return ancillary->nfds > 0 || ancillary->truncated ? UDSI_RULE_FDS_UNCLAIMED
                                                           : UDSI_RULE_NONE;
    return ancillary->truncated || ancillary->nfds == header->fd_count ? UDSI_RULE_NONE
                                                                       : UDSI_RULE_FDS_MISSING;
}

static int make_msg(struct udsi_record *record, const struct udsi_header *header, uds_msg **ret)
{
    const uint8_t *bytes = (const uint8_t *)record->room.iov_base + UDSI_HEADER_SIZE;
    _cleanup_msg_ uds_msg *msg = NULL;
    int r =
        udsi_msg_alloc(&msg, header->type, header->id, header->head_length, header->body_length);

    if (r == 0)
        r = udsi_msg_adopt_fds(msg, record->ancillary.fds, record->ancillary.nfds);
    if (r < 0)
        return r;
    record->ancillary.nfds = 0;
    memcpy(msg->head, bytes, header->head_length);
    memcpy(msg->body, bytes + header->head_length, header->body_length);
    msg->head_len = header->head_length;
    msg->body_len = header->body_length;
    msg->error = record->ancillary.truncated ? -EMFILE : 0;
    msg->sealed = true;
    *ret = UDSI_TAKE(msg);
    return 0;
}

static int drop(uds_dgram *dgram, struct udsi_record *record, const char *why)
{
    dgram->stats.dropped++;
    dgram->stats.refused_fds += record->ancillary.nfds;
    dgram->drop_text = why;
    udsi_ancillary_clear(&record->ancillary);
    return 0;
}

/* 1 and a message, whose sender is still in @record; 0 it was dropped; -ENOMEM, dropped as well. */
static int take(uds_dgram *dgram, struct udsi_record *record, uds_msg **ret)
{
    struct udsi_header header;
    enum udsi_rule rule = inspect(dgram, record, &header);
    int r;

    if (rule != UDSI_RULE_NONE)
        return drop(dgram, record, udsi_rule_text(rule));
    r = make_msg(record, &header, ret);
    if (r < 0) {
        (void)drop(dgram, record, "no memory");
        return r;
    }
    dgram->stats.received++;
    return 1;
}

/*
 * A record that was queued before anybody asked for credentials has none, and the kernel then says pid 0 and the overflow
 * ids. A sender whose pid is not visible here has pid 0 and its ids.
 */
static void claim_ids(const struct ucred *cred, struct uds_dgram_claim *claim)
{
    if (cred->pid <= 0 && cred->uid == OVERFLOW_ID && cred->gid == OVERFLOW_ID)
        return;
    claim->claimed = UDS_DGRAM_UID | UDS_DGRAM_GID | (cred->pid > 0 ? UDS_DGRAM_PID : 0u);
    claim->claimed_pid = cred->pid > 0 ? cred->pid : 0;
    claim->claimed_uid = cred->uid;
    claim->claimed_gid = cred->gid;
}

/* Moves what the record says of its sender into @sender; NULL: nobody cares. */
static void
tell_sender(const uds_dgram *dgram, struct udsi_record *record, struct uds_dgram_sender *sender)
{
    struct uds_dgram_claim claim = {.claimed_pidfd = -1};

    if (!sender) {
        udsi_ancillary_clear(&record->ancillary);
        return;
    }
    (void)udsi_sockaddr_read(&record->from, record->from_len, SOCK_DGRAM, &sender->addr);
    if (record->ancillary.has_cred)
        claim_ids(&record->ancillary.cred, &claim);
    claim.claimed &= dgram->claims;
    /* A kernel that could not make one puts its -errno there. */
    if (record->ancillary.pidfd >= 0 && dgram->claims & UDS_DGRAM_PIDFD) {
        claim.claimed_pidfd = udsi_take_fd(&record->ancillary.pidfd);
        claim.claimed |= UDS_DGRAM_PIDFD;
    }
    udsi_ancillary_clear(&record->ancillary);
    sender->claim = claim;
}

void uds_dgram_sender_clear(struct uds_dgram_sender *sender)
{
    if (!sender)
        return;
    udsi_close(sender->claim.claimed_pidfd);
    sender->claim = (struct uds_dgram_claim){.claimed_pidfd = -1};
}

int uds_dgram_receive(uds_dgram *dgram, uds_msg **ret, struct uds_dgram_sender *ret_sender)
{
    struct udsi_inbox *inbox = &dgram->in;
    bool waited = inbox->first < inbox->end;
    int r = 0;

    for (unsigned i = 0; i < DISPATCH_MAX && r == 0; i++) {
        if (inbox->first == inbox->end) {
            r = refill(dgram);
            if (r < 0)
                break;
        }
        struct udsi_record *record = &inbox->slots[inbox->first++];
        r = take(dgram, record, ret);
        if (r == 1)
            tell_sender(dgram, record, ret_sender);
    }
    if (waited && inbox->first == inbox->end)
        udsi_dgram_rearm(dgram); /* POLLIN is wanted again */
    return r == -EAGAIN ? 0 : r;
}

/* Gives messages to the application until there are none, it has had enough, or it has let us go. */
static int dispatch(uds_dgram *dgram)
{
    struct udsi_inbox *inbox = &dgram->in;
    bool drained = false;

    for (unsigned i = 0; dgram->refs > 1 && dgram->callbacks.on_message; i++) {
        struct uds_dgram_sender sender;
        struct udsi_record *record;
        uds_msg *msg;
        int r;

        if (i == DISPATCH_MAX) {
            dgram->more = true;
            return 0;
        }
        if (inbox->first == inbox->end) {
            r = drained ? -EAGAIN : refill(dgram);
            if (r < 0)
                return r == -EAGAIN ? 0 : r;
            drained = (unsigned)r < inbox->nslots;
        }
        record = &inbox->slots[inbox->first++];
        r = take(dgram, record, &msg);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        tell_sender(dgram, record, &sender);
        dgram->callbacks.on_message(dgram, msg, &sender, dgram->arg);
        uds_dgram_sender_clear(&sender);
    }
    return 0;
}

/* Is a send worth another try? Forgets that one waited. */
static bool take_writable(uds_dgram *dgram)
{
    struct pollfd pfd = {.fd = dgram->fd, .events = POLLOUT};

    if (dgram->wants_pollout && poll(&pfd, 1, 0) > 0) {
        dgram->wants_pollout = false;
        return true;
    }
    if (dgram->retry_at != 0 && udsi_now_ms() >= dgram->retry_at) {
        dgram->retry_at = 0;
        return true;
    }
    return false;
}

int uds_dgram_process(uds_dgram *dgram)
{
    int r = 0;

    (void)uds_dgram_ref(dgram);
    dgram->more = false;
    if (dgram->callbacks.on_message)
        r = dispatch(dgram);
    else if (dgram->in.first == dgram->in.end)
        r = refill(dgram); /* they wait for receive(), and poll(2) sleeps meanwhile */
    if (r == -EAGAIN || r > 0)
        r = 0;
    if (dgram->refs > 1 && take_writable(dgram) && dgram->callbacks.on_writable)
        dgram->callbacks.on_writable(dgram, dgram->arg);
    if (r < 0 && dgram->refs > 1 && dgram->callbacks.on_error)
        dgram->callbacks.on_error(dgram, r, dgram->arg);
    if (r == 0)
        r = dgram->more;
    (void)uds_dgram_unref(dgram);
    return r;
}
