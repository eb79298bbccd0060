/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: a file is opened here and read there, by a worker that need not be able to open it.
 *
 *   fdpass FILE       prints FILE in capitals
 *
 *   parent ── FILE, open for reading ──▶ worker      looks at what it was given before it reads it
 *   parent ◀── a sealed memfd ────────── worker      looks whether it may be mapped before it maps it
 * Both looks matter: who sends a descriptor decides what it is, and can go on using it.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include <uds/conn.h>
#include <uds/fdset.h>
#include <uds/msg.h>

#define LIMIT       (1u << 20) /* no file and no answer is larger */
#define PATIENCE_MS 5000

/* Sends a descriptor, which is gone from here in every case. */
static int send_fd(uds_conn *conn, int fd)
{
    uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0);

    if (r == 0)
        r = uds_msg_push_fd(msg, fd); /* success moves it into the message, failure leaves it */
    if (r < 0)
        close(fd);
    else
        r = uds_conn_send_wait(conn, msg, PATIENCE_MS);
    uds_msg_unref(msg);
    return r;
}

/* The descriptor of the next message, ours to close, or -errno. */
static int receive_fd(uds_conn *conn)
{
    uds_msg *msg = NULL;
    int r = uds_conn_receive_wait(conn, &msg, PATIENCE_MS);

    if (r == 0)
        r = uds_msg_take_fd(msg, 0); /* more than one: closed with it */
    uds_msg_unref(msg);
    return r;
}

/* The worker: the file's bytes in capitals, in memory that nobody can change any more. */
static int work(uds_conn *conn)
{
    static char text[LIMIT];
    struct uds_fd_info info;
    int file = receive_fd(conn);
    int r = file < 0 ? file : uds_fd_classify(file, &info);

    if (r < 0)
        return r;
    fprintf(stderr, "worker: was given: %s\n", uds_fd_kind_name(info.kind));
    /* A pipe may never end, and reading a device may do things. */
    if (info.kind != UDS_FD_FILE_RO || info.size > LIMIT)
        return -EINVAL;
    ssize_t n = pread(file, text, sizeof(text), 0); /* the parent shares the position */
    for (ssize_t i = 0; i < n; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    int memory;
    r = n < 0 ? -errno : uds_memfd_new(text, (size_t)n, &memory);
    return r < 0 ? r : send_fd(conn, memory);
}

static int ask(uds_conn *conn, const char *path)
{
    uint64_t size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC), memory;
    int r = file < 0 ? -errno : send_fd(conn, file);

    if (r < 0 || (r = memory = receive_fd(conn)) < 0)
        return r;
    /* On tmpfs, sealed, without holes: it can neither shrink nor change while we look at it. */
    r = uds_memfd_check(memory, LIMIT, &size);
    void *text = r == 0 && size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, memory, 0) : "";
    close(memory);
    return text == MAP_FAILED ? -ENOMEM : fwrite(text, 1, size, stdout) == size ? r : -EIO;
}

int main(int argc, char **argv)
{
    int ends[2];
    uds_conn *conn = NULL;
    pid_t pid = -1;

    if (argc == 2 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0)
        pid = fork(); /* before there is a connection: one does not survive a fork */
    if (pid < 0)
        return fprintf(stderr, "usage: fdpass FILE\n"), 2;
    int worker = pid == 0;
    close(ends[!worker]);
    int r = uds_conn_new(&conn, ends[worker], NULL);
    if (r == 0)
        r = worker ? work(conn) : ask(conn, argv[1]);
    if (r < 0)
        fprintf(stderr, "%s: %s: %s\n", worker ? "worker" : "fdpass", argv[1], strerror(-r));
    uds_conn_unref(conn);
    return r < 0;
}
