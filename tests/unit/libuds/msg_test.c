/* SPDX-License-Identifier: MIT */

/* Messages: what they hold, who owns it, and when it ends. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "conn/msg.h"
#include "guard.h"

static uds_msg *make(void)
{
    uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 5, "body", 4), 0);
    return msg;
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

Test(msg_new, copies_the_body)
{
    UDS_TEST_GUARD;
    char text[] = "text";
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t len;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, 77, text, 4), 0);
    text[0] = 'X';
    cr_assert_eq(memcmp(uds_msg_peek_body(msg, &len), "text", 4), 0);
    cr_assert_eq(len, 4);
    cr_assert_eq(uds_msg_get_type(msg), UDS_MSG_REQUEST);
    cr_assert_eq(uds_msg_get_id(msg), 77);
}

Test(msg_new, refuses_the_librarys_own_and_undefined_types)
{
    UDS_TEST_GUARD;
    uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_HELLO, 0, NULL, 0), -EINVAL);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_GOODBYE, 0, NULL, 0), -EINVAL);
    cr_assert_eq(uds_msg_new(&msg, (enum uds_msg_type)9, 0, NULL, 0), -EINVAL);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 1), -EINVAL);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "", UINT32_MAX), -EINVAL);
    cr_assert_null(msg);
}

Test(msg_body, is_never_null_and_can_be_replaced_in_place)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = NULL;
    void *room;
    size_t len;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_assert_not_null(uds_msg_peek_body(msg, NULL));
    cr_assert_eq(uds_msg_reserve_body(msg, 100000, &room), 0);
    memset(room, 1, 100000);
    cr_assert_eq(uds_msg_reserve_body(msg, 200000, &room), 0);
    memset(room, 2, 200000);
    cr_assert_eq(uds_msg_reserve_body(msg, 3, &room), 0);
    memcpy(room, "abc", 3);
    cr_assert_eq(memcmp(uds_msg_peek_body(msg, &len), "abc", 3), 0);
    cr_assert_eq(len, 3);
}

Test(msg_head, grows_up_to_its_limit_and_not_beyond)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = make();
    uint8_t big[UDS_HEAD_MAX] = {0};
    size_t len;

    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, "a.b"), 0);
    cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_HEADER, big, UDS_HEAD_MAX - 7 - 4), 0);
    (void)uds_msg_peek_head(msg, &len);
    cr_assert_eq(len, UDS_HEAD_MAX);
    cr_assert_eq(uds_msg_add_bytes(msg, 0x8001, NULL, 0), -ENOSPC);
    cr_assert_eq(uds_msg_add_bytes(msg, 0x8001, big, sizeof(big)), -ENOSPC);
}

Test(msg_head, gives_back_fields_by_tag_and_in_order)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = make();
    uint32_t u32;
    uint64_t u64;
    char text[8];
    const void *data;
    size_t pos = 0, len;
    uint16_t tag;

    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_STATUS, 9), 0);
    cr_assert_eq(uds_msg_add_u64(msg, UDS_FIELD_VALUE, 1ull << 40), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_DETAIL, "why"), 0);
    cr_assert_eq(uds_msg_get_u32(msg, UDS_FIELD_STATUS, &u32), 0);
    cr_assert_eq(u32, 9);
    cr_assert_eq(uds_msg_get_u64(msg, UDS_FIELD_VALUE, &u64), 0);
    cr_assert_eq(u64, 1ull << 40);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_DETAIL, text, sizeof(text)), 0);
    cr_assert_str_eq(text, "why");
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_DETAIL, text, 3), -ENOBUFS);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_RULE, text, 8), -ENOENT);
    cr_assert_eq(uds_msg_next(msg, &pos, &tag, &data, &len), 1);
    cr_assert_eq(tag, UDS_FIELD_STATUS);
    cr_assert_eq(uds_msg_next(msg, &pos, &tag, &data, &len), 1);
    cr_assert_eq(uds_msg_next(msg, &pos, &tag, &data, &len), 1);
    cr_assert_eq(tag, UDS_FIELD_DETAIL);
    cr_assert_eq(uds_msg_next(msg, &pos, &tag, &data, &len), 0);
}

Test(msg_get_string, refuses_nul_and_control_characters)
{
    UDS_TEST_GUARD;
    static const char *const bad[] = {"a\nb", "a\033b", "a\177b", "\302\2332J"};
    char text[8];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        _cleanup_msg_ uds_msg *msg = make();

        cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_DETAIL, bad[i]), 0);
        cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_DETAIL, text, sizeof(text)), -EBADMSG);
    }
    _cleanup_msg_ uds_msg *msg = make();
    cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_DETAIL, "a\0b", 3), 0);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_DETAIL, text, sizeof(text)), -EBADMSG);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_RULE, "\303\233\302\240"), 0);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_RULE, text, sizeof(text)), 0, "a letter");
}

Test(msg_fds, that_nobody_took_are_closed_with_the_message)
{
    UDS_TEST_GUARD;
    uds_msg *msg = make();
    int kept, closed = open_null();

    cr_assert_eq(uds_msg_push_fd(msg, closed), 0);
    cr_assert_eq(uds_msg_push_dup_fd(msg, closed), 0);
    cr_assert_eq(uds_msg_get_fd_count(msg), 2);
    kept = uds_msg_take_fd(msg, 1);
    cr_assert_geq(kept, 0);
    cr_assert(fcntl(kept, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(uds_msg_take_fd(msg, 1), -ESTALE);
    cr_assert_eq(uds_msg_peek_fd(msg, 0), closed, "slots keep their index");
    cr_assert_eq(uds_msg_peek_fd(msg, 2), -ENOENT);
    cr_assert_null(uds_msg_unref(msg));
    cr_assert_not(is_open(closed));
    cr_assert(is_open(kept));
    close(kept);
}

Test(msg_fds, stop_at_the_kernels_limit_and_stay_the_callers_on_failure)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = make();
    _cleanup_close_ int fd = open_null();

    for (int i = 0; i < UDS_FDS_MAX; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, fd), 0);
    cr_assert_eq(uds_msg_push_fd(msg, fd), -ENOSPC);
    cr_assert_eq(uds_msg_push_dup_fd(msg, fd), -ENOSPC);
    cr_assert(is_open(fd));
    cr_assert_eq(uds_msg_push_fd(msg, -1), -EINVAL);
    cr_assert_eq(uds_msg_push_dup_fd(msg, 1000000), -EBADF);
}

static void count_release(void *arg)
{
    (*(int *)arg)++;
}

Test(msg_release, runs_once_with_the_last_reference)
{
    UDS_TEST_GUARD;
    uds_msg *msg = make();
    int count = 0, never = 0;

    uds_msg_set_release(msg, count_release, &never);
    uds_msg_set_release(msg, count_release, &count);
    cr_assert_eq(uds_msg_ref(msg), msg);
    uds_msg_unref(msg);
    cr_assert_eq(count, 0);
    uds_msg_unref(msg);
    cr_assert_eq(count, 1);
    cr_assert_eq(never, 0);
    cr_assert_null(uds_msg_unref(NULL));
    cr_assert_null(uds_msg_ref(NULL));
}

Test(msg_sealed, refuses_every_change)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = make();
    _cleanup_close_ int fd = open_null();
    void *room;

    msg->sealed = true;
    cr_assert_eq(uds_msg_add_u32(msg, 4, 1), -EBUSY);
    cr_assert_eq(uds_msg_add_string(msg, 1, "x"), -EBUSY);
    cr_assert_eq(uds_msg_reserve_body(msg, 1, &room), -EBUSY);
    cr_assert_eq(uds_msg_push_fd(msg, fd), -EBUSY);
    cr_assert_eq(uds_msg_push_dup_fd(msg, fd), -EBUSY);
    cr_assert(is_open(fd));
}
