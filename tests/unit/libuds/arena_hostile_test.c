/* SPDX-License-Identifier: MIT */

/* Arenas against a peer that lies, about memory, places, slots and releases. It speaks raw bytes; docs/protocol.md P-40 … P-48. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "block.h"
#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "heap.h"
#include "rawpeer.h"
#include "socket/kernel.h"
#include "wire/cursor.h"

#define SLOT      (64u << 10)
#define SLOTS     4u
#define ARENA_MAX (1u << 20)
#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* A connection of ours that offers @arena_bytes, and a peer that offers arenas and takes up to 1 MiB of ours. */
static int open_conn(uds_conn **ret, size_t arena_bytes)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uint8_t head[40];
    struct udsi_writer w = {.at = head, .left = sizeof(head)};
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};
    int peer;

    options.arena_bytes = arena_bytes;
    options.body_path = UDS_BODY_PATH_ARENA;
    peer = raw_conn(ret, SOCK_STREAM, &options, 0);
    udsi_write_u16(&w, UDSI_FIELD_MAX_BODY);
    udsi_write_u16(&w, 4);
    udsi_write_u32(&w, 1u << 24);
    udsi_write_u16(&w, UDSI_FIELD_MAX_FDS);
    udsi_write_u16(&w, 4);
    udsi_write_u32(&w, 16);
    udsi_write_u16(&w, UDSI_FIELD_FEATURES);
    udsi_write_u16(&w, 8);
    udsi_write_u64(&w, UDS_FEATURE_ARENA);
    udsi_write_u16(&w, UDSI_FIELD_ARENA_MAX);
    udsi_write_u16(&w, 8);
    udsi_write_u64(&w, ARENA_MAX);
    cr_assert_eq(w.left, 0);
    cr_assert_gt(raw_send_frame(peer, &hello, -1, 0), 0);
    cr_assert_geq(uds_conn_process(*ret), 0);
    cr_assert(uds_conn_is_open(*ret));
    raw_drain(peer);
    return peer;
}

