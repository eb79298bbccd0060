/* SPDX-License-Identifier: MIT */
/*
 * Addresses: text to struct uds_addr and back, and struct uds_addr to sockaddr_un.
 *
 * A parsed address is always usable as it is: a path has a last component, no NUL and a length that the file system
 * takes; an abstract name is 1–107 bytes; an fd is a number >= 0. Whether something is there is another question.
 */

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include <uds/addr.h>

#include "socket/sockaddr.h"

#define NAME_LIMIT (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static int parse_fd(const char *digits, struct uds_addr *addr)
{
    if (digits[0] < '0' || digits[0] > '9')
        return -EINVAL;

    char *end;
    errno = 0;
    long number = strtol(digits, &end, 10);
    if (*end != '\0' || errno != 0 || number > INT_MAX)
        return -EINVAL;

    addr->kind = UDS_ADDR_FD;
    addr->sock_type = 0;
    addr->fd = (int)number;
    return 0;
}

static int parse_abstract(const char *name, struct uds_addr *addr)
{
    size_t len = strlen(name);

    if (len == 0)
        return -EINVAL;
    if (len > NAME_LIMIT)
        return -ENAMETOOLONG;
    addr->kind = UDS_ADDR_ABSTRACT;
    addr->name_len = len;
    memcpy(addr->name, name, len + 1);
    return 0;
}

static int parse_path(const char *path, struct uds_addr *addr)
{
    size_t len = strlen(path);

    if (len == 0 || path[len - 1] == '/')
        return -EINVAL;
    if (len >= UDS_ADDR_PATH_MAX)
        return -ENAMETOOLONG;

    const char *slash = strrchr(path, '/');
    if (strlen(slash ? slash + 1 : path) > NAME_LIMIT)
        return -ENAMETOOLONG;
    addr->kind = UDS_ADDR_PATH;
    addr->name_len = len;
    memcpy(addr->name, path, len + 1);
    return 0;
}

int uds_addr_parse(const char *text, struct uds_addr *ret_addr)
{
    static const struct {
        const char *prefix;
        int sock_type;
    } schemes[] = {
        {"unix:", SOCK_STREAM},
        {"seqpacket:", SOCK_SEQPACKET},
        {"dgram:", SOCK_DGRAM},
    };
    struct uds_addr addr;
    int r = -EINVAL;

    memset(&addr, 0, sizeof(addr));
    addr.fd = -1;
    if (strncmp(text, "fd:", 3) == 0) {
        r = parse_fd(text + 3, &addr);
    } else if (text[0] == '/' || text[0] == '.') {
        addr.sock_type = SOCK_STREAM;
        r = parse_path(text, &addr);
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].prefix);

        if (strncmp(text, schemes[i].prefix, len) != 0)
            continue;
        addr.sock_type = schemes[i].sock_type;
        r = text[len] == '@' ? parse_abstract(text + len + 1, &addr)
                             : parse_path(text + len, &addr);
    }
    if (r < 0)
        return r;
    *ret_addr = addr;
    return 0;
}

int uds_addr_format(const struct uds_addr *addr, char *buf, size_t size)
{
    const char *scheme = "unix";
    int n;

    if (addr->sock_type == SOCK_SEQPACKET)
        scheme = "seqpacket";
    else if (addr->sock_type == SOCK_DGRAM)
        scheme = "dgram";

    if (addr->kind == UDS_ADDR_FD)
        n = snprintf(buf, size, "fd:%d", addr->fd);
    else
        n = snprintf(buf, size, "%s:%s%.*s", scheme, addr->kind == UDS_ADDR_ABSTRACT ? "@" : "",
                     (int)addr->name_len, addr->name);
    return n < 0 || (size_t)n >= size ? -ENOBUFS : 0;
}

int uds_addr_default(struct uds_addr *ret_addr)
{
    const char *broker = secure_getenv("UDS_BROKER");
    if (broker && broker[0] != '\0')
        return uds_addr_parse(broker, ret_addr);

    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/') {
        char path[UDS_ADDR_PATH_MAX];
        struct stat st;
        int n = snprintf(path, sizeof(path), "%s/uds/broker.sock", runtime);

        if (n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
            return uds_addr_parse(path, ret_addr);
    }
    return uds_addr_parse("/run/uds/broker.sock", ret_addr);
}

int udsi_sockaddr_fill(const struct uds_addr *addr, struct sockaddr_un *ret, socklen_t *ret_len)
{
    bool abstract = addr->kind == UDS_ADDR_ABSTRACT;

    if (addr->name_len > NAME_LIMIT)
        return -ENAMETOOLONG;
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    /* An abstract name is all bytes up to the length, so no NUL may be counted; a path counts its NUL (unix(7)). */
    memcpy(ret->sun_path + (abstract ? 1 : 0), addr->name, addr->name_len);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + addr->name_len + 1);
    return 0;
}

void udsi_sockaddr_fill_fd(int path_fd, struct sockaddr_un *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", path_fd);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(ret->sun_path) + 1);
}

bool udsi_sockaddr_read(const struct sockaddr_un *sa,
                        socklen_t len,
                        int sock_type,
                        struct uds_addr *ret)
{
    size_t room = len > offsetof(struct sockaddr_un, sun_path)
                      ? len - offsetof(struct sockaddr_un, sun_path)
                      : 0;
    bool abstract = room > 0 && sa->sun_path[0] == '\0';

    if (room > sizeof(sa->sun_path))
        room = sizeof(sa->sun_path);
    ret->kind = (enum uds_addr_kind)0;
    ret->sock_type = sock_type;
    ret->fd = -1;
    ret->name_len = 0;
    ret->name[0] = '\0';
    if (room == 0)
        return false;
    /* A path of 108 bytes has no NUL (unix(7)); an abstract name may hold some and has none at its end. */
    ret->kind = abstract ? UDS_ADDR_ABSTRACT : UDS_ADDR_PATH;
    ret->name_len = abstract ? room - 1 : strnlen(sa->sun_path, room);
    memcpy(ret->name, sa->sun_path + (abstract ? 1 : 0), ret->name_len);
    ret->name[ret->name_len] = '\0';
    return true;
}
