/* SPDX-License-Identifier: MIT */
/* See netlink.h. */

#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "kernel.h"

enum {
    ANSWER_S = 5
};

/* Room for @length bytes, padded with zeros to the next attribute; NULL = none, and none for what follows. */
static void *grow(struct sbxi_netlink *message, size_t length)
{
    size_t padded = NLMSG_ALIGN(length);
    if (message->length > sizeof message->bytes ||
        padded > sizeof message->bytes - message->length) {
        message->length = sizeof message->bytes + 1;
        return NULL;
    }
    void *room = message->bytes + message->length;
    memset(room, 0, padded);
    message->length += padded;
    return room;
}

void sbxi_netlink_begin(
    struct sbxi_netlink *message, uint16_t type, uint16_t flags, const void *body, size_t length)
{
    message->length = 0;
    struct nlmsghdr *header = grow(message, sizeof *header);
    header->nlmsg_type = type;
    header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    header->nlmsg_seq = 1;
    sbxi_netlink_append(message, body, length);
}

void sbxi_netlink_append(struct sbxi_netlink *message, const void *data, size_t length)
{
    void *room = grow(message, length);
    if (room)
        memcpy(room, data, length);
}

void sbxi_netlink_add(struct sbxi_netlink *message, uint16_t type, const void *data, size_t length)
{
    struct rtattr *attribute = grow(message, sizeof *attribute + length);
    if (!attribute)
        return;
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)(sizeof *attribute + length);
    if (length)
        memcpy(attribute + 1, data, length);
}

void sbxi_netlink_add_text(struct sbxi_netlink *message, uint16_t type, const char *text)
{
    sbxi_netlink_add(message, type, text, strlen(text) + 1);
}

void sbxi_netlink_add_u32(struct sbxi_netlink *message, uint16_t type, uint32_t value)
{
    sbxi_netlink_add(message, type, &value, sizeof value);
}

size_t sbxi_netlink_open(struct sbxi_netlink *message, uint16_t type)
{
    size_t at = message->length;
    sbxi_netlink_add(message, type, NULL, 0);
    return at;
}

void sbxi_netlink_close(struct sbxi_netlink *message, size_t opened)
{
    if (message->length > sizeof message->bytes)
        return;
    struct rtattr *attribute = (struct rtattr *)(void *)(message->bytes + opened);
    attribute->rta_len = (unsigned short)(message->length - opened);
}

/* One message from the kernel, the header checked: its length. */
static ssize_t receive(int socket, void *bytes, size_t size)
{
    for (;;) {
        struct nlmsghdr header;
        struct sockaddr_nl from = {0};
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(socket, bytes, size, 0, (struct sockaddr *)&from, &length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (from.nl_pid != 0) /* anybody may write to a netlink socket; the kernel is 0 */
            continue;
        if ((size_t)n < sizeof header)
            return -EBADMSG;
        memcpy(&header, bytes, sizeof header);
        return header.nlmsg_len < sizeof header || header.nlmsg_len > (size_t)n ? -EBADMSG : n;
    }
}

/* How the one request that is under way went. */
static int receive_answer(int socket)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char more[512]; /* the request again, if it failed */
    } answer;
    ssize_t n = receive(socket, &answer, sizeof answer);
    if (n < 0)
        return (int)n;
    if ((size_t)n < sizeof answer.header + sizeof answer.error ||
        answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error > 0)
        return -EBADMSG;
    return answer.error.error;
}

static int send_request(int socket, struct sbxi_netlink *message)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (message->length > sizeof message->bytes)
        return -E2BIG;
    ((struct nlmsghdr *)(void *)message->bytes)->nlmsg_len = (uint32_t)message->length;
    ssize_t n = sendto(socket, message->bytes, message->length, MSG_NOSIGNAL,
                       (struct sockaddr *)&kernel, sizeof kernel);
    return n < 0 ? -errno : 0;
}

int sbxi_netlink_call(int socket, struct sbxi_netlink *message)
{
    int r = send_request(socket, message);
    return r < 0 ? r : receive_answer(socket);
}

int sbxi_netlink_get_u8(int socket, struct sbxi_netlink *message, size_t body, uint16_t type)
{
    char reply[8192];
    struct nlmsghdr header;
    struct rtattr attribute;
    int value = -ENOENT, r = send_request(socket, message);
    ssize_t n = r < 0 ? r : receive(socket, reply, sizeof reply);
    if (n < 0)
        return (int)n;
    memcpy(&header, reply, sizeof header);
    if (header.nlmsg_type == NLMSG_ERROR)
        return -EPROTO; /* it is not there to be asked */
    for (size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(body); at + sizeof attribute < header.nlmsg_len;
         at += RTA_ALIGN(attribute.rta_len)) {
        memcpy(&attribute, reply + at, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > header.nlmsg_len - at)
            return -EBADMSG;
        if (attribute.rta_type == type && attribute.rta_len > sizeof attribute)
            value = (uint8_t)reply[at + sizeof attribute];
    }
    r = receive_answer(socket);
    return r < 0 ? r : value;
}

static int open_here(uint32_t groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    struct timeval timeout = {.tv_sec = ANSWER_S};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0)
        return fd;
    int r = -errno;
    if (fd >= 0)
        close(fd);
    return r;
}

/*
 * Is @socket one of @netns? What goes through it as root changes cards: it is asked once more, of the kernel, before it is used.
 * Who may not ask (EPERM) may not change anything there either.
 */
static bool is_of(int socket, int netns)
{
    struct stat is, should;
    int fd = ioctl(socket, SIOCGSKNS);
    if (fd < 0)
        return errno == EPERM || errno == ENOTTY;
    bool same = fstat(fd, &is) == 0 && fstat(netns, &should) == 0 && is.st_ino == should.st_ino &&
                is.st_dev == should.st_dev;
    close(fd);
    return same;
}

/*
 * A process that enters cannot come back to a user namespace, nor a thread be asked to go: so a child does, which has our
 * table of descriptors and leaves the socket in it.
 */
int sbxi_netlink_socket(int userns, int netns, uint32_t groups)
{
    struct clone_args args = {.flags = CLONE_FILES};
    int pipe[2], r = -ECHILD;
    if (netns < 0)
        return open_here(groups);
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return -errno;
    long pid = sbxi_clone3(&args);
    if (pid == 0) {
        bool entered =
            (userns < 0 || setns(userns, CLONE_NEWUSER) == 0) && setns(netns, CLONE_NEWNET) == 0;
        r = entered ? open_here(groups) : -errno;
        (void)!write(pipe[1], &r, sizeof r);
        _exit(0);
    }
    if (pid < 0)
        r = -errno;
    else
        while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
            continue;
    close(pipe[1]);
    if (pid > 0 && read(pipe[0], &r, sizeof r) != (ssize_t)sizeof r)
        r = -ECHILD;
    close(pipe[0]);
    if (r >= 0 && !is_of(r, netns)) {
        close(r);
        return -EXDEV;
    }
    return r;
}
