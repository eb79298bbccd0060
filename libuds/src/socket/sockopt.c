/* SPDX-License-Identifier: MIT */
/*
 * Socket options. Those that ask for credentials and refuse descriptors belong to the description, not to the process: a
 * peer that holds the same socket may change them at any time, so nothing that is received is trusted to keep to them.
 */

#include "socket/sockopt.h"

#include <errno.h>

#include <sys/socket.h>

#include "socket/kernel.h"

#define RECORD_OVERHEAD 32 /* net/unix/af_unix.c, unix_dgram_sendmsg() */

int udsi_sockopt_get(int fd, int option, int *ret)
{
    int value = 0;
    socklen_t len = sizeof(value);

    if (getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0)
        return -errno;
    *ret = value;
    return 0;
}

static int set(int fd, int option, int value)
{
    return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int udsi_sockopt_refuse_fds(int fd)
{
    return set(fd, SO_PASSRIGHTS, 0);
}

bool udsi_sockopt_refuses_fds(int fd)
{
    int value = 1;

    return udsi_sockopt_get(fd, SO_PASSRIGHTS, &value) == 0 && value == 0;
}

int udsi_sockopt_ask_claims(int fd, bool cred, bool pidfd)
{
    int r = cred ? set(fd, SO_PASSCRED, 1) : 0;

    if (r == 0 && pidfd)
        r = set(fd, SO_PASSPIDFD, 1);
    return r == -ENOPROTOOPT ? 0 : r;
}

int udsi_sockopt_get_record_max(int fd, unsigned *ret)
{
    int sndbuf = 0;
    int r = udsi_sockopt_get(fd, SO_SNDBUF, &sndbuf);

    if (r == 0)
        *ret = sndbuf > RECORD_OVERHEAD ? (unsigned)sndbuf - RECORD_OVERHEAD : 0;
    return r;
}
