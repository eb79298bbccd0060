/* SPDX-License-Identifier: MIT */

/*
 * Messages. One allocation holds the message, its head and its body as long as they fit what was foreseen; a head that
 * grows and a body that arrives in steps move to allocations of their own. Up to four fds need none either.
 *
 *   unsealed (being filled) ──send, or received──▶ sealed ──last unref──▶ fds closed, release hook, freed
 *
 * The invariants are in msg.h.
 */

#include "conn/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "block.h"
#include "cleanup.h"
#include "wire/cursor.h"
#include "wire/frame.h"
#include "wire/head.h"

#define HEAD_ROOM \
    96 /* foreseen for a message that is being filled: a subject, a method, a timeout */

int udsi_msg_alloc(uds_msg **ret, uint8_t type, uint64_t id, size_t head_cap, size_t body_cap)
{
    size_t size;
    uds_msg *msg;

    if (head_cap > UDS_HEAD_MAX || __builtin_add_overflow(head_cap + sizeof(*msg), body_cap, &size))
        return -EINVAL;
    msg = udsi_msg_make(type, id, head_cap, body_cap);
    if (!msg)
        return -ENOMEM;
    *ret = msg;
    return 0;
}

int uds_msg_new(uds_msg **ret, enum uds_msg_type type, uint64_t id, const void *body, size_t len)
{
    uds_msg *msg;

    if ((unsigned)type > UINT8_MAX || !udsi_msg_is_free_type((uint8_t)type) || (!body && len > 0) ||
        len > UINT32_MAX - UDS_HEAD_MAX)
        return -EINVAL;
    msg = udsi_msg_make((uint8_t)type, id, HEAD_ROOM, len);
    if (!msg)
        return -ENOMEM;
    if (len > 0)
        memcpy(msg->body, body, len);
    msg->body_len = len;
    *ret = msg;
    return 0;
}

/* A received body that came by an arena has a block for its copy. */
static void free_body(uds_msg *msg)
{
    if (msg->owns_body && msg->lease)
        udsi_block_free(msg->body, msg->body_cap);
    else if (msg->owns_body)
        free(msg->body);
    msg->owns_body = false;
}

static void drop_lease(uds_msg *msg)
{
    udsi_lease_free(msg->lease);
    msg->lease = NULL;
}

int udsi_msg_grow_body(uds_msg *msg, size_t cap)
{
    uint8_t *body;

    if (cap <= msg->body_cap)
        return 0;
    if (!msg->owns_body) {
        body = malloc(cap);
        if (body && msg->body_len > 0)
            memcpy(body, msg->body, msg->body_len);
    } else {
        body = realloc(msg->body, cap);
    }
    if (!body)
        return -ENOMEM;
    msg->body = body;
    msg->owns_body = true;
    msg->body_cap = cap;
    drop_lease(msg);
    return 0;
}

void udsi_msg_build_in(uds_msg *msg, struct udsi_lease *lease, size_t len, size_t cap)
{
    free_body(msg);
    drop_lease(msg);
    msg->lease = lease;
    msg->owns_body = false;
    msg->body = lease->at;
    msg->body_cap = cap;
    msg->body_len = len;
}

/* The memory for the copy is had now, so that peeking at the body cannot fail; nothing touches it before. */
int udsi_msg_lease_body(uds_msg *msg, struct udsi_lease *lease, size_t len)
{
    uint8_t *body = udsi_block_alloc(len);

    if (!body)
        return -ENOMEM;
    free_body(msg);
    msg->body = body;
    msg->owns_body = true;
    msg->body_len = msg->body_cap = len;
    msg->lease = lease;
    msg->in_arena = false;
    return 0;
}

int uds_msg_reserve_body(uds_msg *msg, size_t len, void **ret_body)
{
    int r;

    if (msg->sealed)
        return -EBUSY;
    if (len > UINT32_MAX - UDS_HEAD_MAX)
        return -EINVAL;
    r = udsi_msg_grow_body(msg, len);
    if (r < 0)
        return r;
    msg->body_len = len;
    *ret_body = msg->body;
    return 0;
}

uds_msg *uds_msg_ref(uds_msg *msg)
{
    if (msg)
        msg->refs++;
    return msg;
}

/* Lets go of all that is not in the message's own block. */
__attribute__((noinline)) static void drop_rest(uds_msg *msg)
{
    for (size_t i = 0; i < msg->nfds; i++)
        uds_fd_close(msg->fds[i]);
    if (msg->fds != msg->inline_fds)
        udsi_block_free(msg->fds, msg->fds_cap * sizeof(int));
    if (msg->owns_head)
        udsi_block_free(msg->head, msg->head_cap);
    free_body(msg);
    drop_lease(msg);
}

