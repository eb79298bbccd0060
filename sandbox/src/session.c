/* SPDX-License-Identifier: MIT */
/*
 * A session as who asked for it sees it: a socket to the sandbox's init. What is to be run lies in a memfd, which nobody
 * reads but the process itself.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <uds/fdset.h>

#include "admin.h"
#include "cleanup.h"
#include "confinement.h"
#include "environment.h"
#include "error.h"
#include "running.h"

struct sbx_session {
    int control, terminal; /* -1: none, or taken */
    bool finished;
    char name[64];
    struct sbx_result result;
};

/* ---- what is to be run ---- */

static int write_blocks(int fd,
                        struct sbxi_request *request,
                        const struct sbxi_block *argv,
                        const struct sbxi_block *env,
                        const char *directory)
{
    size_t size = sizeof *request + strlen(directory) + 1 + argv->length + env->length;
    if (argv->failed || env->failed)
        return -ENOMEM;
    if (size > SBXI_MAX_REQUEST)
        return -E2BIG;
    request->magic = SBXI_REQUEST_MAGIC;
    request->size = (uint32_t)size;
    request->directory_length = (uint32_t)strlen(directory) + 1;
    request->argc = (uint32_t)argv->count;
    request->argv_length = (uint32_t)argv->length;
    request->envc = (uint32_t)env->count;
    request->env_length = (uint32_t)env->length;
    const struct iovec parts[] = {{request, sizeof *request},
                                  {(void *)(uintptr_t)directory, request->directory_length},
                                  {argv->bytes, argv->length},
                                  {env->bytes, env->length}};
    ssize_t n = writev(fd, parts, 4);
    return n == (ssize_t)size ? 0 : n < 0 ? -errno : -ENOSPC;
}

static struct sbxi_passed passed_of(const struct sbx_exec *exec)
{
    return (struct sbxi_passed){
        .fds = exec->fds, .nfds = exec->nfds, .env_fds = exec->env_fds, .nenv_fds = exec->nenv_fds};
}

static void add_environment(struct sbxi_block *env, const struct sbx_exec *exec)
{
    const struct sbxi_passed passed = passed_of(exec);
    for (const char *const *e = exec->env; e && *e; e++)
        if (!sbxi_passed_names(&passed, *e))
            sbxi_block_add(env, "", *e);
    sbxi_passed_add(&passed, env);
}

/* A memfd, or -errno. */
static int write_request(const struct sbx_exec *exec)
{
    struct sbxi_request request = {.has_terminal = exec->terminal,
                                   .npassed = (uint32_t)(exec->nfds + exec->nenv_fds)};
    struct sbxi_block argv = {0}, env = {0};
    int r = exec->terminal ? sbxi_terminal_read(&request.terminal, exec->terminal_like) : 0;
    if (r < 0)
        return r;
    _cleanup_close_ int fd = -1;
    r = uds_memfd_create("request", &fd);
    if (r < 0)
        return r;
    for (const char *const *a = exec->argv; *a; a++)
        sbxi_block_add(&argv, "", *a);
    add_environment(&env, exec);
    r = write_blocks(fd, &request, &argv, &env, exec->chdir ? exec->chdir : "");
    free(argv.bytes);
    free(env.bytes);
    return r < 0 ? r : sbxi_take_fd(&fd);
}

static int check(const struct sbx_exec *exec, const char *name, struct sbx_error *error)
{
    if (exec->size != sizeof *exec)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: exec: it is of another version; begin with SBX_EXEC_INIT",
                          name);
    if (!exec->argv || !exec->argv[0] || !exec->argv[0][0])
        return sbxi_error(error, EINVAL, "sandbox %s: exec: there is no command", name);
    if (exec->chdir && exec->chdir[0] != '/')
        return sbxi_error(error, EINVAL, "sandbox %s: exec: chdir: %s: use an absolute path", name,
                          exec->chdir);
    const struct sbxi_passed passed = passed_of(exec);
    int r = sbxi_stdio_check(exec->stdio, false, name, error);
    return r < 0 ? r : sbxi_passed_check(&passed, name, error);
}

