/* SPDX-License-Identifier: MIT */
/* See command.h. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/wait.h>

#include <uds/error.h>
#include <uds/fdset.h>

#include "verbs.h"

/* ---- the child ---- */

static int body_as_file(const uds_msg *msg)
{
    size_t len, done = 0;
    const char *body = uds_msg_peek_body(msg, &len);
    int fd;

    if (uds_memfd_create("request", &fd) < 0)
        return -1;
    while (done < len) {
        ssize_t n = write(fd, body + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

#define HEADER_PREFIX "UDS_HEADER_"

/* Those of a request that we were made for ourselves are none of this one's. */
static void forget_headers(void)
{
    for (char **entry = environ; *entry != NULL;) {
        char name[sizeof(HEADER_PREFIX) + UDS_HEAD_MAX]; /* no header makes a longer one */
        size_t len = strcspn(*entry, "=");

        if (strncmp(*entry, HEADER_PREFIX, strlen(HEADER_PREFIX)) != 0 || len >= sizeof(name)) {
            entry++;
            continue;
        }
        memcpy(name, *entry, len);
        name[len] = '\0';
        if (unsetenv(name) < 0) /* otherwise the next one is in its place now */
            entry++;
    }
}

/* As variables. The prefix is why a stranger who chooses names and values cannot set LD_PRELOAD or PATH. */
static void export_headers(const uds_msg *msg)
{
    char variable[sizeof(HEADER_PREFIX) + UDS_HEAD_MAX] = HEADER_PREFIX, text[UDS_HEAD_MAX + 1];
    const char *name, *value;
    size_t pos = 0, len;

    forget_headers();
    while (msg != NULL && uds_msg_next_header(msg, &pos, &name, &value, &len) == 1) {
        char *to = variable + strlen(HEADER_PREFIX);

        for (const char *from = name; *from != '\0'; from++) {
            bool small = *from >= 'a' && *from <= 'z', large = *from >= 'A' && *from <= 'Z';
            char kept = large || (*from >= '0' && *from <= '9') ? *from : '_';

            *to++ = (char)(small ? *from - 'a' + 'A' : kept);
        }
        *to = '\0';
        memcpy(text, value, len);
        text[len] = '\0';
        (void)setenv(variable, text, 0);
    }
}

/* Runs in the child. Descriptors are first moved above all targets: a target's number may be in use by another. */
static void
become_command(char **command, const uds_rpc_call *call, const uds_msg *msg, int in, int out)
{
    size_t count = msg == NULL ? 0 : uds_msg_get_fd_count(msg);
    int first_free = 3 + (int)count, moved[UDS_FDS_MAX];
    char text[32];
    sigset_t none;

    in = fcntl(in, F_DUPFD_CLOEXEC, first_free);
    out = fcntl(out, F_DUPFD_CLOEXEC, first_free);
    for (size_t i = 0; i < count; i++)
        moved[i] = fcntl(uds_msg_peek_fd(msg, i), F_DUPFD_CLOEXEC, first_free);
    for (size_t i = 0; i < count; i++)
        if (dup2(moved[i], 3 + (int)i) < 0)
            _exit(126);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    if (count > 0) {
        (void)snprintf(text, sizeof(text), "%zu", count);
        (void)setenv("LISTEN_FDS", text, 1);
        (void)snprintf(text, sizeof(text), "%d", getpid());
        (void)setenv("LISTEN_PID", text, 1);
    }
    (void)setenv("UDS_SUBJECT", uds_rpc_call_get_subject(call), 1);
    (void)setenv("UDS_METHOD", uds_rpc_call_get_method(call), 1);
    (void)setenv("UDS_SENDER", uds_rpc_call_get_sender(call), 1);
    export_headers(msg);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(command[0], command);
    cli_error("run: %s: %s", command[0], strerror(errno));
    _exit(127);
}

/* ---- the parent ---- */

static void fail(struct command *command, uint32_t status, const char *detail)
{
    command->status = status;
    (void)snprintf(command->detail, sizeof(command->detail), "%s", detail);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

bool command_start(struct command *command, char **argv, const uds_rpc_call *call)
{
    uds_rpc_call *mine = (uds_rpc_call *)(uintptr_t)call;
    const uds_msg *msg = uds_rpc_call_peek_msg(mine);
    int in = msg == NULL ? open("/dev/null", O_RDONLY | O_CLOEXEC) : body_as_file(msg);
    int out[2] = {-1, -1};

    *command = (struct command){.pid = -1, .pid_fd = -1, .out_fd = -1};
    if (in >= 0 && pipe2(out, O_CLOEXEC) == 0)
        command->pid = fork();
    if (command->pid == 0)
        become_command(argv, call, msg, in, out[1]);
    command->out_fd = out[0];
    if (command->pid > 0) {
        command->pid_fd = pidfd_open(command->pid, 0);
        (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    }
    if (command->pid < 0 || command->pid_fd < 0) {
        cli_error("run: %s: %s", argv[0], strerror(errno));
        command_kill(command, UDS_STATUS_INTERNAL, "the command could not be started");
    }
    close_fd(&in);
    close_fd(&out[1]);
    return command->status == UDS_STATUS_OK;
}

int command_fd(const struct command *command)
{
    return command->out_fd >= 0 ? command->out_fd : command->pid_fd;
}

bool command_is_running(const struct command *command)
{
    return command->out_fd >= 0;
}

static bool make_room(struct command *command)
{
    size_t larger = command->room == 0 ? 65536 : command->room * 2;
    char *output;

    if (command->len < command->room)
        return true;
    output = larger > 2 * COMMAND_OUTPUT_MAX ? NULL : realloc(command->output, larger);
    if (output == NULL)
        return false;
    command->output = output;
    command->room = larger;
    return true;
}

void command_read(struct command *command)
{
    ssize_t n;

    if (!make_room(command)) {
        command_kill(command, UDS_STATUS_TOO_LARGE, "the command prints more than 16 MiB");
        return;
    }
    n = read(command->out_fd, command->output + command->len, command->room - command->len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0)
        command->len += (size_t)n;
    if (command->len > COMMAND_OUTPUT_MAX)
        command_kill(command, UDS_STATUS_TOO_LARGE, "the command prints more than 16 MiB");
    else if (n <= 0)
        close_fd(&command->out_fd);
}

void command_drop(struct command *command, size_t n)
{
    if (n == 0)
        return;
    command->len -= n;
    memmove(command->output, command->output + n, command->len);
}

bool command_reap(struct command *command)
{
    int status;
    pid_t ended;

    if (command->pid <= 0)
        return true;
    ended = waitpid(command->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return false;
    command->pid = -1;
    if (ended < 0 || command->status != UDS_STATUS_OK)
        return true;
    if (WIFSIGNALED(status)) {
        fail(command, UDS_STATUS_INTERNAL, "");
        (void)snprintf(command->detail, sizeof(command->detail),
                       "the command was killed by signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        fail(command, UDS_STATUS_INTERNAL, "");
        (void)snprintf(command->detail, sizeof(command->detail), "the command exited with %d",
                       WEXITSTATUS(status));
    }
    return true;
}

void command_kill(struct command *command, uint32_t status, const char *detail)
{
    fail(command, status, detail);
    if (command->pid > 0)
        (void)kill(command->pid, SIGKILL);
    close_fd(&command->out_fd);
}

void command_free(struct command *command)
{
    if (command->pid > 0) {
        (void)kill(command->pid, SIGKILL);
        (void)waitpid(command->pid, NULL, 0);
    }
    close_fd(&command->out_fd);
    close_fd(&command->pid_fd);
    free(command->output);
    *command = (struct command){.pid = -1, .pid_fd = -1, .out_fd = -1};
}
