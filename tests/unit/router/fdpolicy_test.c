/* SPDX-License-Identifier: MIT */
/* Descriptors: what may go to whom, and what is copied on the way. */
#include <errno.h>
#include <fcntl.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <uds/fdset.h>

#include "fdcopy.h"
#include "fdpolicy.h"
#include "holder.h"
#include "world.h"

static uds_msg *message_with(int fd)
{
    uds_msg *msg;
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_PUBLISH, 0, NULL, 0), 0);
    cr_assert_eq(uds_msg_push_fd(msg, fd), 0);
    return msg;
}

static const struct fdpolicy_receiver anyone = {.mask = ~0u};

Test(fdpolicy, refuses_by_kind_on_both_sides_and_says_which)
{
    UDS_TEST_GUARD;
    uds_msg *msg = message_with(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct fdpolicy_decision d = fdpolicy_check(msg, UDS_FD_MEMFD, &anyone, NULL);
    cr_expect_eq(d.verdict, FDPOLICY_REFUSE);
    cr_expect_str_eq(d.detail, "descriptor 0 is directory: the sender may not send this kind");
    struct fdpolicy_receiver none = {.mask = UDS_FD_MEMFD};
    d = fdpolicy_check(msg, ~0u, &none, NULL);
    cr_expect_eq(d.verdict, FDPOLICY_REFUSE);
    cr_expect_str_eq(d.detail, "descriptor 0 is directory: the receiver may not receive this kind");
    cr_expect_eq(fdpolicy_check(msg, UDS_FD_DIRECTORY, &anyone, NULL).verdict, FDPOLICY_PASS);
    uds_msg_unref(msg);
}

Test(fdpolicy, tells_whether_the_receiver_could_change_the_file)
{
    static const struct {
        uint32_t uid, gid, mode;
        bool may;
    } table[] = {
        {0, 0, 0644, false},   {0, 0, 0666, true},     {500, 0, 0400, true},
        {599, 0, 0444, true},  {600, 0, 0644, false},  {0, 500, 0660, true},
        {0, 500, 0644, false}, {65534, 0, 0400, true}, {0, 0, 0602, true},
    };
    const struct fdpolicy_receiver receiver = {
        .is_sandbox = true, .uid_first = 500, .uid_count = 100};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct uds_fd_info info = {
            .uid = table[i].uid, .gid = table[i].gid, .mode = S_IFREG | table[i].mode};
        cr_expect_eq(fdpolicy_may_change(&receiver, fd, &info), table[i].may, "row %zu", i);
    }
    close(fd);
}

/* A file of ours with some bytes in it, opened read-only. */
static int make_file(const char *text, mode_t mode)
{
    char path[] = "/tmp/uds-fdpolicy-XXXXXX";
    int rw = mkstemp(path), ro = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(rw >= 0 && ro >= 0);
    cr_assert_eq(write(rw, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(rw, mode);
    close(rw);
    unlink(path);
    return ro;
}

static char call_all[] = ">", nobody[] = "", decoder[] = "decoder", label[] = "rule";
static char *everything[] = {call_all};

static void open_world(struct world *w, struct world_config *c, bool guarded, uint32_t uid_first)
{
    world_config_init(c);
    c->sandbox[0].guarded = guarded;
    c->sandbox[0].uid_first = uid_first;
    c->sandbox[0].uid_count = 1;
    Uds__Supervisor__Rule *rule = world_rule(c, decoder, label);
    rule->n_serve = rule->n_subscribe = 1;
    rule->serve = rule->subscribe = everything;
    rule->fds_receive = UDS_FD_FILE_RO;
    rule->fds_send = UDS_FD_MEMFD;
    rule = world_rule(c, nobody, label);
    rule->any = true;
    rule->n_call = rule->n_publish = 1;
    rule->call = rule->publish = everything;
    world_open(w, c);
    world_listen(w, 1, 0);
}

/* Calls with a file and returns what the server got. */
static int pass(struct world *w, int file, uds_conn **ret_server, uds_conn **ret_client)
{
    uds_conn *server = world_link(w, 1, 1), *client = world_connect(w);
    world_subscribe(w, server, 1, "thumb", 1);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 4, "thumb", "body");
    cr_assert_eq(uds_msg_push_fd(msg, file), 0);
    world_send(client, msg);
    uds_msg *request = world_receive(w, server);
    cr_assert_eq(uds_msg_get_type(request), UDS_MSG_REQUEST);
    cr_assert(world_body_is(request, "body"));
    int fd = uds_msg_take_fd(request, 0);
    cr_assert(fd >= 0);
    uds_msg_unref(request);
    *ret_server = server;
    *ret_client = client;
    return fd;
}

Test(fdpolicy, passes_a_file_that_the_sandbox_cannot_change)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    struct uds_fd_info info;
    open_world(&w, &c, false, 0x70000000);
    int fd = pass(&w, make_file("picture", 0644), &server, &client);
    cr_assert_eq(uds_fd_classify(fd, &info), 0);
    cr_expect_eq(info.kind, UDS_FD_FILE_RO);
    close(fd);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}

