/* SPDX-License-Identifier: MIT */
#ifndef SBXI_JAIL_READER_H
#define SBXI_JAIL_READER_H

#include <sys/types.h>

#include "elf-head.h"

/*
 * A child that reads what may be hostile: it is sent a file's descriptor and answers with a struct sbxi_elf, which
 * is checked here before it is believed. It can open nothing, signal nobody, exec nothing: own uid when root, no new
 * privileges, tight rlimits, and a seccomp filter of the handful of calls that it makes.
 */
struct sbxi_jail_reader {
    int pidfd;
    int socket;
};

int sbxi_jail_reader_start(struct sbxi_jail_reader *ret);
/* @fd stays the caller's. 0 with @ret filled (its own err may be set), -EPROTO: the child died or answered nonsense. */
int sbxi_jail_reader_read(struct sbxi_jail_reader *reader, int fd, struct sbxi_elf *ret);
void sbxi_jail_reader_end(struct sbxi_jail_reader *reader);

#endif
