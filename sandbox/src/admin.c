/* SPDX-License-Identifier: MIT */
/*
 * The admin socket of a launcher. Who may ask is its own user, outside of any sandbox (peer.c). A request has a fixed size;
 * of what is to be run we pass descriptors on, unread, to the sandbox's init.
 *
 * A peer that connects and is silent holds one of a few places until another wants it.
 */

#include "admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleaner.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "peer.h"
#include "request.h"
#include "rundir.h"
#include "running.h"

enum {
    MAX_PEERS = 16,
    MAX_EVENTS = 8,
    MOST = SBXI_SESSION_MOST - 1 /* descriptors: the last is ours to add */
};

struct sbx_admin {
    int listener, epoll, records;
    char name[80];
    struct sbxi_peer peers[MAX_PEERS];
    size_t next; /* the place that is given up when all are taken */
    struct sbxi_home home;
    sbx *sandboxes;            /* the latest first */
    int64_t added;             /* how many ever were */
    sbx_admin_start *on_start; /* NULL = nothing can be started here */
    void *on_start_arg;
};

static int bind_at(int fd, int directory, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name);
    fchmod(fd, 0600); /* what bind(2) makes has this mode from the start */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0)
        return -errno;
    return 0;
}

static int watch(sbx_admin *admin, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(admin->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_socket(sbx_admin *admin, const sbx_cleaner *cleaner)
{
    int r = sbxi_peer_find_home(&admin->home);
    if (r < 0)
        return r;
    _cleanup_close_ int run =
        open(sbxi_cleaner_get_run_dir(cleaner), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (run < 0)
        return -errno;
    r = admin->records = sbxi_rundir_open_sub(run, "records", false);
    if (r < 0)
        return r;
    admin->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    admin->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (admin->listener < 0 || admin->epoll < 0)
        return -errno;
    sbxi_record_socket_name(admin->name, sbxi_cleaner_get_record_name(cleaner));
    r = bind_at(admin->listener, admin->records, admin->name);
    return r < 0 ? r : watch(admin, admin->listener);
}

int sbx_admin_new(sbx_admin **ret, sbx_cleaner *cleaner, struct sbx_error *error)
{
    sbx_admin *admin = calloc(1, sizeof *admin);
    if (!admin)
        return sbxi_error(error, ENOMEM, "admin socket: no memory");
    admin->listener = admin->epoll = admin->records = -1;
    for (size_t i = 0; i < MAX_PEERS; i++)
        admin->peers[i] = (struct sbxi_peer){.fd = -1, .pidfd = -1};
    int r = open_socket(admin, cleaner);
    if (r < 0) {
        sbx_admin_free(admin);
        return sbxi_error(error, -r, "admin socket: %s/records: %s",
                          sbxi_cleaner_get_run_dir(cleaner), strerror(-r));
    }
    *ret = admin;
    return 0;
}

int sbx_admin_get_fd(const sbx_admin *admin)
{
    return admin->epoll;
}

void sbx_admin_add(sbx_admin *admin, sbx *s)
{
    s->admin_since = sbxi_now_ms();
    if (s->admin) /* it has waited until now */
        return;
    s->admin = admin;
    s->admin_number = ++admin->added;
    s->admin_next = admin->sandboxes;
    admin->sandboxes = s;
}

void sbxi_admin_forget(sbx *s)
{
    sbx **at = s->admin ? &s->admin->sandboxes : NULL;
    while (at && *at && *at != s)
        at = &(*at)->admin_next;
    if (at && *at)
        *at = s->admin_next;
    s->admin = NULL;
}

sbx_admin *sbx_admin_free(sbx_admin *admin)
{
    if (!admin)
        return NULL;
    while (admin->sandboxes)
        sbxi_admin_forget(admin->sandboxes);
    if (admin->name[0] && admin->listener >= 0)
        unlinkat(admin->records, admin->name, 0);
    for (size_t i = 0; i < MAX_PEERS; i++)
        sbxi_peer_close(&admin->peers[i]);
    sbxi_closep(&admin->listener);
    sbxi_closep(&admin->epoll);
    sbxi_closep(&admin->records);
    free(admin);
    return NULL;
}

/* ---- who asks ---- */

static struct sbxi_peer *find_peer(sbx_admin *admin, int fd)
{
    size_t i = 0;
    while (i < MAX_PEERS && admin->peers[i].fd != fd)
        i++;
    return i < MAX_PEERS ? &admin->peers[i] : NULL;
}

/*
 * Told to epoll: that forgets what nobody has open any more, and a child of ours has copies until it is another program. We
 * would be told of the hang-up again and again, and not leave it a CPU to become that.
 */
static void drop(sbx_admin *admin, struct sbxi_peer *peer)
{
    if (peer->fd >= 0)
        epoll_ctl(admin->epoll, EPOLL_CTL_DEL, peer->fd, NULL);
    sbxi_peer_close(peer);
}

/* ---- what is asked ---- */

/* By number and not by place: between two questions others come and go. */
static void list(const sbx_admin *admin, int64_t before, struct sbxi_admin_answer *answer)
{
    struct sbx_listed *listed = &answer->listed;
    const sbx *s = admin->sandboxes;
    while (s && (s->finished || (before && s->admin_number >= before)))
        s = s->admin_next;
    if (!s) {
        answer->err = ENOENT;
        return;
    }
    answer->number = s->admin_number;
    snprintf(listed->name, sizeof listed->name, "%s", s->name);
    snprintf(listed->backend, sizeof listed->backend, "%s", s->report.backend);
    snprintf(listed->cgroup, sizeof listed->cgroup, "%s", s->report.cgroup);
    listed->init_pid = s->init_pid;
    listed->waiting = s->waiting;
    listed->launcher_pid = getpid();
    listed->host_uid = s->report.host_uid;
    listed->running_ms = sbxi_now_ms() - s->admin_since;
}

static sbx *find(const sbx_admin *admin, int64_t pid)
{
    sbx *s = admin->sandboxes;
    while (s && (s->init_pid != pid || s->finished))
        s = s->admin_next;
    return s;
}

static void change_limits(sbx_admin *admin,
                          const struct sbxi_admin_start *start,
                          struct sbxi_admin_answer *answer)
{
    struct sbx_error error = {0};
    sbx *s = find(admin, start->request.value);
    answer->err = s ? -sbx_set_limits(s, &start->limits, &error) : ESRCH;
    snprintf(answer->text, sizeof answer->text, "%.199s", error.text);
}

/* It is waited at, and written to: what it cannot be is refused while somebody is there to be told why. */
static int check_control(const struct sbxi_parcel *parcel, struct sbx_error *error)
{
    int fd = parcel->fds[SBXI_SESSION_CONTROL], domain = 0, type = 0;
    socklen_t size = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && domain == AF_UNIX &&
        type == SOCK_SEQPACKET)
        return 0;
    return sbxi_error(error, ENOTSOCK,
                      "admin socket: the first descriptor of a request is to be a connected "
                      "SOCK_SEQPACKET socket of AF_UNIX: its end comes through it");
}

static void start(sbx_admin *admin,
                  int64_t pid,
                  const struct sbxi_parcel *parcel,
                  struct sbxi_admin_answer *answer)
{
    struct sbx_error error = {0};
    sbx *s = find(admin, pid);
    int r = !s ? -ESRCH : check_control(parcel, &error);
    if (r == 0)
        r = sbxi_session_start(s, parcel, &error);
    answer->err = -r;
    snprintf(answer->text, sizeof answer->text, "%.199s", error.text);
}

static void take_fds(struct msghdr *message, struct sbxi_parcel *ret)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    ret->n = 0;
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return;
    ret->n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof *ret->fds;
    memcpy(ret->fds, CMSG_DATA(cmsg), ret->n * sizeof *ret->fds);
}

static void start_new(sbx_admin *admin,
                      const struct sbxi_admin_start *start,
                      struct sbxi_parcel *parcel,
                      struct sbxi_admin_answer *answer)
{
    struct sbx_error error = {0};
    sbx_request *request = NULL;
    int r = admin->on_start ? 0 : -ENOENT;
    if (r == 0 && parcel->n > 0)
        r = check_control(parcel, &error);
    if (r == 0 && parcel->n > 0)
        r = sbxi_request_new(&request, start, parcel);
    if (r == 0)
        r = admin->on_start(start->entry, request, admin->on_start_arg, &error);
    if (r < 0)
        sbx_request_end(request, NULL);
    answer->err = -r;
    snprintf(answer->text, sizeof answer->text, "%.199s", error.text);
}

void sbx_admin_set_start(sbx_admin *admin, sbx_admin_start *on_start, void *userdata)
{
    admin->on_start = on_start;
    admin->on_start_arg = userdata;
}

/* Returns whether it may ask again. */
static bool answer(sbx_admin *admin, int peer)
{
    struct sbxi_admin_start whole_request;
    const struct sbxi_admin_request *request = &whole_request.request;
    struct sbxi_admin_answer reply = {0};
    struct sbxi_parcel parcel = {.n = 0};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(MOST * sizeof(int))];
    struct iovec iov = {&whole_request, sizeof whole_request};
    /* Not the space, which alignment makes room for one more in. */
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = space,
                             .msg_controllen = CMSG_LEN(MOST * sizeof(int))};
    ssize_t n = recvmsg(peer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n >= 0)
        take_fds(&message, &parcel);
    bool lost = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    bool whole = n == (ssize_t)sizeof *request && !lost;
    if (whole && request->op == SBXI_ADMIN_LIST) {
        list(admin, request->value, &reply);
    } else if (whole && request->op == SBXI_ADMIN_EXEC && parcel.n >= SBXI_SESSION_PASSED) {
        start(admin, request->value, &parcel, &reply);
    } else {
        bool limits = n == (ssize_t)sizeof whole_request && request->op == SBXI_ADMIN_LIMITS;
        whole = n == (ssize_t)sizeof whole_request && !lost &&
                (limits || request->op == SBXI_ADMIN_START) &&
                (parcel.n == 0 || (!limits && parcel.n >= SBXI_SESSION_PASSED)) &&
                sbxi_admin_start_is_sound(&whole_request);
        if (whole && limits)
            change_limits(admin, &whole_request, &reply);
        else if (whole)
            start_new(admin, &whole_request, &parcel, &reply);
    }
    sbxi_parcel_close(&parcel);
    return whole && sbxi_send_fds(peer, &reply, sizeof reply, NULL, 0) >= 0;
}