Test(fdpolicy, hands_over_a_sealed_copy_where_the_sandbox_owns_the_file)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    struct uds_fd_info info;
    char buf[16] = "";
    uint64_t size;
    open_world(&w, &c, false, getuid());
    int file = make_file("picture", 0600);
    lseek(file, 3, SEEK_SET);
    int fd = pass(&w, file, &server, &client);
    cr_assert_eq(uds_fd_classify(fd, &info), 0);
    cr_expect_eq(info.kind, UDS_FD_MEMFD);
    cr_expect_eq(uds_memfd_check(fd, 1000, &size), 0);
    cr_expect_eq(size, 7);
    cr_expect_eq(read(fd, buf, sizeof(buf)), 4, "with the file's offset");
    cr_expect_str_eq(buf, "ture");
    close(fd);
    uds_conn_unref(server);
    uds_conn_unref(client);
    WAIT_FOR(&w, w.router->quota.accounts.count == 0);
    world_close(&w);
}

Test(fdpolicy, passes_the_file_itself_to_a_guarded_sandbox)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    struct uds_fd_info info;
    open_world(&w, &c, true, getuid());
    int fd = pass(&w, make_file("picture", 0600), &server, &client);
    cr_assert_eq(uds_fd_classify(fd, &info), 0);
    cr_expect_eq(info.kind, UDS_FD_FILE_RO);
    close(fd);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}

Test(fdpolicy, keeps_the_order_of_messages_behind_a_copy)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c, false, getuid());
    uds_conn *sub = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, sub, 1, "x", 0);
    int big = memfd_create("source", MFD_CLOEXEC), file = make_file("", 0600);
    close(big);
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 0, "x", "first");
    cr_assert_eq(uds_msg_push_fd(msg, file), 0);
    world_send(client, msg);
    world_send(client, world_msg(UDS_MSG_PUBLISH, 0, "x", "second"));
    world_send(client, world_msg(UDS_MSG_PUBLISH, 0, "x", "third"));
    static const char *const expect[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        uds_msg *got = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
        cr_expect(world_body_is(got, expect[i]));
        uds_msg_unref(got);
    }
    uds_conn_unref(sub);
    uds_conn_unref(client);
    world_close(&w);
}

/* In the world, as long as somebody holds a lock of @file's: the caller must not wait for it. */
static void pass_held(int file, int held, ssize_t (*call)(int fd, void *page))
{
    struct world w;
    struct world_config c;
    struct holder holder;
    uds_conn *server, *client;
    char buf[16] = "";
    open_world(&w, &c, false, getuid());
    holder_begin(&holder, held, call);
    int fd = pass(&w, file, &server, &client);
    cr_expect_eq(pread(fd, buf, sizeof(buf), 0), 7);
    cr_expect_str_eq(buf, "picture");
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 3, "with the file's offset");
    holder_end(&holder);
    close(fd);
    uds_conn_unref(server);
    uds_conn_unref(client);
    WAIT_FOR(&w, w.router->quota.accounts.count == 0);
    world_close(&w);
}

