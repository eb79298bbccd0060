/* SPDX-License-Identifier: MIT */
/* Messages that the router itself holds (held calls, files being copied, waiting fds), on their way into the next one. */
#include "message.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

void message_serialise(const uds_msg *msg, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, msg != NULL);
    if (msg == NULL)
        return;
    size_t len, pos = 0, fields = 0, fds = uds_msg_get_fd_count(msg);
    uint16_t tag;
    const void *data;
    while (uds_msg_next(msg, &pos, &tag, &data, &len) > 0)
        fields++;
    uds_snapshot_put_u32(s, uds_msg_get_type(msg));
    uds_snapshot_put_u64(s, uds_msg_get_id(msg));
    data = uds_msg_peek_body(msg, &len);
    uds_snapshot_put_bytes(s, data, len);
    uds_snapshot_put_u32(s, (uint32_t)fields);
    for (pos = 0; uds_msg_next(msg, &pos, &tag, &data, &len) > 0;) {
        uds_snapshot_put_u32(s, tag);
        uds_snapshot_put_bytes(s, data, len);
    }
    uds_snapshot_put_u32(s, (uint32_t)fds);
    for (size_t i = 0; i < fds; i++)
        uds_snapshot_put_fd(s, uds_msg_peek_fd(msg, i));
}

static int restore_fields(uds_msg *msg, uds_snapshot *s)
{
    int r = 0;
    for (uint32_t fields = uds_snapshot_get_u32(s); r == 0 && fields > 0; fields--) {
        size_t len = 0;
        uint32_t tag = uds_snapshot_get_u32(s);
        const void *data = uds_snapshot_get_bytes(s, &len);
        r = uds_snapshot_error(s);
        if (r == 0)
            r = uds_msg_add_bytes(msg, (uint16_t)tag, data, len);
    }
    for (uint32_t fds = r == 0 ? uds_snapshot_get_u32(s) : 0; r == 0 && fds > 0; fds--) {
        int fd = uds_snapshot_get_fd(s);
        r = fd < 0 ? -EBADMSG : uds_msg_push_fd(msg, fd);
        if (r < 0 && fd >= 0)
            close(fd);
    }
    return r < 0 ? r : uds_snapshot_error(s);
}

int message_restore(uds_msg **ret, uds_snapshot *s)
{
    uds_msg *msg = NULL;
    size_t len = 0;
    if (uds_snapshot_get_u32(s) == 0) {
        *ret = NULL;
        return uds_snapshot_error(s);
    }
    enum uds_msg_type type = (enum uds_msg_type)uds_snapshot_get_u32(s);
    uint64_t id = uds_snapshot_get_u64(s);
    const void *body = uds_snapshot_get_bytes(s, &len);
    int r = uds_snapshot_error(s);
    if (r == 0)
        r = uds_msg_new(&msg, type, id, body, len);
    if (r < 0)
        return r;
    r = restore_fields(msg, s);
    if (r < 0) {
        uds_msg_unref(msg);
        return r;
    }
    *ret = msg;
    return 0;
}
