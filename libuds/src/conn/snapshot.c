/* SPDX-License-Identifier: MIT */

/*
 * Snapshots: a growing byte string when written, a cursor when read, and fds beside it in the order they were put. An
 * fd is noted in the bytes as present or absent, so that -1 survives and a missing fd is found out.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cleanup.h"
#include "wire/cursor.h"

#define NO_STRING UINT64_MAX

struct uds_snapshot {
    uint8_t *data;
    size_t len, cap;
    size_t pos; /* of the next get */
    int *fds;
    size_t nfds, fds_cap;
    size_t fd_pos;
    int error;
};

int uds_snapshot_new(uds_snapshot **ret)
{
    uds_snapshot *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}

uds_snapshot *uds_snapshot_free(uds_snapshot *s)
{
    if (!s)
        return NULL;
    for (size_t i = s->fd_pos; i < s->nfds; i++)
        udsi_close(s->fds[i]);
    free(s->fds);
    free(s->data);
    free(s);
    return NULL;
}

/* Room for @len more bytes, or NULL with the error noted. */
static uint8_t *put_room(uds_snapshot *s, size_t len)
{
    size_t need, cap = s->cap ? s->cap : 256;
    uint8_t *data;

    if (s->error)
        return NULL;
    if (__builtin_add_overflow(s->len, len, &need) || need > SIZE_MAX / 2) {
        s->error = -ENOMEM;
        return NULL;
    }
    if (need > s->cap) {
        while (cap < need)
            cap *= 2;
        data = realloc(s->data, cap);
        if (!data) {
            s->error = -ENOMEM;
            return NULL;
        }
        s->data = data;
        s->cap = cap;
    }
    data = s->data + s->len;
    s->len = need;
    return data;
}

static int reserve_fds(uds_snapshot *s, size_t count)
{
    size_t need, cap = s->fds_cap ? s->fds_cap : 16;
    int *fds;

    if (__builtin_add_overflow(s->nfds, count, &need) || need > SIZE_MAX / sizeof(int) / 2)
        return -ENOMEM;
    if (need <= s->fds_cap)
        return 0;
    while (cap < need)
        cap *= 2;
    fds = realloc(s->fds, cap * sizeof(int));
    if (!fds)
        return -ENOMEM;
    s->fds = fds;
    s->fds_cap = cap;
    return 0;
}

int uds_snapshot_open(uds_snapshot **ret, const void *data, size_t len, const int *fds, size_t nfds)
{
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    int r = uds_snapshot_new(&s);
    uint8_t *room;

    if (r < 0)
        return r;
    if (len > 0) {
        room = put_room(s, len);
        if (!room)
            return s->error;
        memcpy(room, data, len);
    }
    r = reserve_fds(s, nfds);
    if (r < 0)
        return r;
    if (nfds > 0)
        memcpy(s->fds, fds, nfds * sizeof(int));
    s->nfds = nfds;
    *ret = UDSI_TAKE(s);
    return 0;
}

void uds_snapshot_put_u32(uds_snapshot *s, uint32_t v)
{
    uint8_t *room = put_room(s, sizeof(v));

    if (room)
        udsi_write_u32(&(struct udsi_writer){.at = room, .left = sizeof(v)}, v);
}

void uds_snapshot_put_u64(uds_snapshot *s, uint64_t v)
{
    uint8_t *room = put_room(s, sizeof(v));

    if (room)
        udsi_write_u64(&(struct udsi_writer){.at = room, .left = sizeof(v)}, v);
}

void uds_snapshot_put_bytes(uds_snapshot *s, const void *data, size_t len)
{
    uint8_t *room;

    uds_snapshot_put_u64(s, len);
    room = put_room(s, len);
    if (room && len > 0)
        memcpy(room, data, len);
}

void uds_snapshot_put_string(uds_snapshot *s, const char *text)
{
    if (text)
        uds_snapshot_put_bytes(s, text, strlen(text));
    else
        uds_snapshot_put_u64(s, NO_STRING);
}

void uds_snapshot_put_fd(uds_snapshot *s, int fd)
{
    int copy;

    uds_snapshot_put_u32(s, fd >= 0);
    if (fd < 0 || s->error)
        return;
    s->error = reserve_fds(s, 1);
    if (s->error)
        return;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        s->error = -errno;
    else
        s->fds[s->nfds++] = copy;
}

/* The next @len bytes, or NULL with the error noted. */
static const uint8_t *get_room(uds_snapshot *s, uint64_t len)
{
    const uint8_t *at;

    if (s->error)
        return NULL;
    if (len > s->len - s->pos) {
        s->error = -EBADMSG;
        return NULL;
    }
    at = s->data + s->pos;
    s->pos += (size_t)len;
    return at;
}

uint32_t uds_snapshot_get_u32(uds_snapshot *s)
{
    const uint8_t *at = get_room(s, sizeof(uint32_t));

    return at ? udsi_read_u32(&(struct udsi_reader){.at = at, .left = sizeof(uint32_t)}) : 0;
}

uint64_t uds_snapshot_get_u64(uds_snapshot *s)
{
    const uint8_t *at = get_room(s, sizeof(uint64_t));

    return at ? udsi_read_u64(&(struct udsi_reader){.at = at, .left = sizeof(uint64_t)}) : 0;
}

const void *uds_snapshot_get_bytes(uds_snapshot *s, size_t *ret_len)
{
    uint64_t len = uds_snapshot_get_u64(s);
    const uint8_t *at = get_room(s, len);

    *ret_len = at ? (size_t)len : 0;
    return at ? (const void *)at : "";
}

char *uds_snapshot_get_string(uds_snapshot *s)
{
    uint64_t len = uds_snapshot_get_u64(s);
    const uint8_t *at;
    char *text;

    if (s->error || len == NO_STRING)
        return NULL;
    at = get_room(s, len);
    if (!at)
        return NULL;
    if (memchr(at, 0, (size_t)len)) {
        s->error = -EBADMSG;
        return NULL;
    }
    text = strndup((const char *)at, (size_t)len);
    if (!text)
        s->error = -ENOMEM;
    return text;
}

int uds_snapshot_get_fd(uds_snapshot *s)
{
    uint32_t present = uds_snapshot_get_u32(s);

    if (s->error || present == 0)
        return -1;
    if (present != 1 || s->fd_pos == s->nfds) {
        s->error = -EBADMSG;
        return -1;
    }
    return s->fds[s->fd_pos++];
}

int uds_snapshot_error(const uds_snapshot *s)
{
    return s->error;
}

void uds_snapshot_fail(uds_snapshot *s)
{
    if (!s->error)
        s->error = -EBADMSG;
}

void uds_snapshot_peek(const uds_snapshot *s,
                       const void **ret_data,
                       size_t *ret_len,
                       const int **ret_fds,
                       size_t *ret_nfds)
{
    *ret_data = s->data;
    *ret_len = s->len;
    *ret_fds = s->fds;
    *ret_nfds = s->nfds;
}
