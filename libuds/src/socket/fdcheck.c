/* SPDX-License-Identifier: MIT */
/*
 * Is a descriptor what somebody wants? What it is says fdkind.c; here it is held against a list of wishes, in an order that
 * makes the first complaint the most telling: a directory is a wrong kind before it is anything else.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <uds/fdset.h>

#include "socket/kernel.h"

#define MAPPABLE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* O_RDONLY is 0 and O_RDWR is not both bits: turned into bits. A description with neither (3, for ioctl only) can do nothing. */
static uint32_t access_bits(const struct uds_fd_info *info)
{
    if (info->kind == UDS_FD_PATH)
        return 0;
    switch (info->access) {
    case O_RDONLY:
        return UDS_FD_CAN_READ;
    case O_WRONLY:
        return UDS_FD_CAN_WRITE;
    case O_RDWR:
        return UDS_FD_CAN_READ | UDS_FD_CAN_WRITE;
    default:
        return 0;
    }
}

static bool is_memfd(enum uds_fd_kind kind)
{
    return kind == UDS_FD_MEMFD || kind == UDS_FD_MEMFD_OPEN;
}

static bool has_size(enum uds_fd_kind kind)
{
    return is_memfd(kind) || kind == UDS_FD_FILE_RO || kind == UDS_FD_FILE_RW;
}

/* Writes the bits that go with the reason. */
static enum uds_fd_reason
judge(int fd, const struct uds_fd_info *info, const struct uds_fd_wants *wants, uint32_t *ret_bits)
{
    uint32_t access = access_bits(info);
    uint32_t seals = wants->seals | (wants->mappable ? (uint32_t)MAPPABLE_SEALS : 0);
    uint64_t size;

    if (!(info->kind & wants->kinds) || (wants->mappable && !is_memfd(info->kind)))
        return UDS_FD_WRONG_KIND;
    *ret_bits = (wants->access & ~access) | (wants->no_access & access);
    if (*ret_bits != 0)
        return UDS_FD_WRONG_ACCESS;
    *ret_bits = seals & ~info->seals;
    if (*ret_bits != 0)
        return UDS_FD_SEALS_MISSING;
    if (wants->max_bytes > 0 && has_size(info->kind) && info->size > wants->max_bytes)
        return UDS_FD_TOO_LARGE;
    if (wants->mappable && uds_memfd_check(fd, UINT64_MAX, &size) < 0)
        return UDS_FD_SPARSE;
    return UDS_FD_FITS;
}

int uds_fd_check(int fd, const struct uds_fd_wants *wants, struct uds_fd_verdict *verdict)
{
    struct uds_fd_verdict found;
    int r;

    if (wants->size != sizeof(*wants))
        return -EINVAL;
    r = uds_fd_classify(fd, &found.info);
    if (r < 0)
        return r;
    found.bits = 0;
    found.reason = judge(fd, &found.info, wants, &found.bits);
    if (verdict)
        *verdict = found;
    return found.reason == UDS_FD_FITS ? 0 : -EACCES;
}

struct text {
    char *buf;
    size_t size, len;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->buf + text->len, text->size - text->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= text->size - text->len)
        text->len = text->size - 1; /* full: whoever looks at the length sees it */
    else
        text->len += (size_t)n;
}

static void add_seals(struct text *text, uint32_t seals)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {F_SEAL_SEAL, "seal"},      {F_SEAL_SHRINK, "shrink"}, {F_SEAL_GROW, "grow"},
        {F_SEAL_WRITE, "write"},    {0x10, "future-write"}, /* F_SEAL_FUTURE_WRITE, 5.1 */
        {UDSI_F_SEAL_EXEC, "exec"},
    };

    add(text, ": lacks seals:");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (seals & names[i].bit)
            add(text, " %s", names[i].name);
}

int uds_fd_verdict_format(const struct uds_fd_verdict *verdict, char *buf, size_t size)
{
    struct text text = {.buf = buf, .size = size};
    const struct uds_fd_info *info = &verdict->info;

    if (size == 0)
        return -ENOBUFS;
    add(&text, "%s", uds_fd_kind_name(info->kind));
    switch (verdict->reason) {
    case UDS_FD_FITS:
        break;
    case UDS_FD_WRONG_KIND:
        add(&text, ": not of an allowed kind");
        break;
    case UDS_FD_WRONG_ACCESS:
        if (verdict->bits & UDS_FD_CAN_READ)
            add(&text, ": may%s be read", access_bits(info) & UDS_FD_CAN_READ ? "" : " not");
        if (verdict->bits & UDS_FD_CAN_WRITE)
            add(&text, ": may%s be written", access_bits(info) & UDS_FD_CAN_WRITE ? "" : " not");
        break;
    case UDS_FD_SEALS_MISSING:
        add_seals(&text, verdict->bits);
        break;
    case UDS_FD_TOO_LARGE:
        add(&text, ": %llu bytes are too many", (unsigned long long)info->size);
        break;
    case UDS_FD_SPARSE:
        add(&text, ": sparse: pages are missing");
        break;
    }
    return text.len + 1 < size ? 0 : -ENOBUFS;
}
