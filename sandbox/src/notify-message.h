/* SPDX-License-Identifier: MIT */
#ifndef SBXI_NOTIFY_MESSAGE_H
#define SBXI_NOTIFY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One message of sd_notify(3): text of a payload, parsed where no privilege is (init), told on in a fixed size. What it
 * could not be granted is in it too: the protocol has no answer, so somebody else is told.
 */

#define SBXI_NOTIFY_MAX  4096u /* bytes of a message, as systemd has it */
#define SBXI_NOTIFY_PATH "/run/host/notify"

enum sbxi_notify_bit {
    SBXI_N_READY = 1u << 0,
    SBXI_N_RELOADING = 1u << 1,
    SBXI_N_STOPPING = 1u << 2,
    SBXI_N_STATUS = 1u << 3,
    SBXI_N_ERRNO = 1u << 4,
    SBXI_N_ALIVE = 1u << 5,         /* WATCHDOG=1 */
    SBXI_N_TRIGGER = 1u << 6,       /* WATCHDOG=trigger */
    SBXI_N_WATCHDOG_USEC = 1u << 7, /* another interval from now on */
    SBXI_N_EXTEND = 1u << 8,        /* EXTEND_TIMEOUT_USEC */
    SBXI_N_MAINPID = 1u << 9,
    SBXI_N_STORE = 1u << 10,   /* with descriptors */
    SBXI_N_FORGET = 1u << 11,  /* FDSTOREREMOVE=1 */
    SBXI_N_NO_POLL = 1u << 12, /* FDPOLL=0 */
    SBXI_N_BARRIER = 1u << 13,
    SBXI_N_ALL = (1u << 14) - 1,
};

struct sbxi_notify {
    uint32_t bits;    /* enum sbxi_notify_bit */
    uint32_t refused; /* lines */
    int32_t err, mainpid;
    uint64_t watchdog_usec, extend_usec;
    char status[256]; /* UTF-8 without control characters */
    char name[256];   /* of descriptors; "" = not given */
    char why[160];    /* of the first line that was refused: printable ASCII */
};

/* Any @text is fine; lines that are not are refused. @nfds: descriptors that came with it. */
void sbxi_notify_parse(const char *text, size_t length, size_t nfds, struct sbxi_notify *ret);
/* One more refusal, the first of which is remembered. */
void sbxi_notify_refuse(struct sbxi_notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* For who received it from somebody that may have been taken over: could sbxi_notify_parse() have written it? */
bool sbxi_notify_is_sound(const struct sbxi_notify *notify);

#endif
