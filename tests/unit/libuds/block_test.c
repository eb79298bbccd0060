/* SPDX-License-Identifier: MIT */
/* Blocks of memory that a thread keeps, and that a steady flow of messages needs nothing else. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include <uds/conn.h>
#include <uds/msg.h>

#include "block.h"
#include "guard.h"
#include "heap.h"

Test(block, gives_every_size_and_keeps_its_bytes)
{
    UDS_TEST_GUARD;
    static const size_t sizes[] = {1,    511,  512,   513,   1536,  1537,  4096,   4608,
                                   4609, 8192, 33280, 65536, 66048, 66049, 1000000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int round = 0; round < 3; round++) {
            unsigned char *block = udsi_block_alloc(sizes[i]);

            cr_assert_not_null(block);
            memset(block, 0xa5, sizes[i]);
            udsi_block_free(block, sizes[i]);
        }
    }
    udsi_block_free(NULL, 100);
    udsi_block_trim();
}

Test(block, is_used_again_without_the_heap)
{
    UDS_TEST_GUARD;
    void *block = udsi_block_alloc(600);
    size_t before;

    udsi_block_free(block, 600);
    before = heap_count();
    for (int i = 0; i < 100; i++) {
        block = udsi_block_alloc(1500); /* the same class of sizes */
        udsi_block_free(block, 1500);
    }
    cr_assert_eq(heap_count(), before);
    udsi_block_trim();
    block = udsi_block_alloc(600);
    cr_assert_eq(heap_count(), before + 1, "trim gives everything back");
    udsi_block_free(block, 600);
}

Test(block, keeps_no_more_than_its_bound)
{
    UDS_TEST_GUARD;
    enum {
        MANY = 1000
    };
    void *blocks[MANY];
    size_t before;

    for (int i = 0; i < MANY; i++)
        blocks[i] = udsi_block_alloc(UDSI_BLOCK_SMALLEST);
    for (int i = 0; i < MANY; i++)
        udsi_block_free(blocks[i], UDSI_BLOCK_SMALLEST);
    before = heap_count();
    for (int i = 0; i < MANY; i++)
        blocks[i] = udsi_block_alloc(UDSI_BLOCK_SMALLEST);
    cr_assert_eq(heap_count() - before, MANY - UDSI_BLOCK_KEEP / UDSI_BLOCK_SMALLEST);
    for (int i = 0; i < MANY; i++)
        udsi_block_free(blocks[i], UDSI_BLOCK_SMALLEST);
}

static void *free_there(void *block)
{
    udsi_block_free(block, 700);
    udsi_block_free(udsi_block_alloc(3000), 3000);
    return NULL;
}

/* The guard finds what the thread would leave behind. */
Test(block, of_one_thread_may_be_freed_by_another_which_then_ends)
{
    UDS_TEST_GUARD;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, free_there, udsi_block_alloc(700)), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void send_one(uds_conn *conn, const void *body, size_t len, int fd)
{
    uds_msg *msg;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, body, len), 0);
    if (fd >= 0)
        cr_assert_eq(uds_msg_push_dup_fd(msg, fd), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    (void)uds_msg_unref(msg);
}

static void receive_one(uds_conn *conn, size_t len)
{
    uds_msg *msg;
    size_t got;

    cr_assert_eq(uds_conn_receive_wait(conn, &msg, -1), 0);
    (void)uds_msg_peek_body(msg, &got);
    cr_assert_eq(got, len);
    (void)uds_msg_unref(msg);
}

static const unsigned char body[65536];

/* @burst messages there and one back. */
static void exchange(uds_conn *a, uds_conn *b, size_t len, int burst, int fd)
{
    for (int i = 0; i < burst; i++)
        send_one(a, body, len, fd);
    cr_assert_eq(uds_conn_flush(a), 0);
    for (int i = 0; i < burst; i++)
        receive_one(b, len);
    send_one(b, body, len, fd);
    cr_assert_eq(uds_conn_flush(b), 0);
    receive_one(a, len);
}

static size_t allocations_by(enum uds_body_path path, size_t len, int burst, int fd)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *a, *b;
    size_t before;

    options.body_path = path;
    cr_assert_eq(uds_conn_pair(&a, &b, &options), 0);
    (void)uds_conn_process(a);
    (void)uds_conn_process(b);
    (void)uds_conn_process(a);
    /* Until buffers have the size that this flow needs, arenas are there, and each way has been tried. */
    for (int i = 0; i < (len < 32768 ? 600 : 3000); i++)
        exchange(a, b, len, burst, fd);
    before = heap_count();
    for (int i = 0; i < 200; i++)
        exchange(a, b, len, burst, fd);
    before = heap_count() - before;
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    return before;
}

static size_t allocations(size_t len, int burst, int fd)
{
    return allocations_by(UDS_BODY_PATH_MEASURED, len, burst, fd);
}

Test(block, lets_a_steady_flow_of_messages_go_without_the_heap)
{
    UDS_TEST_GUARD;

    cr_assert_eq(allocations(0, 1, -1), 0);
    cr_assert_eq(allocations(64, 1, -1), 0);
    cr_assert_eq(allocations(64, 200, -1), 0, "a burst");
    cr_assert_eq(allocations(4096, 1, -1), 0);
    cr_assert_eq(allocations(32768, 1, -1), 0);
    for (int path = UDS_BODY_PATH_ARENA; path <= UDS_BODY_PATH_IN_FRAMES; path++)
        cr_assert_eq(allocations_by((enum uds_body_path)path, 32768, 1, -1), 0, "path %d", path);
    cr_assert_eq(allocations(64, 1, 0), 0, "with a descriptor");
}
