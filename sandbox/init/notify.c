/* SPDX-License-Identifier: MIT */
/*
 * NOTIFY_SOCKET: bound by init inside its own root, so that nobody outside of this sandbox can send to it, read by PID 1,
 * which has no privilege on the host. What a message says goes to the launcher in a fixed size, with the descriptors that
 * are to be stored; all others are closed here.
 *
 * One message is dealt with at a time: a barrier's descriptor stays open, and the next message unread, until the launcher
 * says that it has seen all before it. Who sends more than a few hundred a second waits, because his queue is not read.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "init.h"
#include "notify-message.h"

enum {
    MAX_FDS = 253, /* of one message: SCM_MAX_FD */
    BURST = 200,   /* messages at once, and a second */
    THROTTLE_MS = 10
};

static struct {
    int socket, channel; /* -1: there is none */
    int barrier;         /* until the launcher has answered, else -1 */
    uint64_t store;      /* how many descriptors are kept for it, 0 = none */
    bool own_pids;
    unsigned tokens;
    uint64_t refilled_ms;
} notify = {.socket = -1, .channel = -1, .barrier = -1};

int init_notify_make(struct init *init, const struct sbxi_step *step)
{
    static const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "notify"};
    const char *path = init_a(init, step);
    char parent[64];
    int r = init_make_parents(init, step, path, 0755);
    if (r < 0)
        return r;
    size_t length = (size_t)(strrchr(path, '/') - path);
    memcpy(parent, path, length);
    parent[length] = '\0';
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), dir = init_resolve(init, parent);
    notify.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (here < 0 || notify.socket < 0)
        r = -errno;
    else if (dir < 0)
        r = dir;
    else if (fchdir(dir) < 0 ||
             bind(notify.socket, (const struct sockaddr *)&name, sizeof name) < 0 ||
             fchmodat(AT_FDCWD, name.sun_path, 0666, 0) < 0 || fchdir(here) < 0)
        r = -errno;
    if (here >= 0)
        close(here);
    if (dir >= 0)
        close(dir);
    notify.channel = init->tree[step->slot];
    notify.store = step->args[0];
    notify.own_pids = init->blob->style & SBXI_S_PID1;
    notify.tokens = BURST;
    return r;
}

int init_notify_keep(int fds[2])
{
    fds[0] = notify.socket;
    fds[1] = notify.channel;
    return notify.socket < 0 ? 0 : 2;
}

void init_notify_moved(int socket, int channel)
{
    notify.socket = socket;
    notify.channel = channel;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void refill(void)
{
    uint64_t now = now_ms(), more = (now - notify.refilled_ms) * BURST / 1000;
    if (more == 0)
        return;
    notify.tokens = more >= BURST - notify.tokens ? BURST : notify.tokens + (unsigned)more;
    notify.refilled_ms = now;
}

int init_notify_wait(struct pollfd fds[2])
{
    bool quiet = notify.socket < 0 || notify.barrier >= 0;
    if (!quiet)
        refill();
    bool throttled = !quiet && notify.tokens == 0;
    fds[0] = (struct pollfd){.fd = quiet || throttled ? -1 : notify.socket, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = notify.channel, .events = POLLIN};
    return throttled ? THROTTLE_MS : -1;
}

struct received {
    char text[SBXI_NOTIFY_MAX];
    size_t length;
    int fds[MAX_FDS];
    size_t nfds;
    int flags;
};

/* Of control messages only descriptors come, in one, where nothing else was asked for. */
static void take_fds(struct received *m, struct msghdr *msg)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return;
    m->nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(m->fds, CMSG_DATA(c), m->nfds * sizeof(int));
}

static bool receive(struct received *m)
{
    static union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = m->text, .iov_len = sizeof m->text};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(notify.socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return false;
    m->length = (size_t)n;
    m->flags = msg.msg_flags;
    m->nfds = 0;
    take_fds(m, &msg);
    return true;
}

