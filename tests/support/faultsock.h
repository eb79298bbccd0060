/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_FAULTSOCK_H
#define UDS_TEST_FAULTSOCK_H

#include <stddef.h>

/*
 * A socket that misbehaves by script. Each call of sendmsg or recvmsg in libuds takes the first step that is for it
 * and is not used up; a call without a step goes to the kernel as it is.
 */

enum fault_call {
    FAULT_SEND,
    FAULT_RECV,
};

enum fault_what {
    FAULT_ERRNO, /* fails with -value, nothing happens */
    FAULT_LIMIT, /* at most value bytes go through */
    FAULT_CTRUNC, /* recv: the fds that came are closed, as the kernel does for want of descriptors */
    FAULT_PASS,   /* goes through: to place a later step */
};

struct fault {
    enum fault_call call;
    enum fault_what what;
    int value;
    unsigned times; /* 0: for ever */
};

/* @faults is borrowed until removed. */
void faultsock_install(struct fault *faults, size_t count);
void faultsock_remove(void);

/* How many calls came through since the last install. */
unsigned faultsock_sends(void);
unsigned faultsock_receives(void);

static inline void faultsock_removep(const int *unused)
{
    (void)unused;
    faultsock_remove();
}

/* For one test body: installs, and removes at its end. */
#define FAULTSOCK(...)                                                         \
    struct fault faults_[] = {__VA_ARGS__};                                    \
    int faultsock_scope_ __attribute__((cleanup(faultsock_removep), unused)) = \
        (faultsock_install(faults_, sizeof(faults_) / sizeof(faults_[0])), 0)

#endif
