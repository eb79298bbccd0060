/* SPDX-License-Identifier: MIT */
/*
 * What a descriptor from a stranger is, told without opening anything: by its flags, its socket options, its inode and
 * its file system. The router, which has no /proc and may not open files, decides by this whether an fd may travel.
 *
 * Whatever is not positively recognised is UDS_FD_OTHER, which no policy grants by default:
 *  - regular files of kernel file systems (proc, sysfs, cgroup, …), whose reads and writes are commands;
 *  - hugetlb and secret memory, which look like memfds and are none that a receiver could map and survive;
 *  - most anonymous inodes. They all share one inode; only the set of events that poll(2) reports tells some apart:
 *    an eventfd that can be written reports EPOLLOUT and never EPOLLWRNORM (fs/eventfd.c), an idle io_uring reports both
 *    and no EPOLLIN (io_uring.c), a file without a poll method reports all four. A saturated eventfd looks like a
 *    timerfd, and is OTHER;
 *  - pidfds before 6.9, which were anonymous inodes as well.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "socket/kernel.h"
#include "socket/memfd.h"

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const struct {
    enum uds_fd_kind kind;
    const char *name;
} names[] = {
    {UDS_FD_MEMFD, "memfd"},
    {UDS_FD_MEMFD_OPEN, "memfd-open"},
    {UDS_FD_FILE_RO, "file-ro"},
    {UDS_FD_FILE_RW, "file-rw"},
    {UDS_FD_PIPE, "pipe"},
    {UDS_FD_EVENTFD, "eventfd"},
    {UDS_FD_SOCKET_STREAM, "socket-stream"},
    {UDS_FD_SOCKET_DGRAM, "socket-dgram"},
    {UDS_FD_PIDFD, "pidfd"},
    {UDS_FD_DEVICE, "device"},
    {UDS_FD_DIRECTORY, "directory"},
    {UDS_FD_PATH, "path"},
    {UDS_FD_SOCKET_UNIX, "socket-unix"},
    {UDS_FD_NAMESPACE, "namespace"},
    {UDS_FD_IO_URING, "io-uring"},
    {UDS_FD_OTHER, "other"},
};

const char *uds_fd_kind_name(enum uds_fd_kind kind)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].kind == kind)
            return names[i].name;
    return "other";
}

int uds_fd_kind_parse(const char *text, enum uds_fd_kind *ret_kind)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, text) == 0) {
            *ret_kind = names[i].kind;
            return 0;
        }
    }
    return -EINVAL;
}

/* SOCK_STREAM over TCP, MPTCP or vsock; datagrams over UDP or UDP-Lite. Netlink, packet and raw sockets are OTHER. */
static enum uds_fd_kind socket_kind(int fd)
{
    int domain = 0, type = 0;
    socklen_t len = sizeof(domain);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
        return UDS_FD_OTHER;
    len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return UDS_FD_OTHER;
    if (domain == AF_UNIX)
        return UDS_FD_SOCKET_UNIX;
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_VSOCK)
        return UDS_FD_OTHER;
    if (type == SOCK_STREAM || type == SOCK_SEQPACKET)
        return UDS_FD_SOCKET_STREAM;
    return type == SOCK_DGRAM ? UDS_FD_SOCKET_DGRAM : UDS_FD_OTHER;
}

static enum uds_fd_kind anonymous_kind(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM};

    if (poll(&p, 1, 0) <= 0)
        return UDS_FD_OTHER;
    if ((p.revents & (POLLOUT | POLLWRNORM | POLLRDNORM | POLLERR | POLLHUP)) == POLLOUT)
        return UDS_FD_EVENTFD;
    if (p.revents == (POLLOUT | POLLWRNORM))
        return UDS_FD_IO_URING;
    return UDS_FD_OTHER;
}

static bool is_kernel_interface(unsigned long magic)
{
    static const unsigned long magics[] = {
        UDSI_MAGIC_PROC,       UDSI_MAGIC_SYSFS,    UDSI_MAGIC_CGROUP,    UDSI_MAGIC_CGROUP2,
        UDSI_MAGIC_DEBUGFS,    UDSI_MAGIC_TRACEFS,  UDSI_MAGIC_SELINUX,   UDSI_MAGIC_SECURITYFS,
        UDSI_MAGIC_BPF,        UDSI_MAGIC_BINFMTFS, UDSI_MAGIC_EFIVARFS,  UDSI_MAGIC_CONFIGFS,
        UDSI_MAGIC_MQUEUE,     UDSI_MAGIC_RESCTRL,  UDSI_MAGIC_HUGETLBFS, UDSI_MAGIC_SECRETMEM,
        UDSI_MAGIC_ANON_INODE,
    };

    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if (magics[i] == magic)
            return true;
    return false;
}

