/* SPDX-License-Identifier: MIT */
/* See ask.h. Nothing is remembered: the questions are rare, and each run asks each of them once at most. */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "cleanup.h"
#include "error.h"
#include "helper.h"

/* Descriptors of the user's go along: the policy's file may be one (/dev/fd/63). */
static int spawn(const char *path, const char *const *argv, int out, pid_t *ret)
{
    char *const env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn(ret, path, &actions, NULL, (char *const *)(uintptr_t)argv, env);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int read_exactly(int fd, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPROTO;
        done += (size_t)n;
    }
    return 0;
}

static int read_answer(int fd, struct sbxi_answer *answer, char *parts[2])
{
    int r = read_exactly(fd, answer, sizeof *answer);
    for (int i = 0; r == 0 && i < 2; i++) {
        uint32_t length = answer->lengths[i];
        if (length > SBXI_ANSWER_MAX || !(parts[i] = malloc((size_t)length + 1)))
            return length > SBXI_ANSWER_MAX ? -EPROTO : -ENOMEM;
        r = read_exactly(fd, parts[i], length);
        parts[i][length] = '\0';
    }
    return r;
}

int sbxi_ask(const char *const *argv,
             struct sbxi_answer *ret,
             char *ret_parts[2],
             struct sbx_error *error)
{
    char path[PATH_MAX], *parts[2] = {NULL, NULL};
    struct sbxi_answer answer = {0};
    pid_t pid;
    int pipe[2];
    _cleanup_close_ int program = sbxi_helper_open(SBXI_ANSWERER, path, error);
    if (program < 0)
        return program;
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return sbxi_error(error, errno, "%s: pipe: %s", path, strerror(errno));
    _cleanup_close_ int ours = pipe[0];
    int r = spawn(path, argv, pipe[1], &pid);
    close(pipe[1]);
    if (r == 0) {
        r = read_answer(ours, &answer, parts);
        sbxi_closep(&ours); /* one that has more to say shall not wait for us */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    if (r < 0)
        sbxi_error(error, -r, "%s: no answer: %s", path, strerror(-r));
    else if (answer.err)
        r = sbxi_error(error, answer.err, "%s", parts[0]);
    if (r < 0) {
        free(parts[0]);
        free(parts[1]);
        return r;
    }
    *ret = answer;
    ret_parts[0] = parts[0];
    ret_parts[1] = parts[1];
    return 0;
}
