/* SPDX-License-Identifier: MIT */
/*
 * Descriptors 0 and 1 are shared with the shell that started us, so they stay blocking; they are read and written only
 * when poll(2) says that this will not block.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <sys/ioctl.h>

enum {
    ESCAPE = 0x1d, /* Ctrl-] */
    ESCAPES = 3
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void hang_up(struct terminal *t)
{
    if (t->peer >= 0)
        (void)close(t->peer);
    if (t->master >= 0)
        (void)close(t->master);
    t->master = t->peer = -1;
}

static void make_raw(struct terminal *t)
{
    struct termios raw;
    if (tcgetattr(0, &t->saved) < 0)
        return;
    raw = t->saved;
    cfmakeraw(&raw);
    t->raw = tcsetattr(0, TCSADRAIN, &raw) == 0;
}

static void restore(struct terminal *t)
{
    if (t->raw)
        (void)tcsetattr(0, TCSADRAIN, &t->saved);
    t->raw = false;
}

bool terminal_in_background(void)
{
    pid_t front = tcgetpgrp(0);
    return front > 0 && front != getpgrp();
}

void terminal_leave(void)
{
    if (!terminal_in_background())
        return;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)dup2(fd, 0);
    (void)close(fd);
}

void terminal_begin(struct terminal *t, int master)
{
    t->used = master >= 0;
    t->master = master;
    t->peer = -1;
    if (!t->used)
        return;
    t->peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    make_raw(t);
    terminal_resize(t); /* it may have changed since the start */
}

bool terminal_is_used(const struct terminal *t)
{
    return t->used;
}

void terminal_resize(struct terminal *t)
{
    struct winsize size;
    if (t->master >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
        (void)ioctl(t->master, TIOCSWINSZ, &size);
}

void terminal_suspend(struct terminal *t)
{
    restore(t);
}

void terminal_resume(struct terminal *t)
{
    if (!t->used)
        return;
    make_raw(t);
    terminal_resize(t);
}

void terminal_want(const struct terminal *t, struct pollfd fds[TERMINAL_FDS])
{
    short master = 0;
    bool lives = t->used && t->master >= 0;
    if (lives && t->in.from < t->in.to)
        master |= POLLOUT;
    if (lives && t->out.from == t->out.to)
        master |= POLLIN;
    fds[0] = (struct pollfd){.fd = lives && t->in.from == t->in.to ? 0 : -1, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = t->used && t->out.from < t->out.to ? 1 : -1, .events = POLLOUT};
    fds[2] = (struct pollfd){.fd = master ? t->master : -1, .events = master};
}

/* False: the end of it. */
static bool fill(struct terminal_queue *queue, int fd)
{
    ssize_t n = read(fd, queue->bytes, sizeof queue->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    queue->from = 0;
    queue->to = n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* False: nobody takes it. */
static bool drain(struct terminal_queue *queue, int fd)
{
    ssize_t n = write(fd, queue->bytes + queue->from, queue->to - queue->from);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    queue->from += (size_t)n;
    return true;
}

static bool is_escape(struct terminal *t)
{
    for (size_t i = t->in.from; i < t->in.to; i++) {
        if (t->in.bytes[i] != ESCAPE || (t->escapes > 0 && now_ms() > t->escape_at + 1000))
            t->escapes = 0;
        if (t->in.bytes[i] != ESCAPE)
            continue;
        if (t->escapes == 0)
            t->escape_at = now_ms();
        if (++t->escapes == ESCAPES)
            return true;
    }
    return false;
}

/* What nobody reads any more is thrown away, so that the command does not wait for it. */
static void print(struct terminal *t)
{
    if (t->out_closed || !drain(&t->out, 1)) {
        t->out_closed = true;
        t->out.from = t->out.to;
    }
}

enum terminal_event terminal_pass_on(struct terminal *t, const struct pollfd fds[TERMINAL_FDS])
{
    if (!t->used)
        return TERMINAL_GOES_ON;
    if (fds[0].revents && !fill(&t->in, 0)) /* ours was hung up: so is the other */
        hang_up(t);
    else if (fds[0].revents && is_escape(t))
        return TERMINAL_ESCAPED;
    if (fds[1].revents)
        print(t);
    if (t->master < 0)
        return TERMINAL_GOES_ON;
    if ((fds[2].revents & POLLOUT) && !drain(&t->in, t->master))
        t->in.from = t->in.to;
    if ((fds[2].revents & (POLLIN | POLLHUP | POLLERR)) && t->out.from == t->out.to &&
        !fill(&t->out, t->master))
        hang_up(t);
    return TERMINAL_GOES_ON;
}

void terminal_end(struct terminal *t)
{
    if (!t->used)
        return;
    for (bool more = true; more && !t->out_closed;) {
        while (t->out.from < t->out.to && !t->out_closed)
            print(t);
        more = t->master >= 0 && fill(&t->out, t->master) && t->out.from < t->out.to;
    }
    hang_up(t);
    restore(t);
    t->used = false;
}
