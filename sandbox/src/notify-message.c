/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) messages: lines KEY=VALUE. A line stands or falls alone, as in systemd; BARRIER=1 stands alone in its
 * message. Keys that begin with X_ are for others, and unknown ones are told of. No allocation: it runs in PID 1.
 */

#include "notify-message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DAY_USEC (86400ull * 1000000u)

static void make_printable(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void sbxi_notify_refuse(struct sbxi_notify *notify, const char *format, ...)
{
    va_list ap;
    if (notify->refused++ > 0)
        return;
    va_start(ap, format);
    vsnprintf(notify->why, sizeof notify->why, format, ap);
    va_end(ap);
    make_printable(notify->why);
}

/* Bytes of the character at @p, 0 if it is none of UTF-8, or a control character. */
static size_t character(const unsigned char *p, size_t left)
{
    static const unsigned char second_min[] = {[0xe0 - 0xe0] = 0xa0, [0xf0 - 0xe0] = 0x90};
    if (*p < 0x80)
        return *p >= ' ' && *p != 0x7f;
    size_t n = *p >= 0xc2 && *p <= 0xdf ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p <= 0xf4 ? 4 : 0;
    if (*p < 0xc2 || n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 || *p == 0xf0) && p[1] < second_min[*p - 0xe0])
        return 0; /* too long a form */
    if ((*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f))
        return 0;                                       /* a surrogate, or beyond Unicode */
    return n == 2 && *p == 0xc2 && p[1] < 0xa0 ? 0 : n; /* C1 */
}

/* As much of it as there is room for, in whole characters. */
static void copy_status(char *ret, size_t size, const char *text, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t n = character((const unsigned char *)text + i, length - i);
        if (used + (n ? n : 1) >= size)
            break;
        if (n)
            memcpy(ret + used, text + i, n);
        else
            ret[used] = '?';
        used += n ? n : 1;
        i += n ? n : 1;
    }
    ret[used] = '\0';
}

static bool parse_number(const char *text, size_t length, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    if (length == 0 || length > 20)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static bool is_fd_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == ':')
            return false;
    return length > 0 && length < sizeof((struct sbxi_notify *)0)->name;
}

struct line {
    const char *key, *value;
    size_t key_length, length;
};

static bool is(const struct line *line, const char *key)
{
    return line->key_length == strlen(key) && memcmp(line->key, key, line->key_length) == 0;
}

static void refuse_value(struct sbxi_notify *n, const struct line *line, const char *wanted)
{
    sbxi_notify_refuse(n, "%.*s=%.*s: %s", (int)line->key_length, line->key,
                       line->length < 40 ? (int)line->length : 40, line->value, wanted);
}

/* KEY=1. */
static bool take_flag(struct sbxi_notify *n, const struct line *line)
{
    static const struct {
        const char *key;
        char value;
        uint32_t bit;
    } flags[] = {
        {"READY", '1', SBXI_N_READY},          {"RELOADING", '1', SBXI_N_RELOADING},
        {"STOPPING", '1', SBXI_N_STOPPING},    {"FDSTORE", '1', SBXI_N_STORE},
        {"FDSTOREREMOVE", '1', SBXI_N_FORGET}, {"FDPOLL", '0', SBXI_N_NO_POLL},
        {"BARRIER", '1', SBXI_N_BARRIER},      {"WATCHDOG", '1', SBXI_N_ALIVE},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!is(line, flags[i].key))
            continue;
        if (line->length == 1 && line->value[0] == flags[i].value)
            n->bits |= flags[i].bit;
        else if (flags[i].bit == SBXI_N_ALIVE && line->length == 7 &&
                 memcmp(line->value, "trigger", 7) == 0)
            n->bits |= SBXI_N_TRIGGER;
        else
            refuse_value(n, line, "no such value");
        return true;
    }
    return false;
}

static bool take_number(struct sbxi_notify *n, const struct line *line)
{
    const struct {
        const char *key;
        uint64_t min, max;
        uint32_t bit;
    } numbers[] = {
        {"ERRNO", 0, 4095, SBXI_N_ERRNO},
        {"MAINPID", 2, INT32_MAX, SBXI_N_MAINPID},
        {"WATCHDOG_USEC", 1, DAY_USEC, SBXI_N_WATCHDOG_USEC},
        {"EXTEND_TIMEOUT_USEC", 1, DAY_USEC, SBXI_N_EXTEND},
    };
    uint64_t value;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!is(line, numbers[i].key))
            continue;
        if (!parse_number(line->value, line->length, numbers[i].max, &value) ||
            value < numbers[i].min) {
            refuse_value(n, line, "not a number in its range");
            return true;
        }
        n->bits |= numbers[i].bit;
        if (numbers[i].bit == SBXI_N_ERRNO)
            n->err = (int32_t)value;
        else if (numbers[i].bit == SBXI_N_MAINPID)
            n->mainpid = (int32_t)value;
        else if (numbers[i].bit == SBXI_N_EXTEND)
            n->extend_usec = value;
        else
            n->watchdog_usec = value;
        return true;
    }
    return false;
}

