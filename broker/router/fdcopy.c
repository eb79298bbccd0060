/* SPDX-License-Identifier: MIT */
/*
 * A file becomes a sealed memfd:  started ── a chunk per loop turn ──▶ sealed ──▶ done, freed by its owner
 *
 * The size is what was charged, and is not asked for again: who owns the file may change it at any moment. One that
 * shrinks meanwhile gives a shorter copy, one that grows is cut. The copy has the file's offset, all four seals, and its
 * pages are written, so it is what uds_memfd_check() wants to see.
 *
 * Its pages are charged to the sandbox that it is for until the last who holds it lets go (copied.c), to the sender's
 * queue as well while it is being made (pending.c).
 *
 * Who has the file can hold its locks, by a read(2) or write(2) whose own memory does not come (userfaultfd, FUSE), and
 * we would wait for them unkillably. lseek(2) waits for the lock of the description; pread(2) for that of the inode, on XFS,
 * and on ext4 where the description is O_DIRECT (all measured but XFS). FIONREAD takes neither to tell how far it is from the
 * offset to the end, nor does a page of a mapping that is read. One that is gone by then makes pwrite(2) fail, where our own
 * access would be SIGBUS.
 *
 * On a network filesystem or FUSE a page waits for somebody else, perhaps for a peer: such files are not copied.
 */
#include "fdcopy.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <uds/fdset.h>

struct fdcopy {
    struct event turn;
    uds_msg *msg;
    size_t index;
    struct fdpolicy_copies copies;
    int memfd;
    uint64_t size, copied;
    off_t position; /* of the file's description */
    fdcopy_done_fn done;
    void *arg;
};

static bool may_hang(int fd)
{
    static const unsigned long remote[] = {
        0x65735546 /* FUSE */,
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        0xff534d42 /* CIFS */,
        V9FS_MAGIC,
        AFS_SUPER_MAGIC,
        CODA_SUPER_MAGIC,
        0x00c36400 /* CEPH */,
        0xfe534d42 /* SMB2 */,
    };
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
        if (((unsigned long)fs.f_type & 0xffffffffu) == remote[i])
            return true;
    }
    return false;
}

/* The offset of a description; some other one if that is more than 2 GiB from the end. */
static off_t tell(int file)
{
    struct stat st;
    int left;
    if (fstat(file, &st) < 0 || ioctl(file, FIONREAD, &left) < 0 || left > st.st_size)
        return 0;
    return st.st_size - left;
}

/* The message again, with the copy in place of descriptor @index. Takes the other fds out of the old one. */
static int rebuild(struct fdcopy *copy, uds_msg **ret)
{
    size_t len, pos = 0, count = uds_msg_get_fd_count(copy->msg);
    const void *body = uds_msg_peek_body(copy->msg, &len), *data;
    uint16_t tag;
    uds_msg *msg;
    int r = uds_msg_new(&msg, uds_msg_get_type(copy->msg), uds_msg_get_id(copy->msg), body, len);
    if (r < 0)
        return r;
    while (r == 0 && uds_msg_next(copy->msg, &pos, &tag, &data, &len) > 0)
        r = uds_msg_add_bytes(msg, tag, data, len);
    for (size_t i = 0; r == 0 && i < count; i++) {
        int fd = i == copy->index ? copy->memfd : uds_msg_take_fd(copy->msg, i);
        r = fd < 0 ? fd : uds_msg_push_fd(msg, fd);
        if (i == copy->index && r == 0)
            copy->memfd = -1;
        else if (r < 0 && fd >= 0 && i != copy->index)
            uds_fd_close(fd);
    }
    if (r < 0) {
        uds_msg_unref(msg);
        return r;
    }
    *ret = msg;
    return 0;
}

