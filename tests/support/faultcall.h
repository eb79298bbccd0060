/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_FAULTCALL_H
#define UDS_TEST_FAULTCALL_H

/*
 * System calls that fail by order, but for those that move messages (faultsock.h). Works in a program that is linked with --wrap
 * of each of them, for the calls of what is linked statically: libuds and the test itself.
 */

/* The formatter moves this list further to the right each time. */
/* clang-format off */
#define FAULTCALLS(X) \
    X(socket) X(connect) X(bind) X(listen) X(accept4) X(getsockopt) X(setsockopt) \
    X(getpeername) X(getsockname) X(fcntl) X(ioctl) X(open) X(openat) X(read) X(pread) \
    X(write) X(fstat) X(fstatat) X(stat) X(fstatfs) X(memfd_create) X(ftruncate) \
    X(fallocate) X(mmap) X(madvise) X(unlinkat) X(fchownat) X(fchmod) X(renameat2) X(flock) \
    X(getrandom) X(poll) X(syscall)
/* clang-format on */

enum faultcall {
#define FAULTCALL_NUMBER(name) FAULTCALL_##name,
    FAULTCALLS(FAULTCALL_NUMBER)
#undef FAULTCALL_NUMBER
    FAULTCALL_COUNT
};

const char *faultcall_name(enum faultcall call);

/* Counts from 0 again, and lets call number @nth (1: the next) of @call fail with @error, once; 0: none. */
void faultcall_arm(enum faultcall call, unsigned nth, int error);
/* The same, and every call of @call, which is read, pread or write, moves one byte at most. */
void faultcall_shorten(enum faultcall call);
/* No more of that: from here on calls are neither counted nor failed. */
void faultcall_disarm(void);

unsigned faultcall_count(enum faultcall call);

#endif
