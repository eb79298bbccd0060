/* SPDX-License-Identifier: MIT */

#include "fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "conn/msg.h"

int fuzz_lowest_fd(void)
{
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

    close(fd);
    return fd;
}

uds_conn *fuzz_move(uds_conn *conn)
{
    _cleanup_snapshot_ uds_snapshot *from = NULL, *to = NULL;
    _cleanup_free_ int *copies = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;
    uds_conn *moved;

    if (uds_snapshot_new(&from) < 0)
        abort();
    if (uds_conn_serialise(conn, from) < 0)
        return conn;
    uds_snapshot_peek(from, &data, &len, &fds, &nfds);
    copies = calloc(nfds + 1, sizeof(*copies));
    if (!copies)
        abort();
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    (void)uds_conn_unref(conn);
    if (uds_snapshot_open(&to, data, len, copies, nfds) < 0 || uds_conn_restore(&moved, to) < 0)
        abort();
    return moved;
}
