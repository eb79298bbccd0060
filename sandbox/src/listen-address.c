/* SPDX-License-Identifier: MIT */
/*
 * Addresses to listen on, as users write them. Options are taken from the end, one by one, as long as what stands behind
 * the last comma is one: a path may hold commas.
 */

#include "listen-address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

static int parse_digits(const char *text, int base, unsigned long max, unsigned long *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int parse_netns(const char *text, char ret[PATH_MAX])
{
    unsigned long pid;
    int n;
    if (text[0] == '/')
        n = snprintf(ret, PATH_MAX, "%s", text);
    else if (parse_digits(text, 10, INT_MAX, &pid) == 0)
        n = snprintf(ret, PATH_MAX, "/proc/%lu/ns/net", pid);
    else if (!*text || strchr(text, '/') || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return -EINVAL;
    else
        n = snprintf(ret, PATH_MAX, "/run/netns/%s", text);
    return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* 1: @text is an option and is taken; 0: it is none; -errno with @error. */
static int take_option(const char *text, struct sbxi_listen_address *ret, struct sbx_error *error)
{
    unsigned long value;
    if (strncmp(text, "mode=", 5) == 0) {
        if (parse_digits(text + 5, 8, 0777, &value) < 0 || value == 0)
            return sbxi_error(error, EINVAL, "listen: %s: use permissions as 0600 or 0666", text);
        ret->mode = (unsigned)value;
    } else if (strncmp(text, "backlog=", 8) == 0) {
        if (parse_digits(text + 8, 10, INT_MAX, &value) < 0 || value == 0)
            return sbxi_error(error, EINVAL, "listen: %s: use a number above 0", text);
        ret->backlog = (int)value;
    } else if (strncmp(text, "netns=", 6) == 0) {
        int r = parse_netns(text + 6, ret->netns);
        if (r < 0)
            return sbxi_error(
                error, -r, "listen: %s: use the name of `ip netns`, a path or a process's number",
                text);
    } else {
        size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyz");
        return word > 0 && text[word] == '='
                   ? sbxi_error(error, EINVAL,
                                "listen: %s: is no option; they are mode=, backlog=, netns=", text)
                   : 0;
    }
    return 1;
}

static int take_options(char *text, struct sbxi_listen_address *ret, struct sbx_error *error)
{
    for (char *comma; (comma = strrchr(text, ',')) != NULL; *comma = '\0') {
        int r = take_option(comma + 1, ret, error);
        if (r <= 0)
            return r;
    }
    return 0;
}

/* "127.0.0.1:80", "[::1]:80", "*:80". @ret_host is cut out of @text. */
static int split_port(char *text, char **ret_host, char **ret_port)
{
    char *colon = strrchr(text, ':'), *end = text + strlen(text);
    if (!colon || colon == text)
        return -EINVAL;
    *colon = '\0';
    *ret_port = colon + 1;
    *ret_host = text;
    if (text[0] == '[') {
        if (colon[-1] != ']' || colon == end)
            return -EINVAL;
        colon[-1] = '\0';
        *ret_host = text + 1;
    } else if (strchr(text, ':')) {
        return -EINVAL; /* ::1:80 could mean two things */
    }
    return 0;
}

static int parse_inet(const char *text, struct sbxi_listen_address *ret, struct sbx_error *error)
{
    const struct addrinfo hints = {.ai_socktype = ret->sock_type,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found;
    char rest[128], *host, *port;
    unsigned long number;
    if (snprintf(rest, sizeof rest, "%s", text + 4) >= (int)sizeof rest ||
        split_port(rest, &host, &port) < 0 || parse_digits(port, 10, 65535, &number) < 0)
        return sbxi_error(error, EINVAL,
                          "listen: %s: use HOST:PORT, as 127.0.0.1:80, [::1]:80 or *:80", text);
    snprintf(ret->host, sizeof ret->host, "%s", host);
    ret->inet = true;
    ret->any = strcmp(host, "*") == 0;
    const char *numeric = ret->any ? "::" : strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (getaddrinfo(numeric, port, &hints, &found) != 0)
        return sbxi_error(error, EINVAL,
                          "listen: %s: names are not looked up; use a number, localhost or *",
                          text);
    memcpy(&ret->ip, found->ai_addr, found->ai_addrlen);
    ret->ip_length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int parse_local(const char *text, struct sbxi_listen_address *ret, struct sbx_error *error)
{
    int r = uds_addr_parse(text, &ret->local);
    if (r < 0 || ret->local.kind == UDS_ADDR_FD)
        return sbxi_error(error, r == -ENAMETOOLONG ? ENAMETOOLONG : EINVAL, "listen: %s: %s", text,
                          r == -ENAMETOOLONG ? "too long for a socket's name"
                                             : "use tcp:HOST:PORT, udp:HOST:PORT, unix:/PATH, "
                                               "unix:@NAME, seqpacket:… or dgram:…");
    if (ret->local.kind == UDS_ADDR_PATH && ret->local.name[0] != '/')
        return sbxi_error(error, EINVAL, "listen: %s: use an absolute path", text);
    ret->sock_type = ret->local.sock_type;
    return 0;
}

int sbxi_listen_parse(const char *text, struct sbxi_listen_address *ret, struct sbx_error *error)
{
    char address[UDS_ADDR_PATH_MAX + 512];
    *ret = (struct sbxi_listen_address){0};
    if (snprintf(address, sizeof address, "%s", text) >= (int)sizeof address)
        return sbxi_error(error, ENAMETOOLONG, "listen: %.200s…: too long", text);
    int r = take_options(address, ret, error);
    if (r < 0)
        return r;
    bool tcp = strncmp(address, "tcp:", 4) == 0, udp = strncmp(address, "udp:", 4) == 0;
    ret->sock_type = udp ? SOCK_DGRAM : SOCK_STREAM;
    r = tcp || udp ? parse_inet(address, ret, error) : parse_local(address, ret, error);
    if (r < 0)
        return r;
    bool path = !ret->inet && ret->local.kind == UDS_ADDR_PATH;
    if (ret->mode && !path)
        return sbxi_error(error, EINVAL, "listen: %s: mode is for paths; remove it", text);
    if (ret->netns[0] && path)
        return sbxi_error(error, EINVAL,
                          "listen: %s: a path lies in no network namespace; remove netns", text);
    if (ret->backlog && ret->sock_type == SOCK_DGRAM)
        return sbxi_error(error, EINVAL, "listen: %s: datagrams have no backlog; remove it", text);
    return 0;
}
