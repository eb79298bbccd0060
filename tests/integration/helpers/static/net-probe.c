/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a TCP connection, for tests of what a sandbox's network reaches and how fast it is.
 *
 *   net-probe serve PORT                 on every address; says "ready"
 *   net-probe hello ADDRESS PORT [MS]    prints what the server says, or why it is not reached (in MS)
 *   net-probe send|receive ADDRESS PORT KIB    prints KiB a second
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

static char buffer[65536];

static int die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

/* Bytes that went through, of @length. */
static size_t move(int fd, int out, size_t length)
{
    size_t done = 0;
    while (done < length) {
        size_t part = length - done < sizeof buffer ? length - done : sizeof buffer;
        ssize_t n = out ? send(fd, buffer, part, MSG_NOSIGNAL) : recv(fd, buffer, part, 0);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void answer(int fd)
{
    char order[32] = "";
    for (size_t i = 0; i < sizeof order - 1 && recv(fd, order + i, 1, 0) == 1; i++)
        if (order[i] == '\n')
            break;
    size_t kib = strtoul(order + 1, NULL, 10);
    if (order[0] == 'h')
        send(fd, "hello\n", 6, MSG_NOSIGNAL);
    else if (order[0] == 's' && move(fd, 0, kib * 1024) == kib * 1024)
        send(fd, "s", 1, MSG_NOSIGNAL);
    else if (order[0] == 'r')
        move(fd, 1, kib * 1024);
}

static int serve(unsigned short port)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int on = 1, listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (const struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 128) < 0)
        return die("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            answer(fd);
            _exit(0);
        }
        close(fd);
    }
}

static int dial(const char *address, unsigned short port, long patience_ms)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct timeval patience = {.tv_sec = patience_ms / 1000,
                                     .tv_usec = patience_ms % 1000 * 1000};
    int is_six = strchr(address, ':') != NULL;
    int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, address, &six.sin6_addr);
    inet_pton(AF_INET, address, &four.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* of connect, too */
    int r = is_six ? connect(fd, (const struct sockaddr *)&six, sizeof six)
                   : connect(fd, (const struct sockaddr *)&four, sizeof four);
    const struct timeval forever = {0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever);
    return r < 0 ? -1 : fd;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve((unsigned short)atoi(argv[2]));
    if (argc < 4)
        return 2;
    char order[32];
    unsigned long number = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    size_t bytes = number * 1024;
    long patience_ms = argv[1][0] == 'h' && number ? (long)number : 20000;
    int fd = dial(argv[2], (unsigned short)atoi(argv[3]), patience_ms);
    if (fd < 0)
        return die("connect");
    int length = snprintf(order, sizeof order, "%c%zu\n", argv[1][0], bytes / 1024);
    double start = now();
    if (send(fd, order, (size_t)length, MSG_NOSIGNAL) != length)
        return die("send");
    if (argv[1][0] == 'h') {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        return n > 0 ? write(1, buffer, (size_t)n) != n : die("receive");
    }
    if (argv[1][0] == 's' ? move(fd, 1, bytes) != bytes || move(fd, 0, 1) != 1
                          : move(fd, 0, bytes) != bytes)
        return die(argv[1]);
    printf("%.0f\n", (double)bytes / 1024 / (now() - start));
    return 0;
}