static void serve(sbx_admin *admin, struct sbxi_peer *peer)
{
    int r = peer->pidfd >= 0 ? sbxi_peer_hear(peer) : 1;
    if ((r < 0 && r != -EAGAIN) || (r == 1 && !answer(admin, peer->fd)))
        drop(admin, peer);
}

static void admit(sbx_admin *admin)
{
    struct sbxi_peer peer;
    int fd = accept4(admin->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (sbxi_peer_admit(&peer, fd, &admin->home) < 0) {
        close(fd);
        return;
    }
    if (watch(admin, fd) < 0) {
        sbxi_peer_close(&peer);
        return;
    }
    struct sbxi_peer *place = find_peer(admin, -1);
    if (!place)
        place = &admin->peers[admin->next++ % MAX_PEERS];
    drop(admin, place);
    *place = peer;
    serve(admin, place); /* while we looked who it is, it has asked */
}

void sbx_admin_process(sbx_admin *admin)
{
    struct epoll_event events[MAX_EVENTS];
    struct sbxi_peer *peer;
    int n = epoll_wait(admin->epoll, events, MAX_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == admin->listener)
            admit(admin);
        else if ((peer = find_peer(admin, events[i].data.fd))) /* it may just have lost its place */
            serve(admin, peer);
    }
}
