/* SPDX-License-Identifier: MIT */

/* Descriptors held against what somebody wants of them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <uds/fdset.h>
#include <uds/msg.h>

#include "cleanup.h"
#include "conn/msg.h"
#include "guard.h"

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int make_memfd(size_t written, off_t size, unsigned seals)
{
    static const char zeroes[8192];
    int fd = memfd_create("cargo", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(write(fd, zeroes, written), (ssize_t)written);
    cr_assert_eq(ftruncate(fd, size), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* A file on disk, opened as @flags say, without a name. */
static int make_file(int flags)
{
    char path[] = "/tmp/uds-fdcheck-XXXXXX", again[64];
    int fd = mkstemp(path), other;

    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(path), 0);
    (void)snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
    other = open(again, flags | O_CLOEXEC);
    close(fd);
    cr_assert_geq(other, 0);
    return other;
}

static void
expect(int fd, const struct uds_fd_wants *wants, enum uds_fd_reason reason, const char *text)
{
    struct uds_fd_verdict verdict;
    char buf[UDS_FD_VERDICT_TEXT];

    cr_assert_eq(uds_fd_check(fd, wants, &verdict), reason == UDS_FD_FITS ? 0 : -EACCES, "%s",
                 text);
    cr_assert_eq(verdict.reason, reason, "%s: %d", text, (int)verdict.reason);
    cr_assert_eq(uds_fd_verdict_format(&verdict, buf, sizeof(buf)), 0);
    cr_assert_str_eq(buf, text);
    cr_assert_eq(uds_fd_check(fd, wants, NULL), reason == UDS_FD_FITS ? 0 : -EACCES);
}

Test(fd_check, allows_nothing_unless_told)
{
    UDS_TEST_GUARD;
    struct uds_fd_wants wants = UDS_FD_WANTS_INIT;
    _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

    expect(fd, &wants, UDS_FD_WRONG_KIND, "eventfd: not of an allowed kind");
    wants.kinds = ~(uint32_t)UDS_FD_EVENTFD;
    expect(fd, &wants, UDS_FD_WRONG_KIND, "eventfd: not of an allowed kind");
    wants.kinds = UDS_FD_EVENTFD | UDS_FD_PIPE;
    expect(fd, &wants, UDS_FD_FITS, "eventfd");
    wants.size--;
    cr_assert_eq(uds_fd_check(fd, &wants, NULL), -EINVAL);
    wants.size++;
    cr_assert_eq(uds_fd_check(-1, &wants, NULL), -EBADF);
}

Test(fd_check, looks_at_the_access_of_the_description)
{
    UDS_TEST_GUARD;
    struct uds_fd_wants wants = UDS_FD_WANTS_INIT;
    _cleanup_close_ int ro = make_file(O_RDONLY), wo = make_file(O_WRONLY), rw = make_file(O_RDWR);
    _cleanup_close_ int path = open("/etc/passwd", O_PATH | O_CLOEXEC);

    wants.kinds = ~0u;
    wants.access = UDS_FD_CAN_READ;
    wants.no_access = UDS_FD_CAN_WRITE;
    expect(ro, &wants, UDS_FD_FITS, "file-ro");
    expect(wo, &wants, UDS_FD_WRONG_ACCESS, "file-rw: may not be read: may be written");
    expect(rw, &wants, UDS_FD_WRONG_ACCESS, "file-rw: may be written");
    expect(path, &wants, UDS_FD_WRONG_ACCESS, "path: may not be read");
    wants.access = UDS_FD_CAN_READ | UDS_FD_CAN_WRITE;
    wants.no_access = 0;
    expect(rw, &wants, UDS_FD_FITS, "file-rw");
    expect(ro, &wants, UDS_FD_WRONG_ACCESS, "file-ro: may not be written");
}

