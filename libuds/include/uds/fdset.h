/* SPDX-License-Identifier: MIT */
#ifndef UDS_FDSET_H
#define UDS_FDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/version.h>

/*
 * Descriptors on their way: what an fd *is* (kind, access, seals), whether it is what we want, and whether a memfd from a
 * stranger may be mapped.
 * Messages carry fds with the verbs push (we take yours on success), dup (yours stays), peek (borrow), take (you own it).
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * any, since: 0.1.
 */

UDS_BEGIN_DECLS

#define UDS_FDS_MAX 253 /* kernel SCM_MAX_FD, include/net/scm.h */
#define UDS_FDS_DEFAULT \
    16 /* what a receiver accepts per message unless it says otherwise; the D-Bus lesson, CVE-2014-3636 */

/* Kinds as bits, so that a policy is a mask. Directories, O_PATH, AF_UNIX sockets, namespaces and io_uring are hazards. */
enum uds_fd_kind {
    UDS_FD_MEMFD = 1u << 0,      /* sealed for good: F_SEAL_SHRINK, GROW and WRITE present */
    UDS_FD_MEMFD_OPEN = 1u << 1, /* a memfd without those seals */
    UDS_FD_FILE_RO = 1u << 2,    /* regular file, description opened read-only */
    UDS_FD_FILE_RW = 1u << 3,    /* regular file, writable description */
    UDS_FD_PIPE = 1u << 4,
    UDS_FD_EVENTFD = 1u << 5,
    UDS_FD_SOCKET_STREAM = 1u << 6, /* not AF_UNIX */
    UDS_FD_SOCKET_DGRAM = 1u << 7,  /* not AF_UNIX */
    UDS_FD_PIDFD = 1u << 8,
    UDS_FD_DEVICE = 1u << 9, /* character or block device */
    UDS_FD_DIRECTORY = 1u << 10,
    UDS_FD_PATH = 1u << 11, /* O_PATH of anything */
    UDS_FD_SOCKET_UNIX = 1u << 12,
    UDS_FD_NAMESPACE = 1u << 13,
    UDS_FD_IO_URING = 1u << 14,
    UDS_FD_OTHER = 1u << 15, /* whatever is left: epoll, timerfd, signalfd, bpf, … */
};

struct uds_fd_info {
    enum uds_fd_kind kind;
    uint32_t access; /* O_RDONLY, O_WRONLY or O_RDWR */
    uint32_t seals;  /* F_SEAL_* of a memfd, otherwise 0 */
    uint64_t size;   /* bytes, regular files and memfds */
    uint64_t dev, ino;
    uint32_t mode; /* st_mode */
    uint32_t uid, gid;
};

/**
 * uds_fd_classify() - what is this descriptor?
 * @fd:  any open descriptor
 * @ret: written on success only
 *
 * Uses fstat, fstatfs, fcntl, getsockopt, (on anonymous inodes only) poll, and once in a process memfd_create, so that
 * one without /proc and without a filesystem (the router) can call it. What such a process cannot tell apart is UDS_FD_OTHER: timerfd,
 * epoll, …, an eventfd whose counter is full, a busy io_uring, a pidfd before 6.9; so are regular files of kernel
 * file systems (/proc, /sys, cgroups), whose reads and writes are commands, and hugetlb and secret memory.
 *
 * Ownership: @fd stays the caller's.   Errors: -EBADF.   Blocking: never (fstat on a network filesystem may).
 * Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_fd_classify(int fd, struct uds_fd_info *ret);

/** uds_fd_kind_name() - "memfd", "file-ro", … as policies write it; static string, "other" if unknown. Since: 0.1. */
UDS_EXPORT const char *uds_fd_kind_name(enum uds_fd_kind kind);

/** uds_fd_kind_parse() - the reverse. Returns 0 and writes @ret_kind, or -EINVAL. @text not NULL. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_fd_kind_parse(const char *text, enum uds_fd_kind *ret_kind);

/**
 * uds_memfd_check() - may this memfd from a stranger be mapped?
 * @fd:         descriptor received from a peer
 * @limit_bytes: largest size that the caller wants
 * @ret_size:   its size, fixed from now on; written on success only
 *
 * Safe to map means: on tmpfs and not hugetlb, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE present, and as many
 * pages as it is long (st_blocks; where some lie behind its end it has cost its sender as much as it will cost you). A sealed
 * *sparse* memfd costs its sender nothing and is charged to whoever touches it first (measured: OOM-kills the reader);
 * read such a one with uds_memfd_read().
 *
 * Ownership: @fd stays the caller's.
 * Errors:    -EBADF; -EINVAL not a memfd on tmpfs; -EPERM a seal is missing; -EFBIG over @limit_bytes;
 *            -ENODATA sparse: pages are missing.
 * Blocking:  never.   Threads: any.   Since: 0.1.   See: fcntl(2) F_GET_SEALS, memfd_create(2).
 */
