/* SPDX-License-Identifier: MIT */
/*
 * What a decoder that was taken over might try. Each attempt is the real system call or the real message, and the answer
 * says what came back. "Refused by" is worked out from what can be observed here — mode bits, a control experiment on
 * an object of our own, the broker's words — and never assumed. An attempt that succeeds says so.
 */
#include "misbehave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <uds/error.h>
#include <uds/fdset.h>
#include <uds/pb.h>

#define CHILDREN_MAX 256 /* if nothing refuses, the host must survive it */

struct result {
    bool succeeded;
    char attempt[128], outcome[256], refused_by[512];
};

static void refused(struct result *result, int err)
{
    (void)snprintf(result->outcome, sizeof(result->outcome), "%s", strerrorname_np(err));
}

static void by(struct result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void by(struct result *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(result->refused_by, sizeof(result->refused_by), format, args);
    va_end(args);
}

static void succeeded(struct result *result, const char *what)
{
    result->succeeded = true;
    (void)snprintf(result->outcome, sizeof(result->outcome), "%s", what);
}

/* ---- files ---- */

static void open_passwd(struct result *result)
{
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    int err = errno;

    (void)snprintf(result->attempt, sizeof(result->attempt), "open /etc/passwd");
    if (fd >= 0) {
        succeeded(result, "opened");
        (void)close(fd);
        return;
    }
    refused(result, err);
    if (err == ENOENT && access("/etc", F_OK) < 0)
        by(result, "jail: there is no /etc in its root");
    else if (err == ENOENT)
        by(result, "jail: no such file in its root");
    else
        by(result, "permission: the file is there");
}

/* Could we write to a file of this owner and mode, if mode bits alone decided? */
static bool mode_permits(const struct stat *st, mode_t bits)
{
    if (st->st_uid == geteuid())
        return (st->st_mode & (bits << 6)) != 0;
    if (st->st_gid == getegid())
        return (st->st_mode & (bits << 3)) != 0;
    return (st->st_mode & bits) != 0;
}

static void who_refused_open(struct result *result, int image, const char *path, int err)
{
    struct stat st;
    int again = open(path, O_RDONLY | O_CLOEXEC);
    int again_err = errno;

    if (again >= 0)
        (void)close(again);
    if (fstat(image, &st) < 0)
        return;
    if (err == EROFS)
        by(result, "read-only mount");
    else if (again < 0 && again_err == EACCES && mode_permits(&st, 4))
        by(result, "Landlock: opening it even read-only fails, though mode %03o permits it",
           st.st_mode & 0777u);
    else if (err == EACCES && !mode_permits(&st, 2))
        by(result, "file mode %03o, and the file is not ours", st.st_mode & 0777u);
    else if (err == ENOENT)
        by(result, "jail: no such path in its root");
    else
        by(result, "kernel (mode %03o)", st.st_mode & 0777u);
}

static bool is_sealed_copy(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

static void reopen_image(struct result *result, int image)
{
    char path[64], byte;
    int fd, err;

    (void)snprintf(result->attempt, sizeof(result->attempt), "re-open the image read-write");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
    fd = open(path, O_RDWR | O_CLOEXEC);
    err = errno;
    if (fd < 0) {
        refused(result, err);
        who_refused_open(result, image, path, err);
        return;
    }
    /* A sealed copy opens, but the proof is in the writing. The same byte goes back: nothing is harmed. */
    if (pread(fd, &byte, 1, 0) == 1 && pwrite(fd, &byte, 1, 0) < 0) {
        refused(result, errno);
        by(result, is_sealed_copy(fd) ? "seals: it is a sealed copy, the file itself never came"
                                      : "kernel");
    } else {
        succeeded(result, "opened and written");
    }
    (void)close(fd);
}

static void fchmod_image(struct result *result, int image)
{
    struct stat st;
    int control = -1, r, err;

    (void)snprintf(result->attempt, sizeof(result->attempt), "fchmod the image");
    if (fstat(image, &st) < 0) {
        refused(result, errno);
        return;
    }
    r = fchmod(image, st.st_mode & 07777u); /* the mode that it has: nothing is harmed */
    err = errno;
    if (r == 0) {
        if (is_sealed_copy(image)) {
            (void)snprintf(result->outcome, sizeof(result->outcome), "changed a copy");
            by(result, "the broker: it handed over a sealed copy, the file itself never came");
        } else {
            succeeded(result, "changed");
        }
        return;
    }
    refused(result, err);
    if (uds_memfd_create("control", &control) == 0 && fchmod(control, 0600) < 0)
        by(result, "seccomp: fchmod fails on a file of our own as well");
    else if (st.st_uid != geteuid())
        by(result, "ownership: the file is not ours");
    else
        by(result, "kernel");
    if (control >= 0)
        (void)close(control);
}

/* ---- network and processes ---- */

static void connect_network(struct result *result, uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err;

    (void)snprintf(result->attempt, sizeof(result->attempt), "connect to 127.0.0.1:%u", port);
    if (sock < 0) {
        refused(result, errno);
        by(result, "seccomp or kernel: no internet socket at all");
        return;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(sock, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        succeeded(result, "connected");
        (void)close(sock);
        return;
    }
    err = errno;
    (void)close(sock);
    refused(result, err);
    if (err == ENETUNREACH || err == ECONNREFUSED || err == EADDRNOTAVAIL)
        by(result, "network namespace: the host listens there, this one is empty");
    else
        by(result, "kernel");
}

static void fork_without_end(struct result *result)
{
    pid_t children[CHILDREN_MAX];
    struct rlimit limit;
    size_t count = 0;
    int err = 0;

    (void)snprintf(result->attempt, sizeof(result->attempt), "fork without end");
    while (count < CHILDREN_MAX) {
        pid_t pid = fork();

        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                (void)pause();
        }
        if (pid < 0) {
            err = errno;
            break;
        }
        children[count++] = pid;
    }
    for (size_t i = 0; i < count; i++)
        (void)kill(children[i], SIGKILL);
    for (size_t i = 0; i < count; i++)
        (void)waitpid(children[i], NULL, 0);
    if (err == 0) {
        succeeded(result, "256 children and no end");
        return;
    }
    (void)snprintf(result->outcome, sizeof(result->outcome), "%s after %zu", strerrorname_np(err),
                   count);
    if (err != EAGAIN)
        by(result, "seccomp or kernel");
    else if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur <= CHILDREN_MAX)
        by(result, "RLIMIT_NPROC %llu", (unsigned long long)limit.rlim_cur);
    else
        by(result, "cgroup: pids limit (RLIMIT_NPROC is not it)");
}

/* ---- the broker ---- */

/* An answer that waits for the broker's. */
struct pending {
    struct result result;
    Thumbnail__MisbehaveReply_Closure closure;
    void *closure_data;
};

static void
answer(struct result *result, Thumbnail__MisbehaveReply_Closure closure, void *closure_data)
{
    Thumbnail__MisbehaveReply reply;

    thumbnail__misbehave_reply__init(&reply);
    reply.attempt = result->attempt;
    reply.succeeded = result->succeeded;
    reply.outcome = result->outcome;
    reply.refused_by = result->refused_by;
    closure(&reply, closure_data);
}

static void finish(struct pending *pending, uint32_t status, const char *detail, const char *rule)
{
    if (status == UDS_STATUS_OK) {
        succeeded(&pending->result, "accepted");
    } else {
        (void)snprintf(pending->result.outcome, sizeof(pending->result.outcome), "%s",
                       uds_status_name(status));
        by(&pending->result, "broker: %s%s%s", rule[0] != '\0' ? rule : detail,
           rule[0] != '\0' && detail[0] != '\0' ? ": " : "", rule[0] != '\0' ? detail : "");
    }
    answer(&pending->result, pending->closure, pending->closure_data);
    free(pending);
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    (void)client;
    finish(arg, status, detail, rule);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    finish(arg, reply->status, reply->detail, reply->rule);
}

/* 0 the answer comes later; -errno @pending is still the caller's. */
static int publish(uds_client *client, struct pending *pending)
{
    struct uds_publish publish = UDS_PUBLISH_INIT;

    (void)snprintf(pending->result.attempt, sizeof(pending->result.attempt),
                   "publish on payroll.update");
    publish.subject = "payroll.update";
    publish.body = "raise";
    publish.body_len = 5;
    return uds_client_publish(client, &publish, on_ack, pending);
}

static int ask_admin(uds_client *client, struct pending *pending)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;

    (void)snprintf(pending->result.attempt, sizeof(pending->result.attempt),
                   "ask the broker for its list");
    request.subject = "$SYS.broker";
    request.method = "uds.admin.Broker/List";
    request.timeout_ms = 5000;
    return uds_client_request(client, &request, on_reply, pending, NULL);
}