/* Memory as an arena has to be, but for what the arguments say. */
static int make_memory(size_t size, size_t written, unsigned seals)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    static uint8_t zeroes[1 << 16];

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    for (size_t done = 0; done < written; done += sizeof(zeroes))
        cr_assert_gt(pwrite(fd, zeroes,
                            written - done < sizeof(zeroes) ? written - done : sizeof(zeroes),
                            (off_t)done),
                     0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void send_numbers(int peer,
                         uint8_t type,
                         uint64_t id,
                         const uint64_t *numbers,
                         size_t count,
                         int fd,
                         uint8_t flags)
{
    uint8_t body[64], bytes[256];
    struct udsi_writer w = {.at = body, .left = sizeof(body)};
    struct raw_frame frame = {
        .type = type, .id = id, .body = body, .body_len = count * 8, .claimed_fds = fd >= 0};
    size_t len;

    for (size_t i = 0; i < count; i++)
        udsi_write_u64(&w, numbers[i]);
    len = raw_encode(&frame, bytes);
    bytes[3] = flags;
    cr_assert_gt(raw_send(peer, bytes, len, fd, fd >= 0), 0);
}

/* Announces @fd, which stays the caller's. */
static void announce(int peer, uint64_t number, uint64_t slot_size, int fd)
{
    send_numbers(peer, UDS_MSG_ARENA, number, &slot_size, 1, fd, 0);
}

static void withdraw(int peer, uint64_t number)
{
    send_numbers(peer, UDS_MSG_ARENA, number, NULL, 0, -1, 0);
}

static void release(int peer, uint64_t number, uint64_t slots)
{
    send_numbers(peer, UDS_MSG_RELEASE, number, &slots, 1, -1, 0);
}

static void refer(int peer, uint64_t number, uint64_t offset, uint64_t length)
{
    uint64_t numbers[] = {number, offset, length};

    send_numbers(peer, UDS_MSG_MESSAGE, 7, numbers, 3, -1, UDSI_FLAG_ARENA);
}

/* Reads the next frame that @peer gets into @ret_type, @ret_id and, for bodies of 8 bytes, @ret_body. False: none. */
static bool next_frame(int peer, uint8_t *ret_type, uint64_t *ret_id, uint64_t *ret_body)
{
    uint8_t bytes[24], body[64];
    ssize_t n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    struct udsi_reader r = {.at = bytes + 16, .left = 8}, b = {.at = body};

    if (n <= 0)
        return false;
    cr_assert_eq(n, 24);
    *ret_type = bytes[2];
    *ret_id = udsi_read_u64(&r);
    b.left = bytes[4];
    cr_assert_leq(b.left, sizeof(body));
    if (b.left > 0)
        cr_assert_eq(recv(peer, body, b.left, MSG_DONTWAIT), (ssize_t)b.left);
    *ret_body = udsi_read_u64(&b);
    return true;
}

/* The connection has granted arena @number, all of it. */
static void expect_release(uds_conn *conn, int peer, uint64_t number, uint64_t slots)
{
    uint64_t id, body;
    uint8_t type;

    cr_assert_geq(uds_conn_process(conn), 0, "%s", uds_conn_get_error_text(conn));
    cr_assert(udsi_conn_check(conn));
    cr_assert(next_frame(peer, &type, &id, &body), "a RELEASE is missing");
    cr_assert_eq(type, UDS_MSG_RELEASE);
    cr_assert_eq(id, number);
    cr_assert_eq(body, slots);
}

static void expect_close(uds_conn *conn, const char *rule)
{
    cr_assert_eq(uds_conn_process(conn), -EPROTO, "%s is not noticed", rule);
    cr_assert_not_null(strstr(uds_conn_get_error_text(conn), rule), "%s: %s", rule,
                       uds_conn_get_error_text(conn));
    cr_assert(udsi_conn_check(conn));
}

/* Arena 1 of four slots, granted. Returns its memory. */
static int open_arena(uds_conn *conn, int peer)
{
    int fd = make_memory(SLOT * SLOTS, SLOT * SLOTS, SEALS);

    announce(peer, 1, SLOT, fd);
    expect_release(conn, peer, 1, 0xf);
    return fd;
}

struct keeper {
    uds_msg *msgs[16];
    size_t count;
};

static void keep(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct keeper *keeper = arg;

    (void)conn;
    cr_assert_lt(keeper->count, 16);
    keeper->msgs[keeper->count++] = msg;
}

static void drop_kept(struct keeper *keeper)
{
    while (keeper->count > 0)
        (void)uds_msg_unref(keeper->msgs[--keeper->count]);
}

static const struct uds_conn_callbacks keeping = {.on_message = keep};

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

/* Makes @conn announce an arena. Returns how many slots it has. */
static unsigned make_own_arena(uds_conn *conn, int peer)
{
    static uint8_t body[SLOT], sink[1 << 20];
    union {
        struct cmsghdr align;
        uint8_t bytes[256];
    } control;
    struct iovec iov = {.iov_base = sink, .iov_len = sizeof(sink)};

    while (!conn->arenas || conn->arenas->nown == 0) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
        cr_assert_eq(uds_conn_send(conn, msg), 0);
        for (int r = 1; r == 1;) {
            r = uds_conn_flush(conn);
            cr_assert_geq(r, 0);
            raw_drain(peer); /* the fd goes with it */
        }
    }
    for (;;) {
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
        if (recvmsg(peer, &msg, MSG_DONTWAIT) <= 0)
            break;
    }
    return (unsigned)__builtin_popcountll(conn->arenas->own[0].all);
}

Test(arena_hostile, a_release_names_slots_that_the_peer_has) /* P-47 */
{
    UDS_TEST_GUARD;
    for (int what = 0; what < 8; what++) {
        static uint8_t body[SLOT];
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        unsigned count = make_own_arena(conn, peer);
        uint64_t number = conn->arenas->own[0].number, all = conn->arenas->own[0].all;
        uint64_t numbers[2] = {1, 1};
        uint8_t bytes[64], head[4] = {0, 0x80, 0, 0};
        struct raw_frame headed = {.type = UDS_MSG_RELEASE,
                                   .id = number,
                                   .head = head,
                                   .head_len = 4,
                                   .body = numbers,
                                   .body_len = 8};

        cr_assert_eq(count, 16);
        cr_assert_eq(conn->arenas->own[0].out, all, "the peer has all that it did not grant");
        switch (what) {
        case 0:
            release(peer, number + 1, 1); /* of no arena */
            break;
        case 1:
            release(peer, number, UINT64_MAX); /* of no slot */
            break;
        case 2:
            release(peer, number, 1);
            release(peer, number, 1); /* twice */
            break;
        case 3:
            release(peer, number, all);
            release(peer, number, 0); /* refused after it was taken */
            break;
        case 4:
            send_numbers(peer, UDS_MSG_RELEASE, number, numbers, 2, -1, 0);
            break;
        case 5:
            send_numbers(peer, UDS_MSG_RELEASE, number, NULL, 0, -1, 0);
            break;
        case 6:
            (void)raw_send(peer, bytes, raw_encode(&headed, bytes), -1, 0);
            break;
        case 7: /* a slot that is out, and one that is not */
            release(peer, number, all);
            for (int i = 0; i < 2; i++) {
                _cleanup_msg_ uds_msg *msg = NULL;

                cr_assert_geq(uds_conn_process(conn), 0);
                cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
                cr_assert_eq(uds_conn_send(conn, msg), 0);
                cr_assert_eq(conn->arenas->own[0].out, i == 0 ? 1 : 3);
            }
            release(peer, number, 4 | 1);
            break;
        default:
            break;
        }
        expect_close(conn, "P-47");
    }
}

