/* SPDX-License-Identifier: MIT */
/*
 * Router: one process that parses peers' bytes, seen from the process that holds the privileges.
 *
 *   spawn ──▶ RUNNING ── it dies, breaks the protocol, or answers wrongly ──▶ (killed) ──▶ reaped, on_ended
 *                │                                                              ▲
 *                └──── close() ──▶ CLOSING ── it exits, or the grace is over ───┘
 *
 * It is fork+exec'd, not forked: it must not inherit our heap or layout. It gets the socketpair as
 * fd 3, /dev/null as 0 and 1, our stderr as 2 (so that it can say why it could not start), an empty
 * environment, and a session of its own (Ctrl-C is for us).
 *
 * What it sends is hostile: bodies of 4 KiB at most, one descriptor at most, and only calls to the
 * service that control.c makes. The end is seen by pidfd; a broken connection only leads to a kill.
 * Everything is torn down in one place, never inside a callback of the connection.
 */
#include "router.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <uds/error.h>
#include <uds/event.h>
#include <uds/pb.h>

#define ROUTER_MAX_BODY   4096u      /* of what it may send us */
#define ROUTER_QUEUE      (8u << 20) /* of what it has not read yet */
#define ROUTER_TIMEOUT_MS 30000      /* for an answer: after that it hangs */

struct router {
    struct router_options options;
    pid_t pid; /* 0 once reaped */
    int pidfd;
    struct event *process, *grace;
    uds_conn *conn;
    uds_rpc *rpc;
    uds_event *attached;
    uds_pb_server *server;
    uds_pb_stub *stub;
    unsigned pending; /* our calls without an answer */
    bool closing;     /* an end was asked for */
    bool freeing;     /* closures and callbacks mean nothing any more */
    char why[256];    /* of the kill, "" = it died by itself */
};

/* ---- birth ---- */

__attribute__((noreturn)) static void
run_child(const struct router_options *options, pid_t supervisor, int socket, int report)
{
    static char name[] = "uds-router", uid_option[] = "--uid", gid_option[] = "--gid", uid[16];
    char *arguments[] = {name, NULL, NULL, NULL, NULL, NULL};
    char *environment[] = {NULL};
    sigset_t none;
    int null, err;

    if (options->own_uid) {
        snprintf(uid, sizeof(uid), "%u", options->uid);
        arguments[1] = uid_option;
        arguments[2] = uid;
        arguments[3] = gid_option;
        arguments[4] = uid;
    }
    /* Until exec it holds all of our descriptors, and until it is registered nobody else would end it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(127);
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* First out of the way of 0–4, then into place. */
    socket = fcntl(socket, F_DUPFD_CLOEXEC, 8);
    report = fcntl(report, F_DUPFD_CLOEXEC, 8);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (socket >= 0 && report >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
        dup2(socket, 3) == 3 && dup3(report, 4, O_CLOEXEC) == 4 &&
        syscall(SYS_close_range, 5u, ~0u, 0u) == 0) {
        report = 4;
        execve(options->program, arguments, environment);
    }
    err = errno;
    (void)!write(report, &err, sizeof(err));
    _exit(127);
}

static int fail(struct sbx_error *error, int err, const char *what)
{
    error->err = err;
    snprintf(error->text, sizeof(error->text), "router: %.300s: %s", what, strerror(err));
    return -err;
}

/* Until exec has succeeded (the pipe closes) or failed (an errno comes). */
static int wait_for_exec(int report)
{
    int err = 0;
    ssize_t n;

    do
        n = read(report, &err, sizeof(err));
    while (n < 0 && errno == EINTR);
    return n == sizeof(err) ? err : 0;
}

static int start_process(struct router *r, int socket, struct sbx_error *error)
{
    pid_t supervisor;
    int report[2], err;

    if (pipe2(report, O_CLOEXEC) < 0)
        return fail(error, errno, "pipe");
    supervisor = getpid();
    r->pid = fork();
    if (r->pid == 0)
        run_child(&r->options, supervisor, socket, report[1]);
    err = r->pid < 0 ? errno : 0;
    close(report[1]);
    if (r->pid < 0) {
        r->pid = 0;
        close(report[0]);
        return fail(error, err, "fork");
    }
    r->pidfd = pidfd_open(r->pid, 0);
    err = r->pidfd < 0 ? errno : wait_for_exec(report[0]);
    close(report[0]);
    if (err)
        return fail(error, err, r->options.program);
    err = -sbx_cleaner_add_process(r->options.cleaner, r->pid, r->pidfd);
    return err ? fail(error, err, "register with the cleaner") : 0;
}

