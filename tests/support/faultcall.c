/* SPDX-License-Identifier: MIT */

#include "faultcall.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

static struct script {
    bool armed;
    enum faultcall call;
    unsigned nth;
    int error;
    bool shorten;
    unsigned counts[FAULTCALL_COUNT];
} script;

const char *faultcall_name(enum faultcall call)
{
    static const char *const names[] = {
#define FAULTCALL_NAME(name) #name,
        FAULTCALLS(FAULTCALL_NAME)
#undef FAULTCALL_NAME
    };

    return names[call];
}

void faultcall_arm(enum faultcall call, unsigned nth, int error)
{
    script = (struct script){.armed = true, .call = call, .nth = nth, .error = error};
}

void faultcall_shorten(enum faultcall call)
{
    script = (struct script){.armed = true, .call = call, .shorten = true};
}

void faultcall_disarm(void)
{
    script.armed = false;
}

unsigned faultcall_count(enum faultcall call)
{
    return script.counts[call];
}

static bool fails(enum faultcall call)
{
    if (!script.armed)
        return false;
    script.counts[call]++;
    if (script.nth == 0 || call != script.call || script.counts[call] != script.nth)
        return false;
    errno = script.error;
    return true;
}

static size_t shortened(enum faultcall call, size_t len)
{
    return script.armed && script.shorten && call == script.call && len > 1 ? 1 : len;
}

/* NAME, what it returns, its failure, its parameters, and their names. */
#define WRAP(name, type, failure, parameters, arguments)                    \
    type __real_##name parameters;                                          \
    type __wrap_##name parameters;                                          \
    type __wrap_##name parameters                                           \
    {                                                                       \
        return fails(FAULTCALL_##name) ? failure : __real_##name arguments; \
    }

/* The same with one more word, which is there or not: the kernel's own calling convention does not mind. */
#define WRAP_VARIADIC(name, fixed, arguments, last)                    \
    int __real_##name fixed;                                           \
    int __wrap_##name fixed;                                           \
    int __wrap_##name fixed                                            \
    {                                                                  \
        va_list list;                                                  \
        uintptr_t word;                                                \
                                                                       \
        va_start(list, last);                                          \
        word = va_arg(list, uintptr_t);                                \
        va_end(list);                                                  \
        return fails(FAULTCALL_##name) ? -1 : __real_##name arguments; \
    }

WRAP(socket, int, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(connect, int, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(bind, int, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(listen, int, -1, (int fd, int backlog), (fd, backlog))
WRAP(accept4,
     int,
     -1,
     (int fd, struct sockaddr *sa, socklen_t *len, int flags),
     (fd, sa, len, flags))
WRAP(getsockopt,
     int,
     -1,
     (int fd, int level, int name, void *value, socklen_t *len),
     (fd, level, name, value, len))
WRAP(setsockopt,
     int,
     -1,
     (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len))
WRAP(getpeername, int, -1, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))
WRAP(getsockname, int, -1, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))
WRAP_VARIADIC(fcntl, (int fd, int command, ...), (fd, command, word), command)
WRAP_VARIADIC(ioctl, (int fd, unsigned long request, ...), (fd, request, word), request)
WRAP_VARIADIC(open, (const char *path, int flags, ...), (path, flags, word), flags)
WRAP_VARIADIC(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, word), flags)
WRAP(
    read, ssize_t, -1, (int fd, void *data, size_t len), (fd, data, shortened(FAULTCALL_read, len)))
WRAP(pread,
     ssize_t,
     -1,
     (int fd, void *data, size_t len, off_t at),
     (fd, data, shortened(FAULTCALL_pread, len), at))
WRAP(write,
     ssize_t,
     -1,
     (int fd, const void *data, size_t len),
     (fd, data, shortened(FAULTCALL_write, len)))
WRAP(fstat, int, -1, (int fd, struct stat *st), (fd, st))
WRAP(fstatat,
     int,
     -1,
     (int dir, const char *path, struct stat *st, int flags),
     (dir, path, st, flags))
WRAP(stat, int, -1, (const char *path, struct stat *st), (path, st))
WRAP(fstatfs, int, -1, (int fd, struct statfs *fs), (fd, fs))
WRAP(memfd_create, int, -1, (const char *name, unsigned flags), (name, flags))
WRAP(ftruncate, int, -1, (int fd, off_t size), (fd, size))
WRAP(fallocate, int, -1, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
WRAP(mmap,
     void *,
     MAP_FAILED,
     (void *at, size_t len, int prot, int flags, int fd, off_t from),
     (at, len, prot, flags, fd, from))
WRAP(madvise, int, -1, (void *at, size_t len, int advice), (at, len, advice))
WRAP(unlinkat, int, -1, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(fchownat,
     int,
     -1,
     (int dir, const char *path, uid_t uid, gid_t gid, int flags),
     (dir, path, uid, gid, flags))
WRAP(fchmod, int, -1, (int fd, mode_t mode), (fd, mode))
WRAP(renameat2,
     int,
     -1,
     (int from, const char *a, int to, const char *b, unsigned flags),
     (from, a, to, b, flags))
WRAP(flock, int, -1, (int fd, int operation), (fd, operation))
WRAP(getrandom, ssize_t, -1, (void *data, size_t len, unsigned flags), (data, len, flags))
WRAP(poll, int, -1, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))

/* With _FORTIFY_SOURCE it has another name. */
ssize_t __real___pread_chk(int fd, void *data, size_t len, off_t at, size_t room);
ssize_t __wrap___pread_chk(int fd, void *data, size_t len, off_t at, size_t room);
ssize_t __wrap___pread_chk(int fd, void *data, size_t len, off_t at, size_t room)
{
    return fails(FAULTCALL_pread)
               ? -1
               : __real___pread_chk(fd, data, shortened(FAULTCALL_pread, len), at, room);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
/* Takes six words where the caller gave fewer, as libc does: what lies behind them may be poisoned. */
__attribute__((no_sanitize_address)) long __wrap_syscall(long number, ...)
{
    uintptr_t words[6];
    va_list list;

    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        words[i] = va_arg(list, uintptr_t);
    va_end(list);
    return fails(FAULTCALL_syscall)
               ? -1
               : __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
