/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_HOLDER_H
#define UDS_TEST_HOLDER_H

#include <pthread.h>

#include <sys/types.h>

/*
 * A thread in a system call on a descriptor whose memory does not come until somebody lets it (userfaultfd): what locks that
 * call takes it holds, and who waits for one of them in the kernel cannot even be killed.
 */
struct holder {
    int uffd, fd;
    ssize_t (*call)(int fd, void *page);
    void *page;
    pthread_t thread;
};

/* Of 8 bytes, at the description's offset or at 0. */
ssize_t holder_read(int fd, void *page);
ssize_t holder_pwrite(int fd, void *page);
ssize_t holder_send(int fd, void *page);

/* Returns when the thread waits for its page. Skips the test where there is no userfaultfd for us. */
void holder_begin(struct holder *holder, int fd, ssize_t (*call)(int fd, void *page));

void holder_end(struct holder *holder);

#endif