static int finish(struct fdcopy *copy, uds_msg **ret)
{
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    if (copy->copied < copy->size && ftruncate(copy->memfd, (off_t)copy->copied) < 0)
        return -errno;
    if (fcntl(copy->memfd, F_ADD_SEALS, seals) < 0 ||
        lseek(copy->memfd, copy->position, SEEK_SET) < 0)
        return -errno;
    int r = rebuild(copy, ret);
    if (r == 0)
        copy->copies.bits[copy->index / 64] |= 1ull << (copy->index % 64);
    return r;
}

/* 1 go on, 0 all there, -errno. */
static int copy_chunk(struct fdcopy *copy)
{
    int file = uds_msg_peek_fd(copy->msg, copy->index);
    size_t want = copy->size - copy->copied < FDCOPY_CHUNK ? (size_t)(copy->size - copy->copied)
                                                           : FDCOPY_CHUNK;
    struct stat st;
    if (want == 0)
        return 0;
    void *base = mmap(NULL, want, PROT_READ, MAP_SHARED, file, (off_t)copy->copied);
    if (base == MAP_FAILED)
        return -errno;
    ssize_t n = pwrite(copy->memfd, base, want, (off_t)copy->copied);
    int r = n < 0 && errno != EFAULT ? -errno : 0;
    munmap(base, want);
    if (r < 0 || fstat(file, &st) < 0)
        return r < 0 ? r : -errno;
    /* What came is whole pages, zeroes behind the end among them. */
    uint64_t end = copy->copied + (n > 0 ? (uint64_t)n : 0), left = (uint64_t)st.st_size;
    copy->copied = left < end ? left : end;
    if (n != (ssize_t)want)
        return left > end ? -EIO : 0;
    return left >= end && copy->copied < copy->size;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct fdcopy *copy = arg;
    uds_msg *msg = NULL;
    int r = copy_chunk(copy);
    if (r > 0) {
        const struct timeval at_once = {0, 0};
        event_add(&copy->turn, &at_once);
        return;
    }
    if (r == 0)
        r = finish(copy, &msg);
    struct fdpolicy_copies copies = copy->copies;
    copy->done(msg, r, &copies, copy->arg);
}

int fdcopy_start(struct fdcopy **ret,
                 struct event_base *base,
                 uds_msg *msg,
                 size_t index,
                 uint64_t size,
                 const struct fdpolicy_copies *copies,
                 fdcopy_done_fn done,
                 void *arg)
{
    int file = uds_msg_peek_fd(msg, index);
    if (file < 0)
        return file;
    if (size > FDCOPY_MAX)
        return -EFBIG;
    if (may_hang(file))
        return -EXDEV;
    struct fdcopy *copy = calloc(1, sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    copy->msg = uds_msg_ref(msg);
    copy->index = index;
    copy->size = size;
    copy->position = tell(file);
    copy->done = done;
    copy->arg = arg;
    if (copies != NULL)
        copy->copies = *copies;
    event_assign(&copy->turn, base, -1, 0, on_turn, copy);
    copy->memfd = -1;
    int r = uds_memfd_create("uds-file-copy", &copy->memfd);
    if (r == 0 && ftruncate(copy->memfd, (off_t)size) < 0)
        r = -errno;
    if (r < 0) {
        fdcopy_free(copy);
        return r;
    }
    const struct timeval at_once = {0, 0};
    event_add(&copy->turn, &at_once);
    *ret = copy;
    return 0;
}

int fdcopy_get_memfd(const struct fdcopy *copy)
{
    return copy->memfd;
}

struct fdcopy *fdcopy_free(struct fdcopy *copy)
{
    if (copy == NULL)
        return NULL;
    event_del(&copy->turn);
    uds_msg_unref(copy->msg);
    if (copy->memfd >= 0)
        close(copy->memfd);
    free(copy);
    return NULL;
}

uds_msg *fdcopy_peek(const struct fdcopy *copy, struct fdpolicy_copies *ret_copies)
{
    *ret_copies = copy->copies;
    return copy->msg;
}
