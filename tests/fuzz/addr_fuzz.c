/* SPDX-License-Identifier: MIT */

/*
 * Addresses, as text and as the kernel gives them. A text that is an address is the same one after it was written and
 * read again, and fits a sockaddr if its kind and length do; what recvmsg says of a sender stays within its length.
 *
 * Built and run by tests/fuzz/run.sh.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <uds/addr.h>

#include "socket/sockaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct uds_addr *a, const struct uds_addr *b)
{
    if (a->kind != b->kind || a->sock_type != b->sock_type || a->fd != b->fd ||
        a->name_len != b->name_len || memcmp(a->name, b->name, a->name_len + 1) != 0)
        abort();
}

static void check_sockaddr(const struct uds_addr *addr)
{
    struct sockaddr_un sa;
    struct uds_addr again;
    socklen_t len;

    if (addr->kind == UDS_ADDR_FD || udsi_sockaddr_fill(addr, &sa, &len) < 0)
        return;
    if (len > sizeof(sa) || !udsi_sockaddr_read(&sa, len, addr->sock_type, &again))
        abort();
    check_same(addr, &again);
}

static void check_text(const char *text)
{
    static struct uds_addr addr, again;
    static char out[UDS_ADDR_PATH_MAX + 16];

    if (uds_addr_parse(text, &addr) < 0)
        return;
    if (addr.name_len >= sizeof(addr.name) || addr.name[addr.name_len] != '\0' ||
        uds_addr_format(&addr, out, sizeof(out)) < 0 || uds_addr_parse(out, &again) < 0)
        abort();
    check_same(&addr, &again);
    if (uds_addr_format(&addr, out, strlen(out)) == 0) /* one byte too small */
        abort();
    check_sockaddr(&addr);
}

static void check_sender(const uint8_t *data, size_t size)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct uds_addr addr;
    socklen_t len = (socklen_t)(size > sizeof(sa) ? sizeof(sa) : size);

    memcpy(&sa, data, len);
    if (udsi_sockaddr_read(&sa, len, SOCK_DGRAM, &addr) &&
        (addr.name_len > sizeof(sa.sun_path) || addr.name[addr.name_len] != '\0'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    check_text(text);
    free(text);
    check_sender(data, size);
    return 0;
}
