/* SPDX-License-Identifier: MIT */
#include "attend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <sys/signalfd.h>

#include "terminal.h"

static const int forwarded[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1,
                                SIGUSR2, SIGCONT, SIGWINCH, SIGTSTP};

enum {
    INSISTS = 3
};

struct attending {
    const struct attended *attended;
    struct terminal terminal;
    unsigned insisted;
    uint64_t asked;
};

int attend_open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
        (void)sigaddset(&set, forwarded[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* The shell that started us gets its terminal as it was; when it lets us go on, SIGCONT comes and is passed on. */
static void stop(struct attending *a)
{
    if (!terminal_is_used(&a->terminal))
        (void)a->attended->signal(a->attended->thing, SIGSTOP);
    terminal_suspend(&a->terminal);
    (void)raise(SIGSTOP);
    terminal_resume(&a->terminal);
}

static void take_signal(struct attending *a, int signo)
{
    const struct attended *attended = a->attended;
    if (signo == SIGTSTP)
        stop(a);
    else if (terminal_is_used(&a->terminal) && (signo == SIGWINCH || signo == SIGCONT))
        terminal_resize(&a->terminal);
    else if ((signo == SIGINT || signo == SIGTERM) && ++a->insisted >= INSISTS)
        (void)attended->kill(attended->thing);
    else
        (void)attended->signal(attended->thing, signo);
    a->asked |= UINT64_C(1) << signo;
}

static int wait_for_end(struct attending *a, int signals, struct sbx_result *ret)
{
    const struct attended *attended = a->attended;
    struct signalfd_siginfo info;
    for (;;) {
        int r = attended->process(attended->thing, ret);
        if (r != 0)
            return r;
        struct pollfd fds[3 + TERMINAL_FDS] = {{.fd = attended->fd, .events = POLLIN},
                                               {.fd = signals, .events = POLLIN},
                                               {.fd = attended->more, .events = POLLIN}};
        terminal_want(&a->terminal, fds + 3);
        if (poll(fds, 3 + TERMINAL_FDS, attended->timeout(attended->thing)) < 0) {
            if (errno != EINTR)
                return -errno;
            continue;
        }
        if (fds[2].revents)
            attended->on_more(attended->arg);
        while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
            take_signal(a, (int)info.ssi_signo);
        if (terminal_pass_on(&a->terminal, fds + 3) == TERMINAL_ESCAPED)
            (void)attended->kill(attended->thing);
    }
}

int attend(const struct attended *attended,
           int signals,
           struct sbx_result *ret,
           uint64_t *ret_asked)
{
    struct attending a = {.attended = attended};
    terminal_begin(&a.terminal, attended->terminal);
    int r = wait_for_end(&a, signals, ret);
    terminal_end(&a.terminal);
    *ret_asked = a.asked;
    return r;
}