/* The last reference has gone. */
static inline void destroy(uds_msg *msg)
{
    void (*release)(void *arg) = msg->release;
    void *arg = msg->release_arg;

    if (msg->nfds > 0 || msg->fds != msg->inline_fds || msg->owns_head || msg->owns_body ||
        msg->lease)
        drop_rest(msg);
    udsi_block_free(msg, msg->block);
    if (release)
        release(arg);
}

uds_msg *uds_msg_unref(uds_msg *msg)
{
    if (msg && --msg->refs == 0)
        destroy(msg);
    return NULL;
}

enum uds_msg_type uds_msg_get_type(const uds_msg *msg)
{
    return (enum uds_msg_type)msg->type;
}

uint64_t uds_msg_get_id(const uds_msg *msg)
{
    return msg->id;
}

size_t uds_msg_get_size(const uds_msg *msg)
{
    return UDSI_HEADER_SIZE + (size_t)msg->head_len + msg->body_len;
}

/* Out of an arena of the peer's, if it is still there. */
__attribute__((noinline)) static const void *peek_leased(const uds_msg *msg)
{
    if (msg->lease->at != msg->body)
        udsi_lease_copy_out(msg->lease, msg->body, msg->body_len);
    return msg->body;
}

const void *uds_msg_peek_body(const uds_msg *msg, size_t *ret_len)
{
    if (ret_len)
        *ret_len = msg->body_len;
    return msg->lease ? peek_leased(msg) : msg->body;
}

const void *uds_msg_peek_body_shared(const uds_msg *msg, size_t *ret_len)
{
    if (ret_len)
        *ret_len = msg->body_len;
    return msg->lease && msg->lease->region ? msg->lease->at : msg->body;
}

const void *uds_msg_peek_head(const uds_msg *msg, size_t *ret_len)
{
    if (ret_len)
        *ret_len = msg->head_len;
    return msg->head;
}

/* Makes room for @len more bytes of head. */
static int grow_head(uds_msg *msg, size_t len)
{
    size_t need = msg->head_len + len, cap = msg->head_cap ? msg->head_cap : HEAD_ROOM;
    uint8_t *head;

    if (need > UDS_HEAD_MAX)
        return -ENOSPC;
    if (need <= msg->head_cap)
        return 0;
    while (cap < need)
        cap *= 2;
    if (cap > UDS_HEAD_MAX)
        cap = UDS_HEAD_MAX;
    head = udsi_block_alloc(cap);
    if (!head)
        return -ENOMEM;
    memcpy(head, msg->head, msg->head_len);
    if (msg->owns_head)
        udsi_block_free(msg->head, msg->head_cap);
    msg->head = head;
    msg->owns_head = true;
    msg->head_cap = (uint16_t)cap;
    return 0;
}

int uds_msg_add_bytes(uds_msg *msg, uint16_t tag, const void *data, size_t len)
{
    int r;

    if (msg->sealed)
        return -EBUSY;
    if (len > UDS_HEAD_MAX - UDSI_FIELD_OVERHEAD)
        return -ENOSPC;
    r = grow_head(msg, UDSI_FIELD_OVERHEAD + len);
    if (r < 0)
        return r;
    udsi_head_put(msg->head + msg->head_len, tag, data, (uint16_t)len);
    msg->head_len = (uint16_t)(msg->head_len + UDSI_FIELD_OVERHEAD + len);
    return 0;
}

int uds_msg_add_string(uds_msg *msg, uint16_t tag, const char *text)
{
    return uds_msg_add_bytes(msg, tag, text, strlen(text));
}

int uds_msg_add_u32(uds_msg *msg, uint16_t tag, uint32_t value)
{
    uint8_t bytes[sizeof(value)];
    struct udsi_writer writer = {.at = bytes, .left = sizeof(bytes)};

    udsi_write_u32(&writer, value);
    return uds_msg_add_bytes(msg, tag, bytes, sizeof(bytes));
}

int uds_msg_add_u64(uds_msg *msg, uint16_t tag, uint64_t value)
{
    uint8_t bytes[sizeof(value)];
    struct udsi_writer writer = {.at = bytes, .left = sizeof(bytes)};

    udsi_write_u64(&writer, value);
    return uds_msg_add_bytes(msg, tag, bytes, sizeof(bytes));
}

int uds_msg_find(const uds_msg *msg, uint16_t tag, const void **ret_data, size_t *ret_len)
{
    return udsi_head_find(msg->head, msg->head_len, tag, ret_data, ret_len);
}

int uds_msg_get_u32(const uds_msg *msg, uint16_t tag, uint32_t *ret)
{
    return udsi_head_get_u32(msg->head, msg->head_len, tag, ret);
}

