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
 * pread(2) on a network filesystem or FUSE waits for somebody else, perhaps for a peer: such files are not copied.
 */
#include "fdcopy.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <uds/fdset.h>

struct fdcopy {
    struct event turn;
    uds_msg *msg;
    size_t index;
    struct fdpolicy_copies copies;
    int memfd;
    uint64_t size, offset;
    void *chunk;
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
    off_t at = lseek(uds_msg_peek_fd(copy->msg, copy->index), 0, SEEK_CUR);
    if (copy->offset < copy->size && ftruncate(copy->memfd, (off_t)copy->offset) < 0)
        return -errno;
    if (fcntl(copy->memfd, F_ADD_SEALS, seals) < 0 ||
        lseek(copy->memfd, at > 0 ? at : 0, SEEK_SET) < 0)
        return -errno;
    int r = rebuild(copy, ret);
    if (r == 0)
        copy->copies.bits[copy->index / 64] |= 1ull << (copy->index % 64);
    return r;
}

/* 1 go on, 0 all there, -errno. */
static int copy_chunk(struct fdcopy *copy)
{
    size_t want = copy->size - copy->offset < FDCOPY_CHUNK ? (size_t)(copy->size - copy->offset)
                                                           : FDCOPY_CHUNK;
    if (want == 0)
        return 0;
    ssize_t n =
        pread(uds_msg_peek_fd(copy->msg, copy->index), copy->chunk, want, (off_t)copy->offset);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    ssize_t written = pwrite(copy->memfd, copy->chunk, (size_t)n, (off_t)copy->offset);
    if (written != n)
        return written < 0 ? -errno : -ENOMEM;
    copy->offset += (uint64_t)n;
    return copy->offset < copy->size;
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
    copy->done = done;
    copy->arg = arg;
    if (copies != NULL)
        copy->copies = *copies;
    event_assign(&copy->turn, base, -1, 0, on_turn, copy);
    copy->chunk = malloc(FDCOPY_CHUNK);
    copy->memfd = memfd_create("uds-file-copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy->chunk == NULL || copy->memfd < 0 || ftruncate(copy->memfd, (off_t)size) < 0) {
        int r = copy->chunk == NULL ? -ENOMEM : -errno;
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
    free(copy->chunk);
    free(copy);
    return NULL;
}

uds_msg *fdcopy_peek(const struct fdcopy *copy, struct fdpolicy_copies *ret_copies)
{
    *ret_copies = copy->copies;
    return copy->msg;
}
