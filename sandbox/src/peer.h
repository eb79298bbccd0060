/* SPDX-License-Identifier: MIT */
#ifndef SBXI_PEER_H
#define SBXI_PEER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Who has connected to a launcher: its own user, outside of any sandbox, or nobody. From Linux 6.5 the socket says so
 * (SO_PEERPIDFD). Before that a number is all there is, which may be another process's by the time that we look; so who
 * connects is asked for a secret back, and the kernel says whose number it came from while we hold that process.
 */
struct sbxi_peer {
    int fd;    /* -1 = none */
    int pidfd; /* -1 = we know, or there is none; otherwise of whom the answer has to come */
    int pid;
    uint64_t secret[2];
};

/* Where who is one of ours lives: inodes of namespaces, our own. */
struct sbxi_home {
    uint64_t user_ns, pid_ns;
};

int sbxi_peer_find_home(struct sbxi_home *ret);
/* 0: @ret holds @fd, known or asked. -errno: it is none of ours, or cannot be told; @fd is still the caller's. */
int sbxi_peer_admit(struct sbxi_peer *ret, int fd, const struct sbxi_home *home);
/* The same, asked whatever the socket could say. */
int sbxi_peer_ask(struct sbxi_peer *ret, int fd, const struct sbxi_home *home);
/* Reads what was answered: 0, it is known from now on; -EAGAIN: nothing yet; -EACCES. */
int sbxi_peer_hear(struct sbxi_peer *peer);
void sbxi_peer_close(struct sbxi_peer *peer);

/* The other side, before its first request: answers, on a kernel where it is asked. 0 or -errno. Blocks as @fd does. */
int sbxi_peer_prove(int fd);
int sbxi_peer_answer(int fd);

#endif
