/* SPDX-License-Identifier: MIT */
/* Arenas against a peer that lies about memory and places. It speaks raw bytes; docs/protocol.md P-40 … P-48. */
#include "arena_liar.h"

Test(arena_hostile, memory_that_is_what_it_has_to_be_is_granted)
{
    UDS_TEST_GUARD;
    struct keeper keeper = {.count = 0};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1, cargo = -1;

    uds_conn_set_callbacks(conn, &keeping, &keeper);
    fd = open_arena(conn, peer);
    cargo = make_memory(SLOT, SLOT, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    announce(peer, 7, SLOT, cargo); /* nobody can write there any more: as good */
    expect_release(conn, peer, 7, 1);
    refer(peer, 1, 3 * SLOT, 1);
    refer(peer, 7, 0, SLOT);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(keeper.count, 2);
    drop_kept(&keeper);
    expect_release(conn, peer, 1, 8);
    withdraw(peer, 1);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(conn->arenas->npeer, 1);
}

Test(arena_hostile, memory_that_could_vanish_or_costs_us_is_not_mapped) /* P-43 */
{
    UDS_TEST_GUARD;
    const size_t size = SLOT * SLOTS;

    for (int what = 0; what < 9; what++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1;

        switch (what) {
        case 0: /* no seals */
            fd = make_memory(size, size, 0);
            break;
        case 1: /* may shrink: SIGBUS */
            fd = make_memory(size, size, SEALS & ~F_SEAL_SHRINK);
            break;
        case 2:
            fd = make_memory(size, size, SEALS & ~F_SEAL_GROW);
            break;
        case 3: /* holes may be punched */
            fd = make_memory(size, size, F_SEAL_SHRINK | F_SEAL_GROW);
            break;
        case 4: /* sparse: we would pay */
            fd = make_memory(size, 0, SEALS);
            break;
        case 5: /* the last page is missing */
            fd = make_memory(size, size - 4096, SEALS);
            break;
        case 6: /* no memory at all */
            fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
            break;
        case 7:
            fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
            if (fd < 0)
                continue; /* a kernel without */
            cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
            break;
        case 8: /* a name of it, no more */
            fd = open("/", O_PATH | O_CLOEXEC);
            break;
        default:
            break;
        }
        announce(peer, 1, SLOT, fd);
        expect_close(conn, "P-43");
    }
}

Test(arena_hostile, a_sealed_arena_can_lose_no_page)
{
    UDS_TEST_GUARD;
    size_t size = SLOT * SLOTS;
    _cleanup_close_ int fd = make_memory(size, size, 0);
    void *before = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    /* What the checks rely on; if a kernel permits one of these, an arena is not safe to map on it. */
    cr_assert_neq(before, MAP_FAILED);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    cr_assert_eq(madvise(before, 4096, MADV_REMOVE), -1);
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(pwrite(fd, "x", 1, 0), -1);
    cr_assert_eq(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    (void)madvise(before, size, MADV_DONTNEED);
    cr_assert_eq(lseek(fd, 0, SEEK_HOLE), (off_t)size);
    cr_assert_eq(munmap(before, size), 0);
}

Test(arena_hostile, slots_that_do_not_fill_an_arena_are_refused) /* P-42 */
{
    UDS_TEST_GUARD;
    static const struct {
        size_t size;
        uint64_t slot_size;
    } cases[] = {
        {SLOT, 0},         {SLOT, 2048},       {SLOT, 2 * SLOT},
        {SLOT, 3 * 4096},  {SLOT, UINT64_MAX}, {SLOT + 4096, SLOT},
        {65 * 4096, 4096}, {0, 4096},          {4096 + 1, 4096},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        _cleanup_close_ int fd = make_memory(cases[i].size, cases[i].size, SEALS);

        announce(peer, 1, cases[i].slot_size, fd);
        expect_close(conn, "P-42");
    }
}

Test(arena_hostile, arenas_are_no_larger_and_no_more_than_we_said) /* P-44 */
{
    UDS_TEST_GUARD;
    _cleanup_close_ int whole = make_memory(ARENA_MAX, ARENA_MAX, SEALS);
    _cleanup_close_ int over = make_memory(ARENA_MAX + SLOT, ARENA_MAX + SLOT, SEALS);
    _cleanup_close_ int page = make_memory(4096, 4096, SEALS);

    for (int what = 0; what < 3; what++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);

        if (what == 0) { /* one that is too large */
            announce(peer, 1, SLOT, over);
        } else if (what == 1) { /* together */
            announce(peer, 1, SLOT, whole);
            expect_release(conn, peer, 1, 0xffff);
            announce(peer, 2, 4096, page);
        } else { /* too many */
            for (uint64_t n = 1; n <= 16; n++) {
                announce(peer, n, 4096, page);
                expect_release(conn, peer, n, 1);
            }
            announce(peer, 17, 4096, page);
        }
        expect_close(conn, "P-44");
    }
}

Test(arena_hostile, an_arena_frame_is_one_thing_or_the_other) /* P-41 */
{
    UDS_TEST_GUARD;
    for (int what = 0; what < 8; what++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = open_arena(conn, peer);
        uint64_t numbers[] = {SLOT, 0};
        uint8_t bytes[64], head[4] = {0, 0x80, 0, 0};
        struct raw_frame headed = {
            .type = UDS_MSG_ARENA, .id = 2, .head = head, .head_len = 4, .claimed_fds = 1};

        switch (what) {
        case 0:
            announce(peer, 1, SLOT, fd); /* the number is in use */
            break;
        case 1:
            announce(peer, 0, SLOT, fd);
            break;
        case 2:
            withdraw(peer, 2); /* never announced */
            break;
        case 3:
            send_numbers(peer, UDS_MSG_ARENA, 1, numbers, 1, -1, 0); /* a size and no fd */
            break;
        case 4:
            send_numbers(peer, UDS_MSG_ARENA, 2, numbers, 2, fd, 0);
            break;
        case 5:
            send_numbers(peer, UDS_MSG_ARENA, 2, NULL, 0, fd, 0);
            break;
        case 6: /* a head */
            (void)raw_send(peer, bytes, raw_encode(&headed, bytes), fd, 1);
            break;
        case 7: /* a number that was there before */
            withdraw(peer, 1);
            announce(peer, 1, SLOT, fd);
            break;
        default:
            break;
        }
        expect_close(conn, "P-41");
    }
}

Test(arena_hostile, a_body_lies_in_a_slot_of_an_arena) /* P-45 */
{
    UDS_TEST_GUARD;
    static const struct {
        uint64_t number, offset, length;
    } cases[] = {
        {0, 0, 1},
        {2, 0, 1},
        {UINT64_MAX, 0, 1},
        {1, 1, 1},
        {1, SLOT / 2, 1},
        {1, SLOT * SLOTS, 1},
        {1, UINT64_MAX, 1},
        {1, UINT64_MAX - SLOT + 1, 1},
        {1, 0, 0},
        {1, 0, SLOT + 1},
        {1, 0, SLOT * SLOTS},
        {1, 0, UINT64_MAX},
        {1, SLOT, UINT64_MAX - SLOT + 1},
        {1, SLOT * (SLOTS - 1), SLOT + 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = open_arena(conn, peer);

        refer(peer, cases[i].number, cases[i].offset, cases[i].length);
        expect_close(conn, "P-45");
    }
}

Test(arena_hostile, a_body_in_an_arena_is_no_longer_than_others) /* P-45 */
{
    UDS_TEST_GUARD;
    struct uds_conn_options small = UDS_CONN_OPTIONS_INIT;
    uint8_t head[28] = {32, 0, 4, 0, 0, 0, 0, 1, 33, 0, 4, 0, 16, 0, 0, 0, 34, 0, 8, 0, 4};
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1, fd = -1;

    small.max_body = 1000;
    peer = raw_conn(&conn, SOCK_STREAM, &small, 0);
    cr_assert_gt(raw_send_frame(peer, &hello, -1, 0), 0);
    cr_assert_geq(uds_conn_process(conn), 0);
    raw_drain(peer);
    fd = open_arena(conn, peer);
    refer(peer, 1, 0, 1001);
    expect_close(conn, "P-45");
}

Test(arena_hostile, a_slot_that_we_have_is_not_named_again) /* P-46 */
{
    UDS_TEST_GUARD;
    for (int what = 0; what < 2; what++) {
        struct keeper keeper = {.count = 0};
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        _cleanup_close_ int fd = make_memory(SLOT * SLOTS, SLOT * SLOTS, SEALS);

        uds_conn_set_callbacks(conn, &keeping, &keeper);
        announce(peer, 1, SLOT, fd);
        if (what == 0) { /* before it was granted */
            refer(peer, 1, 0, 100);
        } else {
            expect_release(conn, peer, 1, 0xf);
            refer(peer, 1, SLOT, 100);
            refer(peer, 1, SLOT, 200);
        }
        expect_close(conn, "P-46");
        drop_kept(&keeper);
    }
}

Test(arena_hostile, a_reference_is_24_bytes) /* P-40 */
{
    UDS_TEST_GUARD;
    for (size_t count = 0; count < 5; count++) {
        uint64_t numbers[5] = {1, 0, 100};
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = -1, fd = -1;

        if (count == 3)
            continue;
        peer = open_conn(&conn, ARENA_MAX);
        fd = open_arena(conn, peer);
        send_numbers(peer, UDS_MSG_MESSAGE, 1, numbers, count, -1, UDSI_FLAG_ARENA);
        expect_close(conn, "P-40");
    }
}

Test(arena_hostile, the_frames_of_arenas_need_the_feature)
{
    UDS_TEST_GUARD;
    static const uint8_t types[] = {UDS_MSG_ARENA, UDS_MSG_RELEASE, UDS_MSG_MESSAGE};

    for (size_t i = 0; i < 3; i++) {
        uint64_t numbers[3] = {1, 0, 100};
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, 0);

        send_numbers(peer, types[i], 1, numbers, 3, -1, i == 2 ? UDSI_FLAG_ARENA : 0);
        expect_close(conn, i == 2 ? "P-3" : "P-5");
    }
}

Test(arena_hostile, the_librarys_own_frames_have_no_body_in_an_arena)
{
    UDS_TEST_GUARD;
    static const uint8_t types[] = {UDS_MSG_HELLO, UDS_MSG_GOODBYE, UDS_MSG_ARENA, UDS_MSG_RELEASE};

    for (size_t i = 0; i < 4; i++) {
        uint64_t numbers[3] = {1, 0, 100};
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);

        send_numbers(peer, types[i], 0, numbers, 3, -1, UDSI_FLAG_ARENA);
        expect_close(conn, "P-3");
    }
}
