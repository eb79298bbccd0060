/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_SOCKOPT_H
#define UDSI_SOCKET_SOCKOPT_H

#include <stdbool.h>

/* Socket options of SOL_SOCKET whose value is an int, and what they mean for descriptors and credentials. */

/* 0 and writes @ret, or -errno. */
int udsi_sockopt_get(int fd, int option, int *ret);

/*
 * Has the kernel refuse descriptors for this socket (the sender gets EPERM), and for all that are accepted from it. It
 * stays that way until somebody who holds the socket sets it otherwise. 0, -ENOPROTOOPT before 6.16, -errno.
 */
int udsi_sockopt_refuse_fds(int fd);

/* Does it? False also where the kernel cannot. */
bool udsi_sockopt_refuses_fds(int fd);

/* Has records come with their sender's claims (SO_PASSCRED, SO_PASSPIDFD). A kernel before 6.5 gives no pidfds: no error. */
int udsi_sockopt_ask_claims(int fd, bool cred, bool pidfd);

/* What a record of this socket may have at most: unix_dgram_sendmsg() takes sk_sndbuf - 32 bytes. 0, -errno. */
int udsi_sockopt_get_record_max(int fd, unsigned *ret);

#endif