void sbxi_parcel_close(struct sbxi_parcel *parcel)
{
    while (parcel->n > 0)
        sbxi_closep(&parcel->fds[--parcel->n]);
}

static int put(struct sbxi_parcel *parcel, int fd)
{
    if (fd < 0)
        return fd == -1 ? -errno : fd;
    parcel->fds[parcel->n++] = fd;
    return 0;
}

/* Copies, so that all are ours to close. In the order of enum sbxi_session_fd. */
static int fill(struct sbxi_parcel *parcel, int control, const struct sbx_exec *exec)
{
    const struct sbxi_passed passed = passed_of(exec);
    const struct sbx_named_fd *fd;
    int r = put(parcel, control);
    if (r == 0)
        r = put(parcel, write_request(exec));
    for (int i = 0; i < 3 && r == 0; i++)
        r = put(parcel, exec->terminal || exec->stdio[i] < 0
                            ? open("/dev/null", O_RDWR | O_CLOEXEC)
                            : fcntl(exec->stdio[i], F_DUPFD_CLOEXEC, 3));
    for (size_t i = 0; r == 0 && (fd = sbxi_passed_get(&passed, i)); i++)
        r = put(parcel, fcntl(fd->fd, F_DUPFD_CLOEXEC, 3));
    return r;
}

int sbxi_session_new(sbx_session **ret,
                     struct sbxi_parcel *ret_parcel,
                     const struct sbx_exec *exec,
                     const char *name,
                     struct sbx_error *error)
{
    int pair[2];
    int r = check(exec, name, error);
    if (r < 0)
        return r;
    sbx_session *session = calloc(1, sizeof *session);
    if (!session)
        return sbxi_error(error, ENOMEM, "sandbox %s: exec: no memory", name);
    session->control = session->terminal = -1;
    session->result = (struct sbx_result)SBX_RESULT_INIT;
    snprintf(session->name, sizeof session->name, "%s", name);
    ret_parcel->n = 0;
    r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
    if (r == 0) {
        session->control = pair[0];
        r = fill(ret_parcel, pair[1], exec);
    }
    if (r < 0) {
        sbxi_parcel_close(ret_parcel);
        sbx_session_free(session);
        return sbxi_error(error, -r, "sandbox %s: exec: %s", name,
                          r == -E2BIG ? "more than 4 MiB of arguments and environment"
                                      : strerror(-r));
    }
    *ret = session;
    return 0;
}

/* ---- asking ---- */

int sbxi_session_start(sbx *s, const struct sbxi_parcel *parcel, struct sbx_error *error)
{
    const struct sbxi_command command = {.type = SBXI_START};
    if (s->finished || s->ended)
        return sbxi_error(error, ESRCH, "sandbox: exec: it has ended");
    if (!s->plan)
        return sbxi_error(error, EOPNOTSUPP,
                          "sandbox: exec: bubblewrap's has no init that could be asked");
    if (s->waiting)
        return sbxi_error(error, EBUSY,
                          "sandbox %s: exec: it waits for its payload; sbx_adopt() starts it",
                          s->plan->name);
    if (s->cgroup && sbxi_cgroup_is_frozen(s->cgroup) > 0)
        return sbxi_error(error, EBUSY, "sandbox %s: exec: it is frozen; thaw it first",
                          s->plan->name);
    _cleanup_close_ int blob = sbxi_confinement_write(s->plan, s->cgroup != NULL);
    int r = blob;
    if (r >= 0) {
        struct sbxi_parcel all = *parcel;
        all.fds[all.n++] = blob;
        r = sbxi_send_fds(s->control, &command, sizeof command, all.fds, all.n);
    }
    return r < 0 ? sbxi_error(error, -r, "sandbox %s: exec: its init: %s", s->plan->name,
                              strerror(-r))
                 : 0;
}

