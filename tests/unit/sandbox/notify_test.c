/* SPDX-License-Identifier: MIT */
/* What sd_notify(3) messages say, and what of them is refused; and the store of descriptors. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sbx/notify.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#include "notify-message.h"
#include "notify.h"

static struct sbxi_notify parse(const char *text, size_t nfds)
{
    struct sbxi_notify n;
    sbxi_notify_parse(text, strlen(text), nfds, &n);
    cr_assert(sbxi_notify_is_sound(&n), "not sound: %s", text);
    return n;
}

Test(notify_parse, takes_every_line_of_a_message)
{
    struct sbxi_notify n = parse("READY=1\nSTATUS=serving\nMAINPID=42\nERRNO=2\nWATCHDOG_USEC=500\n"
                                 "EXTEND_TIMEOUT_USEC=7\nWATCHDOG=1\nSTOPPING=1\nRELOADING=1\n",
                                 0);
    cr_assert_eq(n.bits, SBXI_N_READY | SBXI_N_STATUS | SBXI_N_MAINPID | SBXI_N_ERRNO |
                             SBXI_N_WATCHDOG_USEC | SBXI_N_EXTEND | SBXI_N_ALIVE | SBXI_N_STOPPING |
                             SBXI_N_RELOADING);
    cr_assert_str_eq(n.status, "serving");
    cr_assert_eq(n.mainpid, 42);
    cr_assert_eq(n.err, 2);
    cr_assert_eq(n.watchdog_usec, 500u);
    cr_assert_eq(n.extend_usec, 7u);
    cr_assert_eq(n.refused, 0u);
}

Test(notify_parse, refuses_a_line_and_takes_the_others)
{
    static const struct {
        const char *line, *why;
    } wrong[] = {
        {"READY=2", "READY=2: no such value"},
        {"READY", "READY: a line is KEY=VALUE"},
        {"=1", "=1: a line is KEY=VALUE"},
        {"FOO=1", "FOO: unknown"},
        {"F\xff\x01=1", "F??: unknown"},
        {"MAINPID=1", "MAINPID=1: not a number in its range"},
        {"MAINPID=99999999999", "MAINPID=99999999999: not a number in its range"},
        {"ERRNO=-1", "ERRNO=-1: not a number in its range"},
        {"WATCHDOG_USEC=0", "WATCHDOG_USEC=0: not a number in its range"},
        {"WATCHDOG_USEC=18446744073709551617",
         "WATCHDOG_USEC=18446744073709551617: not a number in its range"},
        {"WATCHDOG=soon", "WATCHDOG=soon: no such value"},
        {"FDNAME=a:b", "FDNAME=a:b: a name is 1 to 255 printable characters without :"},
        {"FDPOLL=1", "FDPOLL=1: no such value"},
        {"NOTIFYACCESS=all", "NOTIFYACCESS=all: every process of a sandbox may notify, always"},
        {"MAINPIDFD=1", "MAINPIDFD=1: use MAINPID"},
        {"FDSTORE=1", "FDSTORE=1: no descriptor came with it"},
        {"BARRIER=1", "BARRIER=1: it comes alone, with one descriptor"},
        {"FDSTOREREMOVE=1", "FDSTOREREMOVE=1: it needs FDNAME, and no FDSTORE=1 beside it"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "STATUS=s\n%s\nSTOPPING=1", wrong[i].line);
        struct sbxi_notify n = parse(text, 0);
        cr_assert_eq(n.bits, SBXI_N_STATUS | SBXI_N_STOPPING, "%s: %x", wrong[i].line, n.bits);
        cr_assert_eq(n.refused, 1u, "%s", wrong[i].line);
        cr_assert_str_eq(n.why, wrong[i].why);
    }
}

Test(notify_parse, ignores_what_is_for_others)
{
    struct sbxi_notify n = parse("X_FOO=1\nMONOTONIC_USEC=5\nBUSERROR=a\nEXIT_STATUS=3\n\n", 0);
    cr_assert_eq(n.bits, 0u);
    cr_assert_eq(n.refused, 0u);
}

Test(notify_parse, knows_what_descriptors_are_for)
{
    cr_assert_eq(parse("BARRIER=1", 1).bits, SBXI_N_BARRIER);
    cr_assert_eq(parse("BARRIER=1\nREADY=1", 1).bits, SBXI_N_READY);
    cr_assert_eq(parse("BARRIER=1", 2).bits, 0u);
    struct sbxi_notify n = parse("FDSTORE=1\nFDNAME=conn\nFDPOLL=0", 3);
    cr_assert_eq(n.bits, SBXI_N_STORE | SBXI_N_NO_POLL);
    cr_assert_str_eq(n.name, "conn");
    n = parse("READY=1", 2);
    cr_assert_eq(n.bits, SBXI_N_READY);
    cr_assert_str_eq(n.why, "2 descriptors came that no line is about");
}

Test(notify_parse, keeps_a_status_printable_and_whole)
{
    char text[600] = "STATUS=";
    cr_assert_str_eq(parse("STATUS=\xc3\xa4\x1b[2J\xff\xc0\x80\xed\xa0\x80\xc2\x85.", 0).status,
                     "\xc3\xa4?[2J????????.");
    for (int i = 0; i < 180; i++)
        strcat(text, "\xe2\x82\xac");
    struct sbxi_notify n = parse(text, 0);
    cr_assert_eq(strlen(n.status), 255u);
    cr_assert_str_eq(parse("STATUS=", 0).status, "");
}

Test(notify_parse, refuses_a_nul)
{
    struct sbxi_notify n;
    sbxi_notify_parse("READY=1\0STOPPING=1", 18, 0, &n);
    cr_assert_eq(n.bits, 0u);
    cr_assert_eq(n.refused, 1u);
}

Test(notify_sound, refuses_what_no_parser_writes)
{
    struct sbxi_notify fine = parse("STATUS=a\nFDSTORE=1\nFDNAME=x", 1), n = fine;
    n.bits |= 1u << 20;
    cr_assert(!sbxi_notify_is_sound(&n));
    n = fine;
    memset(n.status, 'a', sizeof n.status);
    cr_assert(!sbxi_notify_is_sound(&n));
    n = fine;
    strcpy(n.status, "\x1b]0;x");
    cr_assert(!sbxi_notify_is_sound(&n));
    n = fine;
    strcpy(n.name, "a:b");
    cr_assert(!sbxi_notify_is_sound(&n));
    n = fine;
    n.err = -1;
    cr_assert(!sbxi_notify_is_sound(&n));
    n = fine;
    n.bits |= SBXI_N_WATCHDOG_USEC;
    cr_assert(!sbxi_notify_is_sound(&n));
}

Test(fdstore, keeps_names_and_order_up_to_its_limit)
{
    struct sbx_named_fd list[SBX_FDSTORE_MAX];
    sbx_fdstore *store;
    int fds[3] = {eventfd(0, 0), eventfd(0, 0), eventfd(0, 0)};
    cr_assert_eq(sbx_fdstore_new(&store, 0), -EINVAL);
    cr_assert_eq(sbx_fdstore_new(&store, SBX_FDSTORE_MAX + 1), -EINVAL);
    cr_assert_eq(sbx_fdstore_new(&store, 2), 0);
    cr_assert_null(sbxi_fdstore_add(store, "a", fds[0], true));
    cr_assert_null(sbxi_fdstore_add(store, "b", fds[1], true));
    cr_assert_str_eq(sbxi_fdstore_add(store, "c", fds[2], true), "its store is full");
    cr_assert_eq(sbx_fdstore_list(store, list), 2u);
    cr_assert(!strcmp(list[0].name, "a") && list[0].fd == fds[0]);
    cr_assert_eq(sbxi_fdstore_remove(store, "a"), 1u);
    cr_assert_lt(fcntl(fds[0], F_GETFD), 0);
    cr_assert_null(sbxi_fdstore_add(store, "c", fds[2], true));
    cr_assert_eq(sbx_fdstore_list(store, list), 2u);
    cr_assert(!strcmp(list[0].name, "b") && !strcmp(list[1].name, "c"));
    sbx_fdstore_free(store);
    cr_assert_lt(fcntl(fds[2], F_GETFD), 0);
}

Test(fdstore, drops_the_dead_and_refuses_ways_out)
{
    struct sbx_named_fd list[SBX_FDSTORE_MAX];
    sbx_fdstore *store;
    int a[2], b[2], dir = open("/", O_RDONLY | O_DIRECTORY), path = open("/", O_PATH);
    cr_assert_eq(sbx_fdstore_new(&store, 2), 0);
    cr_assert_not_null(sbxi_fdstore_add(store, "d", dir, true));
    cr_assert_not_null(sbxi_fdstore_add(store, "p", path, true));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    cr_assert_null(sbxi_fdstore_add(store, "a", a[0], true));
    cr_assert_null(sbxi_fdstore_add(store, "b", b[0], false));
    close(a[1]);
    close(b[1]);
    cr_assert_eq(sbx_fdstore_list(store, list), 1u);
    cr_assert_str_eq(list[0].name, "b");
    sbx_fdstore_free(store);
    close(dir);
    close(path);
}
