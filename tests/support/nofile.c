/* SPDX-License-Identifier: MIT */
#include "nofile.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static int exchange(pid_t whose, rlim_t *soft)
{
    struct rlimit limit;
    rlim_t before;

    if (prlimit(whose, RLIMIT_NOFILE, NULL, &limit) < 0)
        return -1;
    before = limit.rlim_cur;
    limit.rlim_cur = *soft;
    *soft = before;
    return prlimit(whose, RLIMIT_NOFILE, &limit, NULL);
}

static void *by_thread_id(void *arg)
{
    if (exchange(gettid(), arg) < 0)
        abort();
    return NULL;
}

rlim_t nofile_set(rlim_t soft)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, by_thread_id, &soft) != 0 || pthread_join(thread, NULL) != 0)
        abort();
    return soft;
}

rlim_t nofile_next(void)
{
    int next = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

    if (next < 0 || close(next) < 0)
        abort();
    return (rlim_t)next;
}