/* What says something that we have no use for. */
static bool is_ignored(const struct line *line)
{
    static const char *const keys[] = {"MONOTONIC_USEC", "BUSERROR", "VARLINKERROR", "EXIT_STATUS",
                                       "MAINPIDFDID"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (is(line, keys[i]))
            return true;
    return line->key_length >= 2 && memcmp(line->key, "X_", 2) == 0;
}

static void take_line(struct sbxi_notify *n, const struct line *line)
{
    if (take_flag(n, line) || take_number(n, line) || is_ignored(line))
        return;
    if (is(line, "STATUS")) {
        copy_status(n->status, sizeof n->status, line->value, line->length);
        n->bits |= SBXI_N_STATUS;
    } else if (is(line, "FDNAME")) {
        if (is_fd_name(line->value, line->length))
            memcpy(n->name, line->value, line->length);
        else
            refuse_value(n, line, "a name is 1 to 255 printable characters without :");
    } else if (is(line, "NOTIFYACCESS")) {
        refuse_value(n, line, "every process of a sandbox may notify, always");
    } else if (is(line, "MAINPIDFD")) {
        refuse_value(n, line, "use MAINPID");
    } else {
        sbxi_notify_refuse(n, "%.*s: unknown", line->key_length < 40 ? (int)line->key_length : 40,
                           line->key);
    }
}

static void check_whole(struct sbxi_notify *n, size_t nfds)
{
    if ((n->bits & SBXI_N_BARRIER) && (n->bits != SBXI_N_BARRIER || nfds != 1)) {
        n->bits &= ~(uint32_t)SBXI_N_BARRIER;
        sbxi_notify_refuse(n, "BARRIER=1: it comes alone, with one descriptor");
    }
    if ((n->bits & SBXI_N_STORE) && nfds == 0) {
        n->bits &= ~(uint32_t)SBXI_N_STORE;
        sbxi_notify_refuse(n, "FDSTORE=1: no descriptor came with it");
    }
    if ((n->bits & SBXI_N_FORGET) && (!n->name[0] || (n->bits & SBXI_N_STORE))) {
        n->bits &= ~(uint32_t)SBXI_N_FORGET;
        sbxi_notify_refuse(n, "FDSTOREREMOVE=1: it needs FDNAME, and no FDSTORE=1 beside it");
    }
    if (nfds > 0 && !(n->bits & (SBXI_N_BARRIER | SBXI_N_STORE)))
        sbxi_notify_refuse(n, "%zu descriptors came that no line is about", nfds);
}

void sbxi_notify_parse(const char *text, size_t length, size_t nfds, struct sbxi_notify *ret)
{
    *ret = (struct sbxi_notify){0};
    if (memchr(text, '\0', length)) {
        sbxi_notify_refuse(ret, "a message with a NUL in it");
        return;
    }
    for (const char *end = text + length, *next; text < end; text = next) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        next = newline ? newline + 1 : end;
        if (text == stop)
            continue;
        if (!equals || equals == text) {
            sbxi_notify_refuse(ret, "%.*s: a line is KEY=VALUE",
                               stop - text < 40 ? (int)(stop - text) : 40, text);
            continue;
        }
        take_line(ret, &(struct line){.key = text,
                                      .value = equals + 1,
                                      .key_length = (size_t)(equals - text),
                                      .length = (size_t)(stop - equals - 1)});
    }
    check_whole(ret, nfds);
}

static bool is_text(const char *text, size_t size, bool utf8)
{
    size_t length = strnlen(text, size);
    for (size_t i = 0, n; i < length; i += n)
        if ((n = character((const unsigned char *)text + i, length - i)) == 0 || (n > 1 && !utf8))
            return false;
    return length < size;
}

bool sbxi_notify_is_sound(const struct sbxi_notify *n)
{
    return !(n->bits & ~(uint32_t)SBXI_N_ALL) && n->err >= 0 && n->err <= 4095 &&
           n->watchdog_usec <= DAY_USEC && n->extend_usec <= DAY_USEC &&
           (!(n->bits & SBXI_N_WATCHDOG_USEC) || n->watchdog_usec > 0) &&
           is_text(n->status, sizeof n->status, true) && is_text(n->name, sizeof n->name, false) &&
           !strchr(n->name, ':') && is_text(n->why, sizeof n->why, false);
}