Test(fd_check, looks_at_seals_and_size)
{
    UDS_TEST_GUARD;
    struct uds_fd_wants wants = UDS_FD_WANTS_INIT;
    _cleanup_close_ int sealed = make_memfd(5000, 5000, ALL_SEALS),
                        open = make_memfd(5000, 5000, 0);
    _cleanup_close_ int half = make_memfd(5000, 5000, F_SEAL_SHRINK), file = make_file(O_RDONLY);

    wants.kinds = ~0u;
    wants.seals = F_SEAL_SHRINK | F_SEAL_GROW;
    expect(sealed, &wants, UDS_FD_FITS, "memfd");
    expect(open, &wants, UDS_FD_SEALS_MISSING, "memfd-open: lacks seals: shrink grow");
    expect(half, &wants, UDS_FD_SEALS_MISSING, "memfd-open: lacks seals: grow");
    expect(file, &wants, UDS_FD_SEALS_MISSING, "file-ro: lacks seals: shrink grow");
    wants.seals = 0;
    wants.max_bytes = 4999;
    expect(sealed, &wants, UDS_FD_TOO_LARGE, "memfd: 5000 bytes are too many");
    wants.max_bytes = 5000;
    expect(sealed, &wants, UDS_FD_FITS, "memfd");
}

Test(fd_check, lets_only_what_is_safe_be_mapped)
{
    UDS_TEST_GUARD;
    struct uds_fd_wants wants = UDS_FD_WANTS_INIT;
    _cleanup_close_ int good = make_memfd(5000, 5000, ALL_SEALS), open = make_memfd(5000, 5000, 0);
    _cleanup_close_ int sparse = make_memfd(0, 1 << 20, ALL_SEALS), file = make_file(O_RDONLY);

    wants.kinds = UDS_FD_MEMFD | UDS_FD_MEMFD_OPEN | UDS_FD_FILE_RO;
    wants.mappable = true;
    expect(good, &wants, UDS_FD_FITS, "memfd");
    expect(open, &wants, UDS_FD_SEALS_MISSING, "memfd-open: lacks seals: shrink grow write");
    expect(sparse, &wants, UDS_FD_SPARSE, "memfd: sparse: pages are missing");
    expect(file, &wants, UDS_FD_WRONG_KIND, "file-ro: not of an allowed kind");
}

Test(fd_check, says_when_the_text_does_not_fit)
{
    UDS_TEST_GUARD;
    struct uds_fd_verdict verdict = {
        .info.kind = UDS_FD_MEMFD_OPEN, .reason = UDS_FD_SEALS_MISSING, .bits = 0x3f};
    char buf[UDS_FD_VERDICT_TEXT];

    cr_assert_eq(uds_fd_verdict_format(&verdict, buf, 20), -ENOBUFS);
    cr_assert_eq(uds_fd_verdict_format(&verdict, buf, 0), -ENOBUFS);
    cr_assert_eq(uds_fd_verdict_format(&verdict, buf, sizeof(buf)), 0);
    cr_assert_str_eq(buf, "memfd-open: lacks seals: seal shrink grow write future-write exec");
}

Test(msg_check_fds, names_the_first_that_is_not_wanted)
{
    UDS_TEST_GUARD;
    struct uds_fd_wants wants = UDS_FD_WANTS_INIT;
    struct uds_fd_verdict verdict;
    _cleanup_msg_ uds_msg *msg = NULL;
    _cleanup_close_ int taken = -1;
    size_t bad = 99;

    wants.kinds = UDS_FD_MEMFD;
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0), 0);
    cr_assert_eq(uds_msg_check_fds(msg, &wants, &bad, &verdict), 0, "there are none");
    cr_assert_eq(uds_msg_push_fd(msg, make_memfd(10, 10, ALL_SEALS)), 0);
    cr_assert_eq(uds_msg_check_fds(msg, &wants, &bad, &verdict), 0);
    cr_assert_eq(bad, 99);
    cr_assert_eq(uds_msg_push_fd(msg, make_memfd(10, 10, 0)), 0);
    cr_assert_eq(uds_msg_push_fd(msg, make_memfd(10, 10, 0)), 0);
    cr_assert_eq(uds_msg_check_fds(msg, &wants, &bad, &verdict), -EACCES);
    cr_assert_eq(bad, 1);
    cr_assert_eq(verdict.reason, UDS_FD_WRONG_KIND);
    cr_assert_eq(verdict.info.kind, UDS_FD_MEMFD_OPEN);
    taken = uds_msg_take_fd(msg, 1);
    cr_assert_eq(uds_msg_check_fds(msg, &wants, &bad, NULL), -EACCES);
    cr_assert_eq(bad, 2, "one that was taken is passed over");
    msg->error = -EMFILE; /* as MSG_CTRUNC leaves it */
    cr_assert_eq(uds_msg_check_fds(msg, &wants, NULL, NULL), -EMFILE);
}