Test(arena_hostile, a_refused_arena_is_given_up)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);

    (void)make_own_arena(conn, peer);
    release(peer, conn->arenas->own[0].number, 0);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(conn->arenas->nown, 0);
    cr_assert_eq(conn->arenas->own_bytes, 0);
    (void)make_own_arena(conn, peer);
    cr_assert_eq(conn->arenas->own[0].number, 2);
}

Test(arena_hostile, an_arena_is_not_withdrawn_under_our_feet) /* P-48 */
{
    UDS_TEST_GUARD;
    struct keeper keeper = {.count = 0};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1;

    uds_conn_set_callbacks(conn, &keeping, &keeper);
    fd = open_arena(conn, peer);
    refer(peer, 1, 0, SLOT);
    withdraw(peer, 1);
    expect_close(conn, "P-48");
    cr_assert_eq(keeper.count, 1);
    (void)uds_msg_peek_body(keeper.msgs[0], NULL); /* and it is still there */
    drop_kept(&keeper);
}

Test(arena_hostile, who_names_what_it_cannot_know_to_be_free_fills_no_queue)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1;
    int size = 1;

    fd = open_arena(conn, peer);
    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_eq(setsockopt(uds_conn_get_fd(conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 10000; i++) { /* it never reads */
        refer(peer, 1, 0, 100);
        if (uds_conn_process(conn) < 0)
            break;
        cr_assert_leq(conn->out.count, 64);
    }
    cr_assert_eq(seen.closes, 1);
    cr_assert_not_null(strstr(uds_conn_get_error_text(conn), "P-46"));
}

Test(arena_hostile, who_announces_what_we_cannot_take_fills_no_queue) /* P-44 */
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
    _cleanup_close_ int fd = make_memory(SLOT, SLOT, SEALS);
    uint64_t number = 0;
    FAULTSOCK({FAULT_RECV, FAULT_CTRUNC, 0, 0}); /* no descriptor is left for us */

    do {
        announce(peer, ++number, SLOT, fd); /* and reads no answer */
        if (uds_conn_process(conn) < 0)
            break;
        cr_assert(udsi_conn_check(conn));
        cr_assert_leq(conn->out.count, 32);
    } while (number < 2000);
    cr_assert(strstr(uds_conn_get_error_text(conn), "P-44"));
}

Test(arena_hostile, an_arena_that_we_cannot_keep_is_refused)
{
    UDS_TEST_GUARD;
    unsigned refused = 0;
    int failed = 1;

    for (size_t nth = 1; failed; nth++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        _cleanup_close_ int fd = make_memory(SLOT, SLOT, SEALS);
        uint64_t id, body = UINT64_MAX;
        uint8_t type;
        int r;

        announce(peer, 1, SLOT, fd);
        udsi_block_trim();
        heap_fail(nth);
        r = uds_conn_process(conn);
        failed = heap_has_failed();
        heap_fail(0);
        cr_assert(udsi_conn_check(conn));
        if (r == -ENOMEM) /* not even a message could be had */
            continue;
        cr_assert_geq(r, 0);
        (void)uds_conn_process(conn);
        cr_assert(next_frame(peer, &type, &id, &body));
        cr_assert_eq(type, UDS_MSG_RELEASE);
        refused += body == 0;
        cr_assert_eq(conn->arenas->npeer, body != 0);
        cr_assert(failed || body == 1);
    }
    cr_assert_gt(refused, 0);
}