int sbx_exec(sbx_session **ret, sbx *s, const struct sbx_exec *exec, struct sbx_error *error)
{
    sbx_session *session;
    struct sbxi_parcel parcel;
    int r = sbxi_session_new(&session, &parcel, exec, s->plan ? s->plan->name : "", error);
    if (r < 0)
        return r;
    r = sbxi_session_start(s, &parcel, error);
    sbxi_parcel_close(&parcel);
    if (r < 0)
        sbx_session_free(session);
    else
        *ret = session;
    return r;
}

/* ---- its life ---- */

int sbx_session_get_fd(const sbx_session *session)
{
    return session->control;
}

static void fail(sbx_session *session, const struct sbxi_event *event)
{
    struct sbx_error *error = &session->result.error;
    session->result.outcome = SBX_SETUP_FAILED;
    session->result.value = (uint64_t)event->err;
    sbxi_step_failed(error, session->name, event);
    session->finished = true;
}

static void end(sbx_session *session, const struct sbxi_event *event)
{
    struct sbx_result *result = &session->result;
    int status = event->status;
    result->outcome = WIFEXITED(status) ? SBX_EXITED : SBX_SIGNALED;
    result->value = (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    session->finished = true;
}

/* What the launcher says of a sandbox that was started for us. */
static void take_result(sbx_session *session, const struct sbxi_event *event)
{
    struct sbx_result *result = &session->result;
    bool known = event->step >= SBX_EXITED && event->step <= SBX_WATCHDOG;
    result->outcome = known ? (enum sbx_outcome)event->step : SBX_STOPPED;
    result->value = event->value;
    result->stats.cpu_usec = event->cpu_usec;
    result->stats.memory_peak_bytes = event->peak_kib * 1024;
    result->memory_refused = event->refused;
    result->memory_refused_bytes = event->refused_bytes;
    snprintf(result->error.text, sizeof result->error.text, "%s", event->detail);
    session->finished = true;
}

int sbx_session_process(sbx_session *session, struct sbx_result *ret_result)
{
    if (ret_result->size != sizeof *ret_result)
        return -EINVAL;
    struct sbxi_event event;
    int r = 0;
    while (!session->finished &&
           (r = sbxi_event_receive(session->control, &event, &session->terminal)) == 1) {
        if (event.type == SBXI_FAILED)
            fail(session, &event);
        else if (event.type == SBXI_ENDED)
            end(session, &event);
        else if (event.type == SBXI_RESULT)
            take_result(session, &event);
    }
    if (!session->finished && r == -EPIPE) { /* init is gone, and all with it */
        session->result.outcome = SBX_STOPPED;
        session->finished = true;
    }
    if (!session->finished)
        return r;
    *ret_result = session->result;
    return 1;
}

int sbx_session_wait(sbx_session *session, struct sbx_result *ret_result)
{
    for (;;) {
        struct pollfd fd = {.fd = session->control, .events = POLLIN};
        int r = sbx_session_process(session, ret_result);
        if (r != 0)
            return r;
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return -errno;
    }
}

int sbx_session_signal(sbx_session *session, int signo)
{
    struct sbxi_command command = {.type = SBXI_SIGNAL, .value = (uint32_t)signo};
    if (signo < 1 || signo >= NSIG)
        return -EINVAL;
    if (session->finished)
        return -ESRCH;
    int r = sbxi_send_fds(session->control, &command, sizeof command, NULL, 0);
    return r == -EPIPE ? -ESRCH : r;
}

int sbx_session_take_terminal(sbx_session *session)
{
    struct sbx_result result = SBX_RESULT_INIT;
    if (session->terminal < 0)
        (void)sbx_session_process(session, &result);
    if (session->terminal >= 0)
        return sbxi_take_fd(&session->terminal);
    return session->finished ? -ENOENT : -EAGAIN;
}

sbx_session *sbx_session_free(sbx_session *session)
{
    if (!session)
        return NULL;
    sbxi_closep(&session->control); /* which its init sees */
    sbxi_closep(&session->terminal);
    free(session);
    return NULL;
}
