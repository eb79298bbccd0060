/* SPDX-License-Identifier: MIT */

/* Snapshots: what goes in comes out, and nonsense is an error that sticks. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "guard.h"
#include "nofile.h"

/* Bytes and duplicated fds of @from, as if they had travelled. */
static uds_snapshot *travel(const uds_snapshot *from, size_t len)
{
    uds_snapshot *to = NULL;
    const void *data;
    const int *fds;
    size_t all, nfds;
    int copies[8];

    uds_snapshot_peek(from, &data, &all, &fds, &nfds);
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    cr_assert_eq(uds_snapshot_open(&to, data, len < all ? len : all, copies, nfds), 0);
    return to;
}

static uds_snapshot *fill(void)
{
    uds_snapshot *s = NULL;

    cr_assert_eq(uds_snapshot_new(&s), 0);
    uds_snapshot_put_u32(s, 0xfeedface);
    uds_snapshot_put_u64(s, 1ull << 50);
    uds_snapshot_put_bytes(s, "a\0b", 3);
    uds_snapshot_put_string(s, "text");
    uds_snapshot_put_string(s, NULL);
    uds_snapshot_put_fd(s, 0);
    uds_snapshot_put_fd(s, -1);
    uds_snapshot_put_string(s, "");
    cr_assert_eq(uds_snapshot_error(s), 0);
    return s;
}

Test(snapshot, gives_back_what_was_put_in_order)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *from = fill();
    _cleanup_snapshot_ uds_snapshot *s = travel(from, SIZE_MAX);
    _cleanup_free_ char *text = NULL, *empty = NULL;
    _cleanup_close_ int fd = -1;
    size_t len;

    cr_assert_eq(uds_snapshot_get_u32(s), 0xfeedface);
    cr_assert_eq(uds_snapshot_get_u64(s), 1ull << 50);
    cr_assert_eq(memcmp(uds_snapshot_get_bytes(s, &len), "a\0b", 3), 0);
    cr_assert_eq(len, 3);
    text = uds_snapshot_get_string(s);
    cr_assert_str_eq(text, "text");
    cr_assert_null(uds_snapshot_get_string(s));
    fd = uds_snapshot_get_fd(s);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_snapshot_get_fd(s), -1);
    empty = uds_snapshot_get_string(s);
    cr_assert_str_empty(empty);
    cr_assert_eq(uds_snapshot_error(s), 0);
    cr_assert_eq(uds_snapshot_get_u32(s), 0, "there is no more");
    cr_assert_eq(uds_snapshot_error(s), -EBADMSG);
}

Test(snapshot, is_an_error_at_every_cut)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *from = fill();
    const void *data;
    const int *fds;
    size_t all, nfds, len;

    uds_snapshot_peek(from, &data, &all, &fds, &nfds);
    for (size_t cut = 0; cut < all; cut++) {
        _cleanup_snapshot_ uds_snapshot *s = travel(from, cut);
        _cleanup_close_ int fd = -1;

        (void)uds_snapshot_get_u32(s);
        (void)uds_snapshot_get_u64(s);
        (void)uds_snapshot_get_bytes(s, &len);
        free(uds_snapshot_get_string(s));
        free(uds_snapshot_get_string(s));
        fd = uds_snapshot_get_fd(s);
        (void)uds_snapshot_get_fd(s);
        free(uds_snapshot_get_string(s));
        cr_assert_eq(uds_snapshot_error(s), -EBADMSG, "cut at %zu", cut);
    }
}

Test(snapshot, refuses_a_length_beyond_its_end)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *from = NULL, *s = NULL;
    size_t len = 7;

    cr_assert_eq(uds_snapshot_new(&from), 0);
    uds_snapshot_put_u64(from, UINT64_MAX - 3);
    uds_snapshot_put_u32(from, 1);
    s = travel(from, SIZE_MAX);
    cr_assert_not_null(uds_snapshot_get_bytes(s, &len));
    cr_assert_eq(len, 0);
    cr_assert_eq(uds_snapshot_error(s), -EBADMSG);
    cr_assert_eq(uds_snapshot_get_u32(s), 0, "errors stick");
}

Test(snapshot, notices_a_missing_descriptor)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *from = NULL, *s = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;

    cr_assert_eq(uds_snapshot_new(&from), 0);
    uds_snapshot_put_fd(from, 0);
    uds_snapshot_peek(from, &data, &len, &fds, &nfds);
    cr_assert_eq(nfds, 1);
    cr_assert_eq(uds_snapshot_open(&s, data, len, NULL, 0), 0);
    cr_assert_eq(uds_snapshot_get_fd(s), -1);
    cr_assert_eq(uds_snapshot_error(s), -EBADMSG);
}

Test(snapshot, remembers_that_descriptors_ran_out)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    rlim_t old;
    const void *data;
    const int *fds;
    size_t before, after, nfds;

    cr_assert_eq(uds_snapshot_new(&s), 0);
    old = nofile_set(3);
    uds_snapshot_put_fd(s, 0);
    nofile_set(old);
    cr_assert_eq(uds_snapshot_error(s), -EMFILE);
    uds_snapshot_peek(s, &data, &before, &fds, &nfds);
    uds_snapshot_put_u64(s, 1);
    uds_snapshot_peek(s, &data, &after, &fds, &nfds);
    cr_assert_eq(before, after, "after an error nothing is put");
}
