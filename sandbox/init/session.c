/* SPDX-License-Identifier: MIT */
/*
 * Sessions: processes that are started while the payload runs, with the payload's confinement. PID 1 only forks, and holds
 * for each its control socket: signals come in, its end goes out. Nothing of what is to be run is ever in our memory.
 *
 *   (free) ── SBXI_START, fork ──▶ running ── reaped: ENDED, closed ──▶ (free)
 *                                     └── the other end is closed: killed, then as above
 *
 * The other end is held by whoever asked: nothing here waits for it.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "init.h"

static struct session {
    pid_t pid; /* 0: free */
    int fd;    /* -1: nobody listens any more */
} sessions[SBXI_MAX_SESSIONS];

static void refuse(int fd, int err)
{
    const struct sbxi_event event = {.type = SBXI_FAILED, .step = SBXI_FORK, .err = err};
    send(fd, &event, sizeof event, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static _Noreturn void become_session(const struct parcel *parcel)
{
    if (init_parcel_lay_out(parcel) < 0)
        _exit(127);
    init_run_session();
}

void init_session_start(struct parcel *parcel)
{
    size_t i = 0;
    while (i < SBXI_MAX_SESSIONS && sessions[i].pid)
        i++;
    pid_t pid = i < SBXI_MAX_SESSIONS ? fork() : -1;
    if (pid == 0)
        become_session(parcel);
    if (pid < 0) {
        refuse(parcel->fds[SBXI_SESSION_CONTROL], i < SBXI_MAX_SESSIONS ? errno : EMFILE);
    } else {
        sessions[i] = (struct session){pid, parcel->fds[SBXI_SESSION_CONTROL]};
        parcel->fds[SBXI_SESSION_CONTROL] = -1;
    }
    init_parcel_close(parcel);
}

size_t init_session_poll(struct pollfd *fds)
{
    size_t n = 0;
    for (size_t i = 0; i < SBXI_MAX_SESSIONS; i++)
        if (sessions[i].pid && sessions[i].fd >= 0)
            fds[n++] = (struct pollfd){.fd = sessions[i].fd, .events = POLLIN};
    return n;
}

static struct session *find(int fd)
{
    for (size_t i = 0; i < SBXI_MAX_SESSIONS; i++)
        if (sessions[i].pid && sessions[i].fd == fd)
            return &sessions[i];
    return NULL;
}

static void obey(struct session *s)
{
    struct sbxi_command command;
    ssize_t n = recv(s->fd, &command, sizeof command, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* who asked for it is gone, and it goes too */
        init_pass_on(s->pid, SIGKILL);
        close(s->fd);
        s->fd = -1;
    } else if (n == (ssize_t)sizeof command && command.type == SBXI_SIGNAL &&
               command.value < NSIG) {
        init_pass_on(s->pid, (int)command.value);
    }
}

void init_session_obey(const struct pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct session *s = fds[i].revents ? find(fds[i].fd) : NULL;
        if (s)
            obey(s);
    }
}

void init_session_reaped(pid_t pid, int status)
{
    const struct sbxi_event event = {.type = SBXI_ENDED, .status = status};
    for (size_t i = 0; i < SBXI_MAX_SESSIONS; i++) {
        if (sessions[i].pid != pid)
            continue;
        if (sessions[i].fd >= 0) {
            send(sessions[i].fd, &event, sizeof event, MSG_NOSIGNAL | MSG_DONTWAIT);
            close(sessions[i].fd);
        }
        sessions[i].pid = 0;
    }
}

/* ---- in the process of the session ---- */

const char *init_request_argv(const struct sbxi_request *request)
{
    return (const char *)(request + 1) + request->directory_length;
}

const char *init_request_env(const struct sbxi_request *request)
{
    return init_request_argv(request) + request->argv_length;
}

/* Is that @count strings? */
static bool is_block(const char *bytes, uint32_t length, uint32_t count)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < length; i++)
        found += bytes[i] == '\0';
    return found == count && (length == 0 || bytes[length - 1] == '\0');
}

static bool is_whole(const struct sbxi_request *r, size_t size)
{
    uint64_t length = (uint64_t)sizeof *r + r->directory_length + r->argv_length + r->env_length;
    return r->magic == SBXI_REQUEST_MAGIC && length == size && r->size == size && r->argc > 0 &&
           r->npassed <= SBXI_MAX_NAMED &&
           is_block((const char *)(r + 1), r->directory_length, 1) &&
           is_block(init_request_argv(r), r->argv_length, r->argc) &&
           is_block(init_request_env(r), r->env_length, r->envc);
}

/* Copied before it is looked at: who sent it can still write to it. */
int init_read_request(struct init *init, int fd)
{
    struct sbxi_request head;
    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head || head.size < sizeof head ||
        head.size > SBXI_MAX_REQUEST)
        return -EBADMSG;
    struct sbxi_request *request = malloc(head.size);
    if (!request)
        return -ENOMEM;
    if (pread(fd, request, head.size, 0) != (ssize_t)head.size || !is_whole(request, head.size))
        return -EBADMSG;
    init->request = request;
    const char *directory = (const char *)(request + 1);
    if (directory[0] && init->root < 0)
        init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = directory[0] ? init_change_directory(init, directory) : 0;
    return r < 0 ? init_fail(init, -r, "%s", directory) : 0;
}
