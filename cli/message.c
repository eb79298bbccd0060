/* SPDX-License-Identifier: MIT */
/* See message.h. */
#include "message.h"

#include <inttypes.h>
#include <string.h>

#include <uds/fdset.h>

#include "json.h"
#include "verbs.h"

bool message_is_text(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;

    for (size_t i = 0; i < len; i++) {
        if ((p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
            return false;
        if (p[i] == 0xc2 && i + 1 < len &&
            p[i + 1] < 0xa0) /* U+0080 … U+009F steer terminals too */
            return false;
    }
    return json_is_utf8(bytes, len);
}

void message_describe(const uds_msg *msg, const char *what)
{
    const char *name, *value;
    size_t pos = 0, len;

    while (uds_msg_next_header(msg, &pos, &name, &value, &len) == 1) {
        if (message_is_text(name, strlen(name)) && message_is_text(value, len))
            cli_error("header of the %s: %s=%.*s", what, name, (int)len, value);
        else
            cli_error("header of the %s: %zu bytes that are no text", what, strlen(name) + len);
    }
    for (size_t i = 0; i < uds_msg_get_fd_count(msg); i++) {
        struct uds_fd_info info;
        int fd = uds_msg_peek_fd(msg, i);

        if (fd >= 0 && uds_fd_classify(fd, &info) == 0)
            cli_error("descriptor %zu of the %s: %s, %" PRIu64 " bytes", i, what,
                      uds_fd_kind_name(info.kind), info.size);
    }
}
