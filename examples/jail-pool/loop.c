/* SPDX-License-Identifier: MIT */
/* Three parsers at once in a poll loop: a sandbox is one descriptor and a time. What a parser prints is bounded. */
#define _GNU_SOURCE /* pipe2() */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    AT_ONCE = 3,
    ANSWER_MAX = 512
};

struct job {
    const char *file;
    sbx *s; /* NULL: this place is free */
    int out;
    size_t length;
    char answer[ANSWER_MAX];
};

int fail(const char *what, const char *why)
{
    fprintf(stderr, "pool: %s: %s\n", what, why);
    return 125;
}

static void begin(struct job *job, sbx_pool *pool, const char *const *command, const char *file)
{
    struct sbx_adoption what = SBX_ADOPTION_INIT;
    struct sbx_error error = {0};
    int out[2] = {-1, -1}, in = open(file, O_RDONLY | O_CLOEXEC), r = -1;

    if (in < 0 || pipe2(out, O_CLOEXEC) < 0) {
        fail(file, strerror(errno));
    } else {
        what.exec.argv = command;
        what.exec.stdio[0] = in;
        what.exec.stdio[1] = out[1];
        *job = (struct job){.file = file, .out = out[0]};
        r = sbx_pool_start(&job->s, pool, &what, &error);
        if (r < 0)
            fail(file, error.text);
    }
    close(in);
    close(out[1]);
    if (r < 0)
        close(out[0]);
}

/* Of a long answer the rest is read and forgotten. */
static ssize_t receive(struct job *job)
{
    char more[4096];
    ssize_t n = read(job->out, more, sizeof more), room = (ssize_t)(ANSWER_MAX - job->length);
    size_t take = (size_t)(n < 0 ? 0 : n < room ? n : room);

    memcpy(job->answer + job->length, more, take);
    job->length += take;
    return n;
}

static void look(struct job *job, const struct pollfd *ready)
{
    struct sbx_result result = SBX_RESULT_INIT;

    if (ready[1].revents)
        receive(job);
    if (!sbx_process(job->s, &result)) /* returns at once; also keeps the time */
        return;
    while (receive(job) > 0) /* nobody lives who could write more */
        continue;
    if (result.outcome == SBX_EXITED && result.value == 0)
        printf("%s: %.*s", job->file, (int)job->length, job->answer);
    else
        printf("%s: outcome %d, %llu\n", job->file, result.outcome,
               (unsigned long long)result.value);
    close(job->out);
    job->s = sbx_free(job->s);
}

void run(sbx_pool *pool, const char *const *command, char **files)
{
    struct job jobs[AT_ONCE] = {{0}};
    struct sbx_error error = {0};

    for (;;) {
        struct pollfd wait[2 * AT_ONCE];
        int timeout = -1, busy = 0, more;

        for (int i = 0; i < AT_ONCE; i++) {
            struct job *job = &jobs[i];
            if (!job->s && *files)
                begin(job, pool, command, *files++);
            int ms = job->s ? sbx_get_timeout(job->s) : -1;
            if (ms >= 0 && (timeout < 0 || ms < timeout))
                timeout = ms;
            wait[2 * i] = (struct pollfd){job->s ? sbx_get_fd(job->s) : -1, POLLIN, 0};
            wait[2 * i + 1] = (struct pollfd){job->s ? job->out : -1, POLLIN, 0};
            busy += job->s != NULL;
        }
        if (!busy && !*files)
            return;
        /* One a turn: there is always time for who is ready. */
        if ((more = sbx_pool_fill(pool, &error)) < 0)
            fail("fill", error.text);
        poll(wait, 2 * AT_ONCE, more == 1 || !busy ? 0 : timeout);
        for (int i = 0; i < AT_ONCE; i++)
            if (jobs[i].s)
                look(&jobs[i], &wait[2 * i]);
    }
}
