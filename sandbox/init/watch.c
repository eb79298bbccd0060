/* SPDX-License-Identifier: MIT */
/*
 * PID 1 once the payload runs. It holds the control socket, a signalfd and one capability (CAP_KILL), reaps whatever is
 * orphaned, passes signals on, starts further processes (session.c), reads NOTIFY_SOCKET (notify.c) and is asked about memory
 * (memory.c). When the launcher's end of the control socket closes it exits, and being PID 1 it takes every process of the
 * namespace with it: a sandbox outlives nobody.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "init.h"
#include "without.h"

static uint32_t style;
static pid_t first;    /* the payload as it was started */
static pid_t main_pid; /* whose end is the sandbox's; MAINPID= chooses another than the first */
static int first_status = -1;

void init_send(const struct sbxi_event *event)
{
    /* Nobody left to hear it: the next poll sees the hang-up. */
    send(SBXI_FD_CONTROL, event, sizeof *event, MSG_NOSIGNAL);
}

/*
 * Without a pid namespace our exit ends nobody, but orphans become our children (subreaper): kill what is there until
 * nothing is. Bounded, because a fork bomb can be faster than this; the cgroup is what ends that one.
 */
void init_end_children(pid_t payload)
{
    char path[64], text[4096];
    kill(-payload, SIGKILL);
    kill(payload, SIGKILL);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (int round = 0; round < 1000; round++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        if (n <= 0)
            return;
        text[n] = '\0';
        char *next = text;
        for (long pid = strtol(next, &next, 10); pid > 0; pid = strtol(next, &next, 10))
            kill((pid_t)pid, SIGKILL);
        waitpid(-1, NULL, 0);
    }
}

static _Noreturn void report_end(pid_t payload, int status)
{
    struct sbxi_event event = {.type = SBXI_ENDED, .status = SBXI_WITHOUT("status") ? 0 : status};
    struct rusage usage;
    if (getrusage(RUSAGE_CHILDREN, &usage) == 0) {
        event.cpu_usec = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                         (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
        event.peak_kib = (uint64_t)usage.ru_maxrss;
    }
    init_memory_tell(&event);
    if (style &
        SBXI_S_BWRAP) { /* not the end of others in the namespace; ours comes after theirs */
        init_send(&event);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            continue;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    if (!(style & SBXI_S_PID1))
        init_end_children(payload);
    init_notify_finish();
    init_send(&event);
    _exit(0);
}

/* A chosen one that another process has reaped is known to be gone when the first is. */
static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(SBXI_WITHOUT("reap") ? first : -1, &status, WNOHANG)) > 0;) {
        if (pid == main_pid)
            report_end(main_pid, status);
        if (pid == first)
            first_status = status;
        init_session_reaped(pid, status);
    }
    if (first_status >= 0 && kill(main_pid, 0) < 0 && errno == ESRCH)
        report_end(main_pid, first_status);
}

void init_pass_on(pid_t payload, int signo)
{
    bool keys = signo == SIGINT || signo == SIGQUIT || signo == SIGHUP || signo == SIGWINCH ||
                signo == SIGCONT || signo == SIGSTOP || signo == SIGKILL;
    if (!keys || kill(-payload, signo) < 0)
        kill(payload, signo);
}

/* False: nobody is there any more, which only bubblewrap's outlive. */
static bool obey(pid_t payload)
{
    struct sbxi_command command;
    struct parcel parcel;
    ssize_t n = init_receive(SBXI_FD_CONTROL, &command, &parcel, MSG_DONTWAIT);
    bool gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (gone && (SBXI_WITHOUT("die") || ((style & SBXI_S_BWRAP) && !(style & SBXI_S_DIE))))
        return false;
    if (gone) {
        if (!(style & SBXI_S_PID1))
            init_end_children(payload);
        _exit(0);
    }
    if (parcel.n > 0)
        init_session_start(&parcel);
    else if (n == (ssize_t)sizeof command && command.type == SBXI_SIGNAL && command.value < NSIG &&
             !SBXI_WITHOUT("signals"))
        init_pass_on(payload, (int)command.value);
    return true;
}

_Noreturn void init_watch(pid_t payload, int signals, uint32_t how)
{
    style = how;
    first = main_pid = payload;
    struct pollfd fds[5 + SBXI_MAX_SESSIONS] = {{.fd = SBXI_FD_CONTROL, .events = POLLIN},
                                                {.fd = signals, .events = POLLIN},
                                                [4] = init_memory_poll()};
    for (;;) {
        struct signalfd_siginfo info;
        reap();
        int timeout = init_notify_wait(fds + 2);
        size_t n = init_session_poll(fds + 5);
        if (poll(fds, 5 + n, timeout) < 0)
            continue;
        init_memory_serve(fds + 4); /* who asked is waiting */
        init_session_obey(fds + 5, n);
        if (fds[1].revents)
            (void)!read(signals, &info, sizeof info);
        if (fds[0].revents && !obey(main_pid))
            fds[0].fd = -1;
        init_notify_serve(fds + 2, &main_pid);
    }
}
