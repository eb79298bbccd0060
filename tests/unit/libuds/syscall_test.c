/* SPDX-License-Identifier: MIT */

/*
 * Every system call of libuds/src/socket, and of what makes connections and datagram sockets, fails with every errno that it
 * may have, at every place where a scenario makes it. (Those that move messages do so in failure_test.c and dgram_loop_test.c.)
 * Whatever fails: an error of that number or a typed one comes back or the work is done all the same, nothing hangs, no descriptor
 * and no file is left behind.
 */

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <uds/cred.h>
#include <uds/dgram.h>
#include <uds/fdset.h>
#include <uds/listener.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "faultcall.h"
#include "guard.h"

static char dir[64];

static struct uds_addr address(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct uds_addr address(const char *format, ...)
{
    struct uds_addr addr;
    char text[1000];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    int r = uds_addr_parse(text, &addr);
    cr_assert_eq(r, 0, "%s: %s", text, strerror(-r));
    return addr;
}

/* ---- scenarios: the result that the library gave ---- */

static int listen_and_accept(const struct uds_addr *addr,
                             const struct uds_listener_options *options)
{
    uds_listener *listener = NULL;
    uds_conn *a = NULL, *b = NULL;
    struct uds_cred cred;
    int fd, r = uds_listener_new(&listener, addr, options);

    if (r == 0)
        r = uds_conn_connect(&a, addr, NULL, 0);
    if (r == 0) {
        fd = uds_listener_accept(listener);
        r = fd < 0 ? fd : uds_conn_new(&b, fd, NULL);
        if (fd >= 0 && r < 0)
            close(fd);
    }
    if (r == 0) {
        r = uds_cred_from_socket(uds_conn_get_fd(b), UINT32_MAX, &cred);
        if (r == 0)
            uds_cred_clear(&cred);
    }
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    (void)uds_listener_free(listener);
    return r;
}

/* A stale file is taken over; the file has an owner and a mode. */
static int by_path(void)
{
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct uds_addr addr = address("unix:%s/s", dir);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = stale < 0 ? -errno : 0;

    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", dir);
    if (r == 0 && bind(stale, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        r = -errno;
    if (stale >= 0)
        close(stale);
    options.mode = 0666;
    options.owner = getuid();
    options.refuse_fds = true;
    return r < 0 ? r : listen_and_accept(&addr, &options);
}

static int by_long_path(void)
{
    struct uds_addr addr = address("seqpacket:%s/%090d", dir, 1);

    return listen_and_accept(&addr, NULL);
}

static int by_abstract_name(void)
{
    struct uds_addr addr = address("unix:@uds-syscall-%d", getpid());

    return listen_and_accept(&addr, NULL);
}

static int by_descriptor(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = fd < 0 ? -errno : 0;
    uds_listener *listener = NULL;

    if (r == 0 &&
        (bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 || listen(fd, 1) < 0))
        r = -errno;
    if (r == 0) {
        struct uds_addr addr = address("fd:%d", fd);

        r = uds_listener_new(&listener, &addr, NULL);
    }
    (void)uds_listener_free(listener);
    if (fd >= 0)
        close(fd);
    return r;
}

static int by_pidfd(void)
{
    struct uds_cred cred;
    int pidfd = pidfd_open(getpid(), 0), r = uds_cred_from_pidfd(pidfd, UINT32_MAX, &cred);

    if (r == 0)
        uds_cred_clear(&cred);
    close(pidfd);
    return r;
}

static int of_descriptors(void)
{
    struct uds_fd_info info;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    r = uds_fd_classify(pair[0], &info);
    if (r == 0)
        r = uds_fd_classify(STDIN_FILENO, &info);
    uds_fd_close(pair[0]);
    uds_fd_close(pair[1]);
    return r;
}

static int of_memfds(void)
{
    const void *mapped = NULL;
    struct uds_fd_info info;
    void *copy = NULL;
    size_t size = 0;
    int fd = -1, r = uds_memfd_new("hello", 5, &fd);

    if (r == 0)
        r = uds_fd_classify(fd, &info);
    if (r == 0)
        r = uds_memfd_map(fd, 100, &mapped, &size);
    if (r == 0)
        uds_memfd_unmap(mapped, size);
    if (r == 0)
        r = uds_memfd_read(fd, 100, &copy, &size);
    if (r == 0)
        cr_assert(size == 5 && memcmp(copy, "hello", 5) == 0);
    free(copy);
    if (fd >= 0)
        close(fd);
    return r;
}

static int exchange(uds_conn *a, uds_conn *b, size_t len)
{
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    void *room = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0);

    if (r == 0)
        r = uds_msg_reserve_body(msg, len, &room);
    if (r == 0) {
        memset(room, 7, len);
        r = -ENOBUFS;
    }
    for (int i = 0; i < 20 && r == -ENOBUFS; i++) {
        (void)uds_conn_process(a);
        (void)uds_conn_process(b);
        r = uds_conn_send(a, msg);
    }
    for (int i = 0; i < 20 && r == 0 && !got; i++) {
        (void)uds_conn_process(a);
        r = uds_conn_receive(b, &got);
        r = r < 0 ? r : 0;
    }
    return r == 0 && !got ? -ETIMEDOUT : r;
}

/* An arena, which SEQPACKET cannot do without. */
static int of_arenas(void)
{
    uds_conn *a = NULL, *b = NULL;
    int r = uds_conn_pair_records(&a, &b, NULL);

    if (r == 0)
        r = exchange(a, b, 300000);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    return r;
}

/* A ring that cannot be had is no error: messages go by the socket. */
static int of_rings(void)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *a = NULL, *b = NULL;
    int r;

    options.ring_bytes = 65536;
    options.ring_propose = true;
    r = uds_conn_pair(&a, &b, &options);
    if (r == 0)
        r = exchange(a, b, 1000);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    return r;
}

/* Looks for a socket in $XDG_RUNTIME_DIR, where there is none. */
static int of_the_default_address(void)
{
    struct uds_addr addr;

    (void)unsetenv("UDS_BROKER");
    (void)setenv("XDG_RUNTIME_DIR", dir, 1);
    return uds_addr_default(&addr);
}

static int of_datagrams(void)
{
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    struct uds_addr addr = address("dgram:%s/d", dir), own;
    uds_dgram *server = NULL, *client = NULL;
    int r;

    options.mode = 0666;
    r = uds_dgram_new(&server, &addr, &options);
    options.autobind = true;
    if (r == 0)
        r = uds_dgram_new(&client, NULL, &options);
    if (r == 0)
        r = uds_dgram_connect(client, &addr);
    if (r == 0)
        r = uds_dgram_get_addr(client, &own);
    (void)uds_dgram_unref(client);
    (void)uds_dgram_unref(server);
    return r;
}

static const struct {
    const char *name;
    int (*play)(void);
} scenarios[] = {
    {"a listener on a path", by_path},
    {"a listener on a long path", by_long_path},
    {"a listener on an abstract name", by_abstract_name},
    {"a listener that was inherited", by_descriptor},
    {"the identity behind a pidfd", by_pidfd},
    {"kinds of descriptors", of_descriptors},
    {"memfds", of_memfds},
    {"an arena", of_arenas},
    {"a ring", of_rings},
    {"datagram sockets", of_datagrams},
    {"the default address", of_the_default_address},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* What the kernel may say, by the calls that say it; EINTR where a call can be interrupted. */
static const int errors[] = {
    EINTR,      EAGAIN,       EMFILE,       ENFILE,   ENOMEM, ENOBUFS, EPERM,       EACCES,
    EINVAL,     EBADF,        ENOENT,       ENOTDIR,  ENOSYS, ENOTTY,  ENOPROTOOPT, EOPNOTSUPP,
    EADDRINUSE, ECONNREFUSED, ECONNABORTED, ENOTCONN, EIO,    ENOSPC,  EROFS,       EEXIST,
    ESRCH,      ENAMETOOLONG, ELOOP,        EBUSY,    ETXTBSY};
#define ERRORS (sizeof(errors) / sizeof(errors[0]))

static size_t count_open(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void make_dir(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/uds-syscall-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

/* An unlinkat that failed leaves a file, which is no fault of ours: the next one takes it over. */
static void clear_dir(void)
{
    DIR *files = opendir(dir);
    const struct dirent *entry;

    cr_assert_not_null(files);
    while ((entry = readdir(files)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            cr_assert_eq(unlinkat(dirfd(files), entry->d_name, 0), 0);
    (void)closedir(files);
}

static unsigned fail_everywhere(size_t s, enum faultcall call, unsigned count)
{
    unsigned failed = 0;

    for (unsigned nth = 1; nth <= count; nth++) {
        for (size_t e = 0; e < ERRORS; e++) {
            size_t before = count_open();

            faultcall_arm(call, nth, errors[e]);
            int r = scenarios[s].play();
            faultcall_disarm();
            cr_assert(r <= 0 && r > -4096, "%s: %d", scenarios[s].name, r);
            cr_assert_eq(count_open(), before,
                         "%s: %s number %u fails with %s: descriptors are left", scenarios[s].name,
                         faultcall_name(call), nth, strerrorname_np(errors[e]));
            failed += r < 0;
        }
        clear_dir();
    }
    return failed;
}

static unsigned seen[FAULTCALL_COUNT], told[FAULTCALL_COUNT];

Test(failing_calls, of_every_kind_at_every_place_with_every_errno)
{
    UDS_TEST_GUARD;
    make_dir();
    for (size_t s = 0; s < SCENARIOS; s++) {
        unsigned counts[FAULTCALL_COUNT];

        faultcall_arm(0, 0, 0);
        int r = scenarios[s].play();
        faultcall_disarm();
        cr_assert_eq(r, 0, "%s does not work at all: %s", scenarios[s].name, strerror(-r));
        for (unsigned call = 0; call < FAULTCALL_COUNT; call++)
            counts[call] = faultcall_count((enum faultcall)call);
        for (unsigned call = 0; call < FAULTCALL_COUNT; call++) {
            seen[call] += counts[call];
            told[call] += fail_everywhere(s, (enum faultcall)call, counts[call]);
        }
    }
    for (unsigned call = 0; call < FAULTCALL_COUNT; call++)
        cr_expect_gt(seen[call], 0, "no scenario calls %s", faultcall_name((enum faultcall)call));
    /* Those without which nothing can be: their failure has to be told. */
    static const enum faultcall vital[] = {
        FAULTCALL_socket,  FAULTCALL_connect,    FAULTCALL_bind,         FAULTCALL_listen,
        FAULTCALL_accept4, FAULTCALL_getsockopt, FAULTCALL_memfd_create, FAULTCALL_ftruncate,
        FAULTCALL_mmap,    FAULTCALL_fcntl,      FAULTCALL_openat};
    for (size_t i = 0; i < sizeof(vital) / sizeof(vital[0]); i++)
        cr_expect_gt(told[vital[i]], 0, "%s fails and nobody hears", faultcall_name(vital[i]));
    cr_assert_eq(rmdir(dir), 0);
}

Test(failing_calls, that_move_a_byte_at_a_time_lose_nothing)
{
    UDS_TEST_GUARD;
    static const enum faultcall calls[] = {FAULTCALL_read, FAULTCALL_pread, FAULTCALL_write};

    make_dir();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        unsigned count = 0;

        for (size_t s = 0; s < SCENARIOS; s++) {
            faultcall_shorten(calls[i]);
            int r = scenarios[s].play();
            faultcall_disarm();
            cr_assert_eq(r, 0, "%s: %s: %s", faultcall_name(calls[i]), scenarios[s].name,
                         strerror(-r));
            count += faultcall_count(calls[i]);
        }
        cr_expect_gt(count, 4, "%s", faultcall_name(calls[i]));
    }
    clear_dir();
    cr_assert_eq(rmdir(dir), 0);
}
