/* SPDX-License-Identifier: MIT */
#ifndef TEST_DATAGRAM_H
#define TEST_DATAGRAM_H

/* What tests of datagram sockets have in common: addresses, messages of one letter, and what must or must not come. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "pair.h"

static inline void dgram_unrefp(uds_dgram **dgram)
{
    (void)uds_dgram_unref(*dgram);
}

#define _cleanup_dgram_  UDSI_CLEANUP(dgram_unrefp)
#define _cleanup_sender_ UDSI_CLEANUP(uds_dgram_sender_clear)

static inline struct uds_addr parse(const char *text)
{
    struct uds_addr addr;

    cr_assert_eq(uds_addr_parse(text, &addr), 0, "%s", text);
    return addr;
}

static inline struct uds_addr abstract(const char *name)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "dgram:@uds-dgram-%d-%s", (int)getpid(), name);
    return parse(text);
}

static inline uds_dgram *bound(const struct uds_addr *addr, const struct uds_dgram_options *options)
{
    uds_dgram *dgram = NULL;
    int r = uds_dgram_new(&dgram, addr, options);

    cr_assert_eq(r, 0, "%s", strerror(-r));
    return dgram;
}

static inline int send_one(uds_dgram *dgram, const struct uds_addr *to, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = pair_msg(id, len);

    return uds_dgram_send(dgram, to, msg);
}

static inline void expect_id(uds_dgram *dgram, uint64_t id)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_dgram_receive(dgram, &msg, NULL);

    cr_assert_eq(r, 1, "%d: %s", r, uds_dgram_get_drop_text(dgram));
    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert(udsi_dgram_check(dgram));
}

static inline void expect_none(uds_dgram *dgram)
{
    uds_msg *msg = NULL;

    cr_assert_eq(uds_dgram_receive(dgram, &msg, NULL), 0);
    cr_assert(udsi_dgram_check(dgram));
}

/* A plain socket that is connected to @addr: what it sends is what the test says. */
static inline int raw_to(const struct uds_addr *addr)
{
    uds_dgram *dgram = bound(NULL, NULL);
    int fd;

    cr_assert_eq(uds_dgram_connect(dgram, addr), 0);
    fd = fcntl(uds_dgram_get_fd(dgram), F_DUPFD_CLOEXEC, 3);
    cr_assert_geq(fd, 0);
    uds_dgram_unref(dgram);
    return fd;
}

#endif