/*
 * The device of all memfds: the kernel's own mount of tmpfs, which nobody can name a file on (mm/shmem.c, shm_mnt). One
 * that is made and thrown away shows it; it is the same as long as the machine is up. 0: none could be made.
 */
static uint64_t memfd_device(void)
{
    static _Atomic uint64_t known;
    uint64_t device = atomic_load_explicit(&known, memory_order_relaxed);
    struct stat st;

    if (device != 0)
        return device;
    _cleanup_close_ int fd = -1;
    if (uds_memfd_create("uds-device", &fd) < 0 || fstat(fd, &st) < 0)
        return 0;
    atomic_store_explicit(&known, st.st_dev, memory_order_relaxed);
    return st.st_dev;
}

/*
 * A regular file on tmpfs is a memfd if it lies where memfds do. Without that knowledge: seals can be asked of every
 * tmpfs file, but one on a mounted tmpfs was born with F_SEAL_SEAL, so all three seals prove a memfd; a file without a
 * link is then taken for one, which is as hazardous.
 */
static bool is_memfd(const struct stat *st, int seals)
{
    uint64_t device = memfd_device();

    if (device != 0)
        return st->st_dev == device;
    return (seals & SEALED) == SEALED || st->st_nlink == 0;
}

static enum uds_fd_kind
regular_kind(unsigned long magic, const struct stat *st, int seals, int access)
{
    if (is_kernel_interface(magic))
        return UDS_FD_OTHER;
    if (magic == UDSI_MAGIC_TMPFS && seals >= 0 && is_memfd(st, seals))
        return (seals & SEALED) == SEALED ? UDS_FD_MEMFD : UDS_FD_MEMFD_OPEN;
    return access == O_RDONLY ? UDS_FD_FILE_RO : UDS_FD_FILE_RW;
}

static enum uds_fd_kind inode_kind(int fd, const struct stat *st, int seals, int access)
{
    struct statfs fs;

    if (S_ISSOCK(st->st_mode))
        return socket_kind(fd);
    if (S_ISDIR(st->st_mode))
        return UDS_FD_DIRECTORY;
    if (S_ISFIFO(st->st_mode))
        return UDS_FD_PIPE;
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        return UDS_FD_DEVICE;
    if (fstatfs(fd, &fs) < 0)
        return UDS_FD_OTHER;

    unsigned long magic = (unsigned long)fs.f_type & 0xffffffffUL;
    if (magic == UDSI_MAGIC_PIDFS)
        return UDS_FD_PIDFD;
    if (magic == UDSI_MAGIC_NSFS)
        return UDS_FD_NAMESPACE;
    if (S_ISREG(st->st_mode))
        return regular_kind(magic, st, seals, access);
    return magic == UDSI_MAGIC_ANON_INODE ? anonymous_kind(fd) : UDS_FD_OTHER;
}

int uds_fd_classify(int fd, struct uds_fd_info *ret)
{
    struct uds_fd_info info;
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &st) < 0)
        return -errno;
    memset(&info, 0, sizeof(info));
    info.access = (uint32_t)(flags & O_ACCMODE);
    info.dev = st.st_dev;
    info.ino = st.st_ino;
    info.mode = st.st_mode;
    info.uid = st.st_uid;
    info.gid = st.st_gid;
    if (flags & O_PATH) {
        info.kind = UDS_FD_PATH;
        *ret = info;
        return 0;
    }

    int seals = fcntl(fd, F_GET_SEALS);
    info.kind = inode_kind(fd, &st, seals, flags & O_ACCMODE);
    if (info.kind == UDS_FD_MEMFD || info.kind == UDS_FD_MEMFD_OPEN)
        info.seals = (uint32_t)seals;
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        info.size = (uint64_t)st.st_size;
    *ret = info;
    return 0;
}