int uds_msg_get_u64(const uds_msg *msg, uint16_t tag, uint64_t *ret)
{
    return udsi_head_get_u64(msg->head, msg->head_len, tag, ret);
}

int uds_msg_get_string(const uds_msg *msg, uint16_t tag, char *buf, size_t size)
{
    const void *data;
    size_t len;
    int r = uds_msg_find(msg, tag, &data, &len);

    if (r < 0)
        return r;
    for (size_t i = 0; i < len; i++) {
        const uint8_t *c = (const uint8_t *)data + i;

        /* U+0080 to U+009F, too: they steer a terminal as those before them do. */
        if (*c < 0x20 || *c == 0x7f || (i > 0 && c[-1] == 0xc2 && *c >= 0x80 && *c < 0xa0))
            return -EBADMSG;
    }
    if (len >= size)
        return -ENOBUFS;
    memcpy(buf, data, len);
    buf[len] = '\0';
    return 0;
}

int uds_msg_next(
    const uds_msg *msg, size_t *pos, uint16_t *ret_tag, const void **ret_data, size_t *ret_len)
{
    return udsi_head_next(msg->head, msg->head_len, pos, ret_tag, ret_data, ret_len);
}

static int grow_fds(uds_msg *msg, size_t count)
{
    size_t cap = msg->fds_cap;
    int *fds;

    if (count > UDS_FDS_MAX)
        return -ENOSPC;
    if (count <= cap)
        return 0;
    while (cap < count)
        cap *= 2;
    fds = udsi_block_alloc(cap * sizeof(int));
    if (!fds)
        return -ENOMEM;
    memcpy(fds, msg->fds, msg->nfds * sizeof(int));
    if (msg->fds != msg->inline_fds)
        udsi_block_free(msg->fds, msg->fds_cap * sizeof(int));
    msg->fds = fds;
    msg->fds_cap = (uint16_t)cap;
    return 0;
}

int uds_msg_push_fd(uds_msg *msg, int fd)
{
    int r;

    if (msg->sealed)
        return -EBUSY;
    if (fd < 0)
        return -EINVAL;
    r = grow_fds(msg, (size_t)msg->nfds + 1);
    if (r < 0)
        return r;
    msg->fds[msg->nfds++] = fd;
    return 0;
}

int uds_msg_push_dup_fd(uds_msg *msg, int fd)
{
    _cleanup_close_ int copy = -1;
    int r;

    if (msg->sealed)
        return -EBUSY;
    if (fd < 0)
        return -EINVAL;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    r = uds_msg_push_fd(msg, copy);
    if (r < 0)
        return r;
    (void)udsi_take_fd(&copy);
    return 0;
}

int udsi_msg_adopt_fds(uds_msg *msg, const int *fds, size_t nfds)
{
    int r = grow_fds(msg, msg->nfds + nfds);

    if (r < 0)
        return r;
    if (nfds > 0)
        memcpy(msg->fds + msg->nfds, fds, nfds * sizeof(int));
    msg->nfds = (uint16_t)(msg->nfds + nfds);
    return 0;
}

bool udsi_msg_has_all_fds(const uds_msg *msg)
{
    for (size_t i = 0; i < msg->nfds; i++) {
        if (msg->fds[i] < 0)
            return false;
    }
    return true;
}

size_t uds_msg_get_fd_count(const uds_msg *msg)
{
    return msg->nfds;
}

int uds_msg_peek_fd(const uds_msg *msg, size_t index)
{
    if (index >= msg->nfds)
        return -ENOENT;
    return msg->fds[index] < 0 ? -ESTALE : msg->fds[index];
}

int uds_msg_take_fd(uds_msg *msg, size_t index)
{
    int fd = uds_msg_peek_fd(msg, index);

    if (fd < 0)
        return fd;
    if (msg->pins > 0)
        return -EBUSY;
    msg->fds[index] = -1;
    return fd;
}

int uds_msg_check_fds(const uds_msg *msg,
                      const struct uds_fd_wants *wants,
                      size_t *bad_index,
                      struct uds_fd_verdict *verdict)
{
    if (msg->error < 0)
        return msg->error;
    for (size_t i = 0; i < msg->nfds; i++) {
        int r = msg->fds[i] < 0 ? 0 : uds_fd_check(msg->fds[i], wants, verdict);

        if (r == -EACCES && bad_index)
            *bad_index = i;
        if (r < 0)
            return r;
    }
    return 0;
}

int uds_msg_get_error(const uds_msg *msg)
{
    return msg->error;
}

void uds_msg_set_release(uds_msg *msg, void (*release)(void *arg), void *arg)
{
    msg->release = release;
    msg->release_arg = arg;
}