Test(fdpolicy, copies_a_file_whose_description_somebody_holds, .timeout = 10)
{
    UDS_TEST_GUARD;
    int file = make_file("picture", 0600), held = dup(file);
    lseek(file, 3, SEEK_SET);
    pass_held(file, held, holder_read);
    close(held);
}

Test(fdpolicy, copies_a_file_whose_inode_somebody_holds, .timeout = 10)
{
    UDS_TEST_GUARD;
    char path[] = "/tmp/uds-fdpolicy-XXXXXX";
    int rw = mkstemp(path), ro = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    unlink(path);
    if (ro < 0)
        cr_skip_test("no O_DIRECT in /tmp, which is what waits for the inode: %s", strerror(errno));
    cr_assert_eq(write(rw, "picture", 7), 7);
    lseek(ro, 3, SEEK_SET);
    pass_held(ro, rw, holder_pwrite);
    close(rw);
}

static void on_copied(uds_msg *msg, int error, const struct fdpolicy_copies *copies, void *arg)
{
    struct uds_fd_info *info = arg;
    cr_assert_eq(error, 0);
    cr_assert(fdpolicy_is_copy(copies, 0));
    cr_assert_eq(uds_fd_classify(uds_msg_peek_fd(msg, 0), info), 0);
    uds_msg_unref(msg);
}

/* How long the copy is of a file of 18 bytes, if @size was charged. */
static uint64_t copied_size(uint64_t size)
{
    struct event_base *base = event_base_new();
    struct uds_fd_info info = {0};
    struct fdcopy *copy;
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 4, "thumb", NULL);
    cr_assert_eq(uds_msg_push_fd(msg, make_file("it changed lately.", 0644)), 0);
    cr_assert_eq(fdcopy_start(&copy, base, msg, 0, size, NULL, on_copied, &info), 0);
    while (info.size == 0)
        event_base_loop(base, EVLOOP_ONCE);
    cr_expect_eq(info.kind, UDS_FD_MEMFD);
    fdcopy_free(copy);
    uds_msg_unref(msg);
    event_base_free(base);
    return info.size;
}

Test(fdpolicy, copies_no_more_of_a_file_than_was_charged)
{
    UDS_TEST_GUARD;
    cr_expect_eq(copied_size(6), 6);
}

Test(fdpolicy, copies_no_more_than_is_left_of_a_file_that_has_shrunk)
{
    UDS_TEST_GUARD;
    cr_expect_eq(copied_size(100), 18, "not the rest of the page");
    cr_expect_eq(copied_size(FDCOPY_CHUNK + 1), 18, "nor of the chunk");
}

Test(fdpolicy, refuses_a_file_that_is_too_large_to_copy)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c, false, getuid());
    uds_conn *server = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 1, "thumb", 1);
    char path[] = "/tmp/uds-fdpolicy-XXXXXX";
    int rw = mkstemp(path), ro = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(ftruncate(rw, 65ll << 20), 0);
    unlink(path);
    close(rw);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 4, "thumb", NULL);
    cr_assert_eq(uds_msg_push_fd(msg, ro), 0);
    world_send(client, msg);
    uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 4);
    cr_expect_eq(world_status(reply), UDS_STATUS_FD_REFUSED);
    cr_expect_str_eq(world_text(reply, UDS_FIELD_RULE), "fd policy");
    uds_msg_unref(reply);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}

/* A file of ours of @size bytes, all holes: its copy is as large. */
static int make_large(off_t size)
{
    char path[] = "/tmp/uds-fdpolicy-XXXXXX";
    int rw = mkstemp(path), ro = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(rw >= 0 && ro >= 0);
    cr_assert_eq(ftruncate(rw, size), 0);
    unlink(path);
    close(rw);
    return ro;
}

static uint64_t copied_by_sandbox(const struct world *w)
{
    const struct account *account;
    for (size_t pos = 0; (account = table_next(&w->router->quota.accounts, &pos)) != NULL;) {
        if (account->is_sandbox)
            return account->used[QUOTA_COPIED_BYTES];
    }
    return 0;
}