UDS_EXPORT UDS_NODISCARD int uds_memfd_check(int fd, uint64_t limit_bytes, uint64_t *ret_size);

/* What a description lets its holders do, as bits. */
#define UDS_FD_CAN_READ  1u
#define UDS_FD_CAN_WRITE 2u

/* What somebody wants of a descriptor. All that is set must hold. */
struct uds_fd_wants {
    /* sizeof(struct uds_fd_wants), as UDS_FD_WANTS_INIT sets it; anything else is -EINVAL */
    size_t size;
    uint32_t kinds;     /* enum uds_fd_kind bits: one of these; 0 allows nothing */
    uint32_t access;    /* UDS_FD_CAN_… bits that it must have */
    uint32_t no_access; /* UDS_FD_CAN_… bits that it must not have */
    /* F_SEAL_… that it must have: only memfds have any. F_SEAL_FUTURE_WRITE counts as what it is, not as F_SEAL_WRITE
     */
    uint32_t seals;
    uint64_t max_bytes; /* of a regular file or a memfd; 0 = any */
    /* safe to map, see uds_memfd_check(): no regular file is, for its owner may cut it under the mapping */
    bool mappable;
};
#define UDS_FD_WANTS_INIT UDS_INIT_0(uds_fd_wants)

enum uds_fd_reason {
    UDS_FD_FITS = 0,
    UDS_FD_WRONG_KIND,    /* not among kinds, or no memfd where one must be mappable */
    UDS_FD_WRONG_ACCESS,  /* lacks @bits of access, or has @bits of no_access */
    UDS_FD_SEALS_MISSING, /* @bits: which */
    UDS_FD_TOO_LARGE,
    UDS_FD_SPARSE, /* pages are missing: a reader that maps it pays for them */
};

/* What it is, and why it was refused. */
struct uds_fd_verdict {
    struct uds_fd_info info;
    enum uds_fd_reason reason; /* the first that applies, in the order above */
    uint32_t bits;
};

#define UDS_FD_VERDICT_TEXT 128 /* bytes that a verdict needs at most as text */

/**
 * uds_fd_check() - is this descriptor what we want?
 * @fd:      any open descriptor
 * @wants:   not NULL
 * @verdict: what it is, and why not; may be NULL. Written whenever the result is 0 or -EACCES
 *
 * What is said of kind, access and seals stays true as long as the descriptor is open; a size only where F_SEAL_SHRINK and
 * F_SEAL_GROW are there.
 *
 * Returns 0 it is.   Ownership: @fd stays the caller's.   Errors: -EACCES it is not; -EBADF; -EINVAL @wants->size.
 * Blocking:  never (fstat on a network filesystem may).   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_fd_check(int fd, const struct uds_fd_wants *wants, struct uds_fd_verdict *verdict);

/**
 * uds_fd_verdict_format() - a verdict for people: "memfd-open: lacks seals: write"
 * @buf:  receives a NUL-terminated text; UDS_FD_VERDICT_TEXT bytes always suffice
 * @size: bytes in @buf
 *
 * Ownership: none moves.   Errors: -ENOBUFS @buf is too small.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_fd_verdict_format(const struct uds_fd_verdict *verdict, char *buf, size_t size);

/**
 * uds_memfd_new() - make a memfd that its receiver can check, map and trust not to change
 * @data:   @len bytes, may be NULL when @len is 0; copied
 * @ret_fd: written on success only; CLOEXEC
 *
 * Every page written, sealed for good (SHRINK, GROW, WRITE, SEAL), not executable where the kernel has that (6.3): what
 * uds_memfd_check() accepts. For cargo: something that goes to several receivers, or that its receiver keeps. A large body
 * alone travels faster as a body.
 *
 * Ownership: the caller closes *@ret_fd.   Errors: -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EPERM the machine forbids memfds.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_memfd_new(const void *data, size_t len, int *ret_fd);

/**
 * uds_memfd_create() - make an empty memfd
 * @name:   for /proc; not NULL, at most 249 bytes
 * @ret_fd: written on success only; CLOEXEC
 *
 * It can be sealed, and is never executable where the kernel has that (6.3). With vm.memfd_noexec=2 kernels before 6.6
 * refuse a memfd that is made without saying so.
 *
 * Ownership: the caller closes *@ret_fd.   Errors: -EINVAL @name is too long; -EMFILE, -ENFILE, -ENOMEM.
 * Blocking:  never.   Threads: any.   Since: 0.1.   See: memfd_create(2).
 */
UDS_EXPORT UDS_NODISCARD int uds_memfd_create(const char *name, int *ret_fd);