/* ---- end ---- */

void router_kill(struct router *r, const char *why)
{
    if (!r->pid || r->freeing)
        return;
    if (!r->why[0])
        snprintf(r->why, sizeof(r->why), "%s", why);
    (void)pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
}

static void describe_end(const siginfo_t *info, char *buf, size_t size)
{
    if (info->si_code == CLD_EXITED)
        snprintf(buf, size, "exited with code %d", info->si_status);
    else
        snprintf(buf, size, "killed by signal %d (%s)", info->si_status,
                 strsignal(info->si_status));
}

static void reap(struct router *r, siginfo_t *ret)
{
    *ret = (siginfo_t){0};
    while (waitid(P_PIDFD, (id_t)r->pidfd, ret, WEXITED) < 0 && errno == EINTR)
        ;
    (void)sbx_cleaner_remove_process(r->options.cleaner, r->pid);
    r->pid = 0;
}

static void on_process(evutil_socket_t fd, short what, void *arg)
{
    struct router *r = arg;
    char why[256];
    siginfo_t info;

    (void)fd;
    (void)what;
    reap(r, &info);
    event_del(r->process);
    if (r->why[0])
        snprintf(why, sizeof(why), "%s", r->why);
    else
        describe_end(&info, why, sizeof(why));
    r->options.callbacks.on_ended(why, r->options.arg);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct router *r = arg;
    char why[200];

    if (r->freeing || r->closing)
        return;
    /*
     * A router that died has closed its end as well: give the true cause, which the pidfd tells, a
     * moment.
     */
    if (error == -ECONNRESET || error == -EPIPE || error == 0) {
        evtimer_add(r->grace, &(struct timeval){.tv_sec = 1});
        return;
    }
    snprintf(why, sizeof(why), "killed: it broke the protocol (%.120s)",
             conn ? uds_conn_get_error_text(conn) : strerror(-error));
    router_kill(r, why);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    router_kill(arg, "killed: it closed its connection and did not end");
}

void router_close(struct router *r, int grace_ms)
{
    struct timeval grace = {.tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000};

    if (r->closing)
        return;
    r->closing = true;
    evtimer_add(r->grace, &grace);
    if (uds_conn_shutdown(r->conn, UDS_STATUS_OK, "the broker ends") == 0)
        (void)uds_conn_flush(r->conn);
}

struct router *router_free(struct router *r)
{
    siginfo_t info;

    if (!r)
        return NULL;
    if (r->pid) {
        if (r->pidfd >= 0) {
            (void)pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
            reap(r, &info);
        } else {
            kill(r->pid, SIGKILL);
            waitpid(r->pid, NULL, 0);
        }
    }
    r->freeing = true;
    uds_pb_stub_free(r->stub);
    uds_pb_server_free(r->server);
    uds_event_detach(r->attached);
    uds_rpc_free(r->rpc);
    uds_conn_unref(r->conn);
    if (r->process)
        event_free(r->process);
    if (r->grace)
        event_free(r->grace);
    if (r->pidfd >= 0)
        close(r->pidfd);
    free(r);
    return NULL;
}

/* ---- connection ---- */