Test(fdpolicy, charges_copies_until_the_last_holder_lets_go)
{
    UDS_TEST_GUARD;
    enum {
        KEPT = 2
    };
    struct world w;
    struct world_config c;
    int kept[KEPT];
    open_world(&w, &c, false, getuid());
    c.quota.queued_bytes = 32u << 20; /* so copies may take 128 MiB, those of one sender 64 */
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *server = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 1, "x", 0);
    for (uint64_t i = 0; i < KEPT + 1; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, i + 1, "x", NULL);
        cr_assert_eq(uds_msg_push_fd(msg, make_large(30 << 20)), 0);
        world_send(client, msg);
        msg = world_expect(&w, client, UDS_MSG_ACK, i + 1);
        cr_expect_eq(world_status(msg), i < KEPT ? UDS_STATUS_OK : UDS_STATUS_FD_REFUSED,
                     "copy %zu: %s", (size_t)i, world_text(msg, UDS_FIELD_DETAIL));
        uds_msg_unref(msg);
        if (i >= KEPT)
            continue;
        msg = world_expect(&w, server, UDS_MSG_DELIVER, 1);
        kept[i] = uds_msg_take_fd(msg, 0);
        uds_msg_unref(msg);
    }
    cr_expect_eq(copied_by_sandbox(&w), 60u << 20);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, kept[0], 0);
    close(kept[0]);
    close(kept[1]);
    WAIT_FOR(&w, copied_by_sandbox(&w) == 30u << 20); /* the map keeps the first */
    munmap(map, 4096);
    WAIT_FOR(&w, copied_by_sandbox(&w) == 0);
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 9, "x", NULL);
    cr_assert_eq(uds_msg_push_fd(msg, make_large(30 << 20)), 0);
    world_send(client, msg);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_ACK, 9), UDS_STATUS_OK);
    uds_conn_unref(server); /* with the message unread */
    uds_conn_unref(client);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(fdpolicy, charges_copies_to_the_generation_where_nobody_can_watch_them)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    open_world(&w, &c, false, getuid());
    int group = w.router->copied_group;
    w.router->copied_group = -1; /* as where the kernel or a container refuses it */
    close(pass(&w, make_file("picture", 0600), &server, &client));
    for (int i = 0; i < 5; i++)
        world_turn(&w);
    cr_expect_eq(copied_by_sandbox(&w), 64u << 10, "small ones have a price, too");
    uds_conn_unref(server);
    uds_conn_unref(client);
    c.sandbox[0].generation = 2;
    world_sandbox(&w, &c.sandbox[0]);
    WAIT_FOR(&w, world_is_empty(&w));
    w.router->copied_group = group;
    world_close(&w);
}

Test(fdpolicy, refuses_descriptors_to_several_receivers)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c, false, 0x70000000);
    uds_conn *a = world_link(&w, 1, 1), *b = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, a, 1, "x", 0);
    world_subscribe(&w, b, 1, "x", 0);
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 9, "x", NULL);
    cr_assert_eq(uds_msg_push_fd(msg, make_file("x", 0644)), 0);
    world_send(client, msg);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_ACK, 9), UDS_STATUS_FD_REFUSED);
    uds_conn_unref(a);
    uds_conn_unref(b);
    uds_conn_unref(client);
    world_close(&w);
}

Test(fdpolicy, tells_both_ends_when_a_reply_is_refused)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c, false, 0x70000000);
    uds_conn *server = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 1, "thumb", 1);
    world_send(client, world_msg(UDS_MSG_REQUEST, 4, "thumb", NULL));
    uds_msg *request = world_receive(&w, server);
    uds_msg *reply = world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, NULL);
    cr_assert_eq(uds_msg_push_fd(reply, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), 0);
    world_send(server, reply);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 4), UDS_STATUS_FD_REFUSED);
    cr_expect_eq(world_answer(&w, server, UDS_MSG_NOTICE, uds_msg_get_id(request)),
                 UDS_STATUS_FD_REFUSED);
    uds_msg_unref(request);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}