static void ask_broker(int (*ask)(uds_client *client, struct pending *pending),
                       uds_client *client,
                       Thumbnail__MisbehaveReply_Closure closure,
                       void *closure_data)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    int r;

    if (pending == NULL) {
        uds_pb_call_fail(uds_pb_call_from(closure_data), UDS_STATUS_INTERNAL, 0, "out of memory");
        closure(NULL, closure_data);
        return;
    }
    pending->closure = closure;
    pending->closure_data = closure_data;
    r = ask(client, pending);
    if (r == 0)
        return;
    refused(&pending->result, -r);
    by(&pending->result, "our own library");
    answer(&pending->result, closure, closure_data);
    free(pending);
}

/* The directory goes onto the reply itself. If the reply arrives, it worked. */
static void send_directory(struct result *result, uds_pb_call *call)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : uds_pb_call_push_fd(call, fd);

    (void)snprintf(result->attempt, sizeof(result->attempt), "send a directory descriptor");
    if (r < 0) {
        refused(result, -r);
        by(result, "our own library");
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    succeeded(result, "sent");
}

void misbehave_answer(uds_client *client,
                      const Thumbnail__MisbehaveRequest *input,
                      Thumbnail__MisbehaveReply_Closure closure,
                      void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    struct result result = {.succeeded = false};
    const char *what = input->what;
    int image = uds_pb_call_get_fd_count(call) > 0 ? uds_pb_call_take_fd(call, 0) : -1;
    bool about_image = strcmp(what, "reopen-image-rw") == 0 || strcmp(what, "fchmod-image") == 0;

    if (about_image && image < 0) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "no image came with the request");
        closure(NULL, closure_data);
    } else if (strcmp(what, "publish-ungranted") == 0) {
        ask_broker(publish, client, closure, closure_data);
    } else if (strcmp(what, "ask-admin") == 0) {
        ask_broker(ask_admin, client, closure, closure_data);
    } else {
        if (strcmp(what, "open-passwd") == 0)
            open_passwd(&result);
        else if (strcmp(what, "connect-network") == 0)
            connect_network(&result, input->port);
        else if (strcmp(what, "fork-without-end") == 0)
            fork_without_end(&result);
        else if (strcmp(what, "send-directory-fd") == 0)
            send_directory(&result, call);
        else if (strcmp(what, "reopen-image-rw") == 0)
            reopen_image(&result, image);
        else if (strcmp(what, "fchmod-image") == 0)
            fchmod_image(&result, image);
        else
            uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "no such misbehaviour");
        answer(&result, closure, closure_data);
    }
    if (image >= 0)
        (void)close(image);
}