/**
 * uds_memfd_seal() - make a memfd that the caller has filled what uds_memfd_new() makes
 * @fd: of uds_memfd_create(), or made with MFD_ALLOW_SEALING; no longer mapped for writing by anybody
 *
 * Ownership: @fd stays the caller's. On failure it may have some of the seals.
 * Errors:    -EBUSY mapped for writing; -ENODATA sparse: pages are missing; -EPERM sealed against seals; -EINVAL not a
 *            memfd on tmpfs; -EBADF.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_memfd_seal(int fd);

/**
 * uds_memfd_map() - map a memfd from a stranger for reading, if that is safe
 * @fd:          descriptor received from a peer
 * @limit_bytes: largest size that the caller wants
 * @ret_data:    where it is, read-only; @ret_size bytes that nobody can change any more. Both written on success only
 *
 * What uds_memfd_check() refuses is not mapped; uds_memfd_read() reads it all the same.
 *
 * Ownership: @fd stays the caller's, and may be closed at once; the mapping is given back by uds_memfd_unmap().
 * Errors:    as uds_memfd_check(); -EACCES @fd is not open for reading; -ENOMEM. An empty memfd is -EINVAL.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_memfd_map(int fd, uint64_t limit_bytes, const void **ret_data, size_t *ret_size);

/** uds_memfd_unmap() - the end of a mapping of uds_memfd_map(); NULL is fine. Since: 0.1. */
UDS_EXPORT void uds_memfd_unmap(const void *data, size_t size);

/**
 * uds_memfd_read() - copy what is in a memfd from a stranger, safe to map or not
 * @fd:          descriptor received from a peer; its offset is not moved
 * @limit_bytes: largest size that the caller wants
 * @ret_data:    memory of malloc(3), @ret_len bytes and a NUL behind them; written on success only
 *
 * By pread(2), so that neither a hole nor a file that shrinks meanwhile does harm: what is missing is not there. The sender can
 * change an unsealed one while it is read, but not the copy.
 *
 * Ownership: @fd stays the caller's; the caller frees *@ret_data.
 * Errors:    -EBADF, also not open for reading; -EINVAL not a file on tmpfs or hugetlbfs (a read elsewhere might wait); -EFBIG
 *            over @limit_bytes; -ENOMEM.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_memfd_read(int fd, uint64_t limit_bytes, void **ret_data, size_t *ret_len);

/**
 * uds_fd_send() - hand over one descriptor, without a connection
 * @socket: AF_UNIX, SEQPACKET or DGRAM; its O_NONBLOCK does not matter
 * @fd:     what to send
 *
 * One record of one zero byte that carries @fd: how a redial socket hands a fresh link to a client ($UDS_BROKER_REDIAL,
 * docs/protocol.md). Not for a socket on which a uds_conn speaks.
 *
 * Ownership: both stay the caller's; the receiver gets a duplicate of @fd.
 * Errors:    -EAGAIN the receiver does not empty its queue; -EPIPE, -ECONNRESET nobody is there; -ETOOMANYREFS too many
 *            descriptors of this user in flight; -EBADF; -ENOTSOCK; otherwise as sendmsg(2). Never SIGPIPE.
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_fd_send(int socket, int fd);

/**
 * uds_fd_close() - close a descriptor that came from a stranger
 * @fd: its owner gives it up; < 0 does nothing
 *
 * close(2) of the last reference waits where the owner of a TCP socket has set SO_LINGER, for as long as he has set.
 * This switches lingering off first. The library closes so whatever came with messages and nobody took, and its
 * connections; close in this way what you took. Three cases remain: somebody who shares the socket switches lingering on
 * again at the right moment; or is in a send(2) whose memory does not come (userfaultfd, FUSE), for which the switching
 * waits; and an AF_UNIX socket in whose queue such sockets lie. With a limit none of them does: see uds_fd_limit_closing().
 *
 * Ownership: @fd is closed.   Errors: none; errno is left as it was.
 * Blocking:  see above; and a file whose file system does not answer (FUSE, network) may wait in any close(2).
 * Threads:   any.   Since: 0.1.   See: socket(7) SO_LINGER.
 */
UDS_EXPORT void uds_fd_close(int fd);

/**
 * uds_fd_limit_closing() - let no peer hold up this process by what it makes us close
 * @usec: about how long one closing may wait, 1–999999; 0: no limit, as at the start
 *
 * For a single-threaded program that must go on whatever its peers send, as the broker must. Takes SIGALRM and
 * ITIMER_REAL for itself: a timer runs during each uds_fd_close() and during each closing of the library's own.
 *
 * Errors:  -EINVAL out of range; otherwise as sigaction(2).
 * Blocking: never.   Threads: before any connection is made, by the only thread.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_fd_limit_closing(uint32_t usec);

UDS_END_DECLS

#endif
