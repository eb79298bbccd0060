/* SPDX-License-Identifier: MIT */
/*
 * What the other side answered: the fields of a REPLY, ACK or NOTICE, read out of bytes that a stranger wrote into
 * strings that can be printed. Everything is bounded; nothing here can fail, because a call must end whatever came.
 */

#include "rpc/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>

/* A C0 control, DEL, or the second byte of a C1 control (U+0080 to U+009F), which terminals obey as well. */
static bool is_control(const unsigned char *text, size_t i)
{
    return text[i] < 0x20 || text[i] == 0x7f ||
           (i > 0 && text[i - 1] == 0xc2 && text[i] >= 0x80 && text[i] < 0xa0);
}

void udsi_text_get(const uds_msg *msg, uint16_t tag, char *buf, size_t size)
{
    const void *data;
    size_t len;

    buf[0] = '\0';
    if (uds_msg_find(msg, tag, &data, &len) < 0)
        return;
    if (len >= size)
        len = size - 1;
    for (size_t i = 0; i < len; i++) {
        buf[i] = ((const char *)data)[i];
        if (!is_control(data, i))
            continue;
        if ((unsigned char)buf[i] >= 0x80)
            buf[i - 1] = '?';
        buf[i] = '?';
    }
    buf[len] = '\0';
}

int udsi_text_add(uds_msg *msg, uint16_t tag, const char *text)
{
    return uds_msg_add_bytes(msg, tag, text, strnlen(text, UDSI_DETAIL_MAX));
}

bool udsi_text_fields_known(const uds_msg *msg, const uint16_t *known)
{
    size_t pos = 0, len;
    const void *data;
    uint16_t tag;

    while (uds_msg_next(msg, &pos, &tag, &data, &len) == 1) {
        const uint16_t *k = known;

        while (*k != 0 && *k != tag)
            k++;
        if (*k == 0 && !(tag & 0x8000))
            return false;
    }
    return true;
}

static void fail(struct udsi_answer *answer, const char *why)
{
    answer->status = UDS_STATUS_INTERNAL;
    answer->value = 0;
    strcpy(answer->detail, why);
}

void udsi_answer_read(const uds_msg *msg, struct udsi_answer *ret)
{
    static const uint16_t known[] = {UDS_FIELD_STATUS,   UDS_FIELD_VALUE,
                                     UDS_FIELD_DETAIL,   UDS_FIELD_RULE,
                                     UDS_FIELD_SENDER,   UDS_FIELD_HEADER,
                                     UDS_FIELD_SUBJECT,  UDS_FIELD_DROPPED,
                                     UDS_FIELD_SEQUENCE, 0};

    ret->status = UDS_STATUS_OK;
    ret->value = 0;
    udsi_text_get(msg, UDS_FIELD_DETAIL, ret->detail, sizeof(ret->detail));
    udsi_text_get(msg, UDS_FIELD_RULE, ret->rule, sizeof(ret->rule));
    if (uds_msg_get_u32(msg, UDS_FIELD_STATUS, &ret->status) == -EBADMSG ||
        uds_msg_get_u64(msg, UDS_FIELD_VALUE, &ret->value) == -EBADMSG)
        fail(ret, "the answer's status has a wrong length");
    else if (!udsi_text_fields_known(msg, known))
        fail(ret, "the answer has a field that this version does not know");
    else if (ret->status == UDS_STATUS_OK && uds_msg_get_error(msg) < 0)
        fail(ret, "descriptors of the answer were lost: too many open files (RLIMIT_NOFILE)");
}

/* The strings move into memory that goes with the message. */
static bool keep_text(struct uds_rpc_reply *reply)
{
    size_t detail = strlen(reply->detail) + 1, rule = strlen(reply->rule) + 1;
    char *text = malloc(detail + rule);

    if (!text)
        return false;
    reply->detail = memcpy(text, reply->detail, detail);
    reply->rule = memcpy(text + detail, reply->rule, rule);
    uds_msg_set_release(reply->msg, free, text);
    return true;
}

void udsi_waiter_on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct udsi_waiter *waiter = arg;

    waiter->done = true;
    waiter->reply = *reply;
    waiter->ours = reply->msg == NULL;
    if (waiter->ours)
        return; /* static strings */
    (void)uds_msg_ref(reply->msg);
    if ((reply->detail[0] != '\0' || reply->rule[0] != '\0') && !keep_text(&waiter->reply)) {
        waiter->reply.detail = "";
        waiter->reply.rule = "";
    } else if (reply->detail[0] == '\0' && reply->rule[0] == '\0') {
        waiter->reply.detail = "";
        waiter->reply.rule = "";
    }
}
