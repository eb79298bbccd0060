/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_HOST_H
#define THUMBNAIL_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

/* What the host's own kernel says about a process that only knows itself from inside. Unknown stays unknown. */
struct host_process {
    bool known;
    pid_t pid;
    uid_t uid;
    char cgroup[512]; /* "" = that of the reader, or unknown */
    bool same_cgroup; /* no cgroup of its own */
    char cpu[48];     /* "50% of a CPU", "" = no limit, or unknown */
    uint64_t memory;  /* bytes, 0 = no limit, or unknown */
    uint64_t pids;    /* 0 = no limit, or unknown */
};

/* The process that is @pid inside the pid namespace with that inode number. */
void host_find(uint64_t pid_namespace, pid_t pid, struct host_process *ret);
/* Inode number of our own namespace, 0 if unknown. */
uint64_t host_namespace(const char *name);
/* Our own interfaces, "lo, eth0". */
void host_interfaces(char *buf, size_t size);

#endif