static void send_on(const struct sbxi_notify *n, const int *fds, size_t nfds)
{
    static union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)n, .iov_len = sizeof *n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = (socklen_t)CMSG_SPACE(nfds * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = (socklen_t)CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, nfds * sizeof(int));
    }
    sendmsg(notify.channel, &msg, MSG_NOSIGNAL); /* poll said that it has room */
}

/* Another process than the first is the one whose end counts. */
static void choose_main(struct sbxi_notify *n, pid_t *main_pid)
{
    if (!(n->bits & SBXI_N_MAINPID))
        return;
    if (!notify.own_pids)
        sbxi_notify_refuse(n, "MAINPID=%d: it needs a pid namespace of its own", n->mainpid);
    else if (kill(n->mainpid, 0) < 0)
        sbxi_notify_refuse(n, "MAINPID=%d: there is no such process", n->mainpid);
    else
        *main_pid = n->mainpid;
}

/*
 * close(2) of the last reference to a socket waits as long as its linger time says, and so may that of what has one in its
 * queue; an exit does not. So ours is never the last: a child has them too, until it has seen us close ours.
 */
static void close_strangers(const int *fds, size_t n)
{
    int gate[2];
    char never;
    if (n == 0)
        return;
    bool gated = pipe2(gate, O_CLOEXEC) == 0;
    if (gated && fork() == 0) {
        close(gate[1]);
        (void)!read(gate[0], &never, 1);
        _exit(0);
    }
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    if (!gated)
        return;
    close(gate[0]);
    close(gate[1]);
}

/* Takes those that stay open out of @m. */
static void deal_with(struct received *m, pid_t *main_pid)
{
    struct sbxi_notify n = {0};
    if (m->flags & MSG_TRUNC)
        sbxi_notify_refuse(&n, "a message above %u bytes", SBXI_NOTIFY_MAX);
    else if (m->flags & MSG_CTRUNC)
        sbxi_notify_refuse(&n, "descriptors of a message were lost: too many are open here");
    else
        sbxi_notify_parse(m->text, m->length, m->nfds, &n);
    choose_main(&n, main_pid);
    if ((n.bits & (SBXI_N_STORE | SBXI_N_FORGET)) && notify.store == 0) {
        sbxi_notify_refuse(&n, "%s: nothing is stored for it; a stack file's fdstore says how many",
                           n.bits & SBXI_N_STORE ? "FDSTORE=1" : "FDSTOREREMOVE=1");
        n.bits &= ~(uint32_t)(SBXI_N_STORE | SBXI_N_FORGET);
    }
    send_on(&n, m->fds, n.bits & SBXI_N_STORE ? m->nfds : 0);
    if ((n.bits & SBXI_N_BARRIER) && notify.channel >= 0) {
        notify.barrier = m->fds[0];
        m->nfds = 0;
    }
}

static void deal_with_next(pid_t *main_pid)
{
    static struct received message;
    if (!receive(&message))
        return;
    deal_with(&message, main_pid);
    close_strangers(message.fds, message.nfds);
}

static bool has_room(void)
{
    struct pollfd room = {.fd = notify.channel, .events = POLLOUT};
    return notify.channel < 0 || poll(&room, 1, 0) > 0;
}

void init_notify_serve(const struct pollfd fds[2], pid_t *main_pid)
{
    char answer;
    if (notify.socket < 0)
        return;
    if (fds[1].revents) {
        if (recv(notify.channel, &answer, sizeof answer, MSG_DONTWAIT) <= 0) {
            close(notify.channel); /* nobody listens; the control socket says when all is over */
            notify.channel = -1;
        }
        close_strangers(&notify.barrier, notify.barrier >= 0);
        notify.barrier = -1;
    }
    if (!fds[0].revents)
        return;
    if (has_room()) {
        notify.tokens--;
        deal_with_next(main_pid);
    } else {
        notify.tokens = 0; /* for a moment */
    }
}

void init_notify_finish(void)
{
    struct pollfd next = {.fd = notify.socket, .events = POLLIN};
    pid_t nobody;
    for (int i = 0; i < BURST && notify.socket >= 0 && poll(&next, 1, 0) > 0 && has_room(); i++)
        deal_with_next(&nobody);
}
