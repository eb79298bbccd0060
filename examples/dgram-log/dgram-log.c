/* SPDX-License-Identifier: MIT */
/*
 * A log that takes lines as datagrams, and a program that writes to it.
 *
 *   dgram-log listen ADDRESS [COUNT]    prints what comes, and who claims to have sent it; ends after COUNT lines
 *   dgram-log send ADDRESS LINE...      one message a LINE; does not wait for a log that does not keep up
 *
 * The credentials of a datagram are the sender's claim: good enough for people to read, never to decide by. The same goes
 * for the text: what a terminal would obey is printed as \xHH.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/dgram.h>

static int fail(const char *what, const char *on, int error)
{
    (void)fprintf(stderr, "dgram-log: %s: %s: %s\n", what, on, strerror(-error));
    return 1;
}

static void print_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        (void)printf(c < 0x20 || c >= 0x7f || c == '\\' ? "\\x%02x" : "%c", c);
    }
}

static void print_line(const uds_msg *msg, const struct uds_dgram_sender *sender)
{
    size_t len;
    const char *text = uds_msg_peek_body(msg, &len);

    (void)printf("claims");
    if (sender->claim.claimed & UDS_DGRAM_PID)
        (void)printf(" pid %d", (int)sender->claim.claimed_pid);
    if (sender->claim.claimed & UDS_DGRAM_UID)
        (void)printf(" uid %u", (unsigned)sender->claim.claimed_uid);
    if (sender->addr.kind) {
        (void)printf(" from %s", sender->addr.kind == UDS_ADDR_ABSTRACT ? "@" : "");
        print_text(sender->addr.name, sender->addr.name_len);
    }
    (void)printf(": ");
    print_text(text, len);
    (void)printf("\n");
    (void)fflush(stdout);
}

static int listen_at(const struct uds_addr *addr, const char *name, long count)
{
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_dgram_sender sender;
    struct uds_dgram_stats stats;
    uds_dgram *dgram = NULL;
    uds_msg *msg;
    int r;

    options.max_body = 4096;                        /* a line */
    options.mode = 0622;                            /* everybody may write to the log */
    options.claims = UDS_DGRAM_PID | UDS_DGRAM_UID; /* and max_fds is 0: no descriptors */
    r = uds_dgram_new(&dgram, addr, &options);
    if (r < 0)
        return fail("listen", name, r);
    (void)printf("listening on %s\n", name);
    (void)fflush(stdout);
    for (long i = 0; count < 0 || i < count; i++) {
        r = uds_dgram_receive_wait(dgram, &msg, &sender, -1);
        if (r < 0)
            break;
        print_line(msg, &sender);
        uds_msg_unref(msg);
        uds_dgram_sender_clear(&sender);
    }
    uds_dgram_get_stats(dgram, &stats);
    if (stats.dropped > 0)
        (void)printf("%llu records dropped, the last because of %s\n",
                     (unsigned long long)stats.dropped, uds_dgram_get_drop_text(dgram));
    uds_dgram_unref(dgram);
    return r < 0 ? fail("receive", name, r) : 0;
}

static int send_to(const struct uds_addr *addr, const char *name, char *const *lines)
{
    uds_dgram *dgram = NULL;
    int r = uds_dgram_new(&dgram, NULL, NULL);

    for (; *lines && r == 0; lines++) {
        uds_msg *msg = NULL;

        r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, *lines, strlen(*lines));
        if (r == 0)
            r = uds_dgram_send(dgram, addr, msg);
        uds_msg_unref(msg);
    }
    uds_dgram_unref(dgram);
    return r < 0 ? fail("send", name, r) : 0;
}

int main(int argc, char **argv)
{
    struct uds_addr addr;

    if (argc < 3 || (strcmp(argv[1], "listen") != 0 && strcmp(argv[1], "send") != 0)) {
        (void)fprintf(stderr, "usage: dgram-log listen ADDRESS [COUNT]\n"
                              "       dgram-log send ADDRESS LINE...\n");
        return 2;
    }
    int r = uds_addr_parse(argv[2], &addr);
    if (r < 0)
        return fail("address", argv[2], r);
    if (strcmp(argv[1], "send") == 0)
        return send_to(&addr, argv[2], argv + 3);
    return listen_at(&addr, argv[2], argc > 3 ? strtol(argv[3], NULL, 10) : -1);
}