static int connect_to(struct router *r, int socket, struct sbx_error *error)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    const struct uds_conn_callbacks callbacks = {.on_close = on_close};
    int result;

    options.max_body = ROUTER_MAX_BODY;
    options.max_fds = 1;
    options.arena_bytes = 0; /* no memory that the router can change under our eyes */
    options.send_queue_bytes = ROUTER_QUEUE;
    result = uds_conn_new(&r->conn, socket, &options);
    if (result < 0) {
        close(socket);
        return fail(error, -result, "connection");
    }
    result = uds_rpc_new(&r->rpc, r->conn, &callbacks, r);
    if (result == 0)
        result = uds_pb_serve(&r->server, r->rpc, r->options.service);
    if (result == 0)
        result =
            uds_pb_stub_new(&r->stub, r->rpc, NULL, NULL, &uds__supervisor__router__descriptor);
    if (result == 0)
        result = uds_event_attach_rpc(&r->attached, r->rpc, r->options.base);
    r->process = event_new(r->options.base, r->pidfd, EV_READ | EV_PERSIST, on_process, r);
    r->grace = evtimer_new(r->options.base, on_grace, r);
    if (result == 0 && (!r->process || !r->grace || event_add(r->process, NULL) < 0))
        result = -ENOMEM;
    return result < 0 ? fail(error, -result, "connection") : 0;
}

int router_spawn(struct router **ret, const struct router_options *options, struct sbx_error *error)
{
    struct router *r = calloc(1, sizeof(*r));
    int pair[2], result;

    if (!r)
        return fail(error, ENOMEM, "start");
    r->options = *options;
    r->pidfd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        result = fail(error, errno, "socketpair");
        free(r);
        return result;
    }
    result = start_process(r, pair[1], error);
    close(pair[1]);
    if (result < 0)
        close(pair[0]);
    else
        result = connect_to(r, pair[0], error);
    if (result < 0) {
        router_free(r);
        return result;
    }
    *ret = r;
    return 0;
}

pid_t router_get_pid(const struct router *r)
{
    return r->pid;
}

/* ---- calls ---- */

static void
answered(struct router *r, const Uds__Supervisor__Empty *answer, const char *method, bool vital)
{
    char text[200];
    uint32_t status;

    r->pending--;
    if (r->freeing)
        return;
    if (!answer) {
        status = uds_pb_stub_get_status(r->stub);
        snprintf(text, sizeof(text), "%s: %s%s%.100s", method, uds_status_name(status),
                 uds_pb_stub_get_detail(r->stub)[0] ? ": " : "", uds_pb_stub_get_detail(r->stub));
        if (status == UDS_STATUS_CALLEE_LOST || status == UDS_STATUS_CANCELLED)
            return; /* the connection ended: on_close() and the pidfd see to it */
        if (vital || status == UDS_STATUS_DEADLINE || status == UDS_STATUS_QUOTA)
            router_kill(r, text);
        else
            r->options.callbacks.on_warning(text, r->options.arg);
    } else if (r->pending == 0) {
        r->options.callbacks.on_settled(r->options.arg);
    }
}

static void on_configured(const Uds__Supervisor__Empty *answer, void *arg)
{
    answered(arg, answer, "Configure", true);
}

static void on_listener(const Uds__Supervisor__Empty *answer, void *arg)
{
    answered(arg, answer, "AddListener", true);
}

static void on_link(const Uds__Supervisor__Empty *answer, void *arg)
{
    answered(arg, answer, "AddLink", false);
}

static void on_changed(const Uds__Supervisor__Empty *answer, void *arg)
{
    answered(arg, answer, "SandboxChanged", false);
}

static ProtobufCService *next_call(struct router *r, const int *fd)
{
    r->pending++;
    uds_pb_stub_next_timeout(r->stub, ROUTER_TIMEOUT_MS);
    uds_pb_stub_next_fds(r->stub, fd, fd ? 1 : 0);
    return uds_pb_stub_service(r->stub);
}

void router_configure(struct router *r, const Uds__Supervisor__Configuration *configuration)
{
    uds__supervisor__router__configure(next_call(r, NULL), configuration, on_configured, r);
}

void router_add_listener(struct router *r, const Uds__Supervisor__Listener *listener, int fd)
{
    uds__supervisor__router__add_listener(next_call(r, &fd), listener, on_listener, r);
}

void router_add_link(struct router *r, const Uds__Supervisor__Link *link, int fd)
{
    uds__supervisor__router__add_link(next_call(r, &fd), link, on_link, r);
}

void router_sandbox_changed(struct router *r, const Uds__Supervisor__Sandbox *sandbox)
{
    uds__supervisor__router__sandbox_changed(next_call(r, NULL), sandbox, on_changed, r);
}
