/* SPDX-License-Identifier: MIT */

/* Addresses: what users may write, what they read back, and where the broker is when they wrote nothing. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <uds/addr.h>

#include "guard.h"
#include "socket/sockaddr.h"

static void expect(const char *text, enum uds_addr_kind kind, int type, const char *name)
{
    struct uds_addr addr;

    cr_assert_eq(uds_addr_parse(text, &addr), 0, "%s", text);
    cr_expect_eq(addr.kind, kind, "%s", text);
    cr_expect_eq(addr.sock_type, type, "%s", text);
    cr_expect_str_eq(addr.name, name, "%s", text);
    cr_expect_eq(addr.name_len, strlen(name), "%s", text);
    cr_expect_eq(addr.fd, -1, "%s", text);
}

Test(addr_parse, reads_every_scheme)
{
    UDS_TEST_GUARD;
    expect("unix:/run/x.sock", UDS_ADDR_PATH, SOCK_STREAM, "/run/x.sock");
    expect("/run/x.sock", UDS_ADDR_PATH, SOCK_STREAM, "/run/x.sock");
    expect("./x.sock", UDS_ADDR_PATH, SOCK_STREAM, "./x.sock");
    expect("unix:x.sock", UDS_ADDR_PATH, SOCK_STREAM, "x.sock");
    expect("unix:@name", UDS_ADDR_ABSTRACT, SOCK_STREAM, "name");
    expect("seqpacket:/run/x", UDS_ADDR_PATH, SOCK_SEQPACKET, "/run/x");
    expect("seqpacket:@n", UDS_ADDR_ABSTRACT, SOCK_SEQPACKET, "n");
    expect("dgram:/run/x", UDS_ADDR_PATH, SOCK_DGRAM, "/run/x");
    expect("dgram:@n", UDS_ADDR_ABSTRACT, SOCK_DGRAM, "n");
}

Test(addr_parse, reads_an_inherited_descriptor)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;

    cr_assert_eq(uds_addr_parse("fd:37", &addr), 0);
    cr_expect_eq(addr.kind, UDS_ADDR_FD);
    cr_expect_eq(addr.fd, 37);
    cr_expect_eq(addr.sock_type, 0);
}

Test(addr_parse, refuses_what_is_no_address_and_writes_nothing)
{
    UDS_TEST_GUARD;
    static const char *const texts[] = {
        "",      "x",     "tcp:1", "unix:", "unix:@",         "/run/",      "unix:/",  "fd:",
        "fd:-1", "fd:+1", "fd: 1", "fd:1x", "fd:99999999999", "seqpacket:", "UNIX:/x", "@name",
    };
    struct uds_addr addr, before;

    memset(&addr, 0x5a, sizeof(addr));
    before = addr;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_eq(uds_addr_parse(texts[i], &addr), -EINVAL, "\"%s\"", texts[i]);
        cr_expect_eq(memcmp(&addr, &before, sizeof(addr)), 0, "\"%s\"", texts[i]);
    }
}

/* "unix:" + dir of @dir_len bytes + '/' + @base_len times 'b' */
static int parse_lengths(size_t dir_len, size_t base_len, struct uds_addr *addr)
{
    char *text = calloc(1, 16 + dir_len + base_len);
    char *p = text + sprintf(text, "unix:/");

    memset(p, 'd', dir_len - 1);
    p += dir_len - 1;
    *p++ = '/';
    memset(p, 'b', base_len);
    int r = uds_addr_parse(text, addr);
    free(text);
    return r;
}

Test(addr_parse, limits_names_to_what_the_kernel_takes)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;
    char text[160] = "unix:@";

    cr_expect_eq(parse_lengths(200, 107, &addr), 0);
    cr_expect_eq(parse_lengths(200, 108, &addr), -ENAMETOOLONG);
    cr_expect_eq(parse_lengths(4095 - 2, 1, &addr), 0);
    cr_expect_eq(addr.name_len, 4095);
    cr_expect_eq(parse_lengths(4095 - 1, 1, &addr), -ENAMETOOLONG);
    memset(text + 6, 'a', 107);
    cr_expect_eq(uds_addr_parse(text, &addr), 0);
    text[6 + 107] = 'a';
    cr_expect_eq(uds_addr_parse(text, &addr), -ENAMETOOLONG);
}

Test(addr_format, gives_back_what_was_parsed)
{
    UDS_TEST_GUARD;
    static const char *const texts[] = {"unix:/run/x", "unix:@n",  "seqpacket:/a/b", "seqpacket:@n",
                                        "dgram:/a",    "dgram:@n", "fd:0",           "fd:12"};
    char buf[UDS_ADDR_PATH_MAX + 16];
    struct uds_addr addr;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(uds_addr_parse(texts[i], &addr), 0);
        cr_assert_eq(uds_addr_format(&addr, buf, sizeof(buf)), 0);
        cr_expect_str_eq(buf, texts[i]);
        cr_expect_eq(uds_addr_format(&addr, buf, strlen(texts[i])), -ENOBUFS);
        cr_expect_eq(uds_addr_format(&addr, buf, strlen(texts[i]) + 1), 0);
    }
}

Test(addr_default, asks_the_environment_before_the_system)
{
    UDS_TEST_GUARD;
    char dir[] = "/tmp/uds-addr-XXXXXX", path[128];
    struct uds_addr addr;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    cr_assert(mkdtemp(dir));
    unsetenv("UDS_BROKER");
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_str_eq(addr.name, "/run/uds/broker.sock");

    setenv("XDG_RUNTIME_DIR", dir, 1);
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_str_eq(addr.name, "/run/uds/broker.sock", "no socket is there");

    (void)snprintf(path, sizeof(path), "%s/uds", dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/uds/broker.sock", dir);
    close(open(sa.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_str_eq(addr.name, "/run/uds/broker.sock", "a file is no socket");
    unlink(sa.sun_path);

    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_str_eq(addr.name, sa.sun_path);

    setenv("UDS_BROKER", "", 1);
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_str_eq(addr.name, sa.sun_path, "an empty variable is none");
    setenv("UDS_BROKER", "fd:7", 1);
    cr_assert_eq(uds_addr_default(&addr), 0);
    cr_expect_eq(addr.fd, 7);
    setenv("UDS_BROKER", "nonsense", 1);
    cr_expect_eq(uds_addr_default(&addr), -EINVAL);

    close(fd);
    unlink(sa.sun_path);
    rmdir(path);
    rmdir(dir);
}

Test(addr_sockaddr, counts_the_nul_of_a_path_and_none_in_an_abstract_name)
{
    UDS_TEST_GUARD;
    struct uds_addr addr;
    struct sockaddr_un sa;
    socklen_t len;

    cr_assert_eq(uds_addr_parse("unix:/ab", &addr), 0);
    cr_assert_eq(udsi_sockaddr_fill(&addr, &sa, &len), 0);
    cr_expect_eq(len, sizeof(sa_family_t) + 4);
    cr_expect_str_eq(sa.sun_path, "/ab");
    cr_assert_eq(uds_addr_parse("unix:@ab", &addr), 0);
    cr_assert_eq(udsi_sockaddr_fill(&addr, &sa, &len), 0);
    cr_expect_eq(len, sizeof(sa_family_t) + 3);
    cr_expect_eq(memcmp(sa.sun_path, "\0ab", 3), 0);
}
