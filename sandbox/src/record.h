/* SPDX-License-Identifier: MIT */
#ifndef SBXI_RECORD_H
#define SBXI_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

/*
 * One thing that must be gone at the end, in a form of fixed size: on the control socket of the cleaner and, the same
 * bytes, as a slot of its record file. Record files survive crashes and are read as root, so every field is checked
 * (sbxi_record_check()) before anything is done with it.
 */

enum sbxi_record_kind {
    SBXI_RECORD_FREE = 0, /* an empty slot of the file */
    SBXI_RECORD_CGROUP, /* path: a directory on a cgroup file system, last component "uds-…"; killed, removed */
    SBXI_RECORD_LEAF, /* path: the v2 leaf that the owner lives in, "uds-self-…"; removed, never killed */
    SBXI_RECORD_PATH,    /* path: a socket file or a directory */
    SBXI_RECORD_PROCESS, /* number: pid, start: its start time; killed */
    SBXI_RECORD_IDS,     /* number: slice of host ids */
};

#define SBXI_RECORD_MAGIC    0x31524455u /* "UDR1" */
#define SBXI_RECORD_PATH_MAX 984         /* with its NUL */

struct sbxi_record {
    uint32_t magic;
    uint32_t kind;
    uint64_t number;
    uint64_t start;
    uint64_t reserved[2]; /* 0 */
    char path[SBXI_RECORD_PATH_MAX];
};
_Static_assert(sizeof(struct sbxi_record) == 1024, "a slot never straddles a page");

/* -EINVAL, -ENAMETOOLONG (never truncated): what the path needs to be: absolute, no "..", no "//". */
int sbxi_record_set_path(struct sbxi_record *ret, enum sbxi_record_kind kind, const char *path);
void sbxi_record_set_number(struct sbxi_record *ret,
                            enum sbxi_record_kind kind,
                            uint64_t number,
                            uint64_t start);
/* 0, or -EBADMSG: not something that we would have written. */
int sbxi_record_check(const struct sbxi_record *record);
/* Removes the record @name and the socket beside it, if there is one. 0 or -errno. */
int sbxi_record_unlink(int records, const char *name);
/* "12-abcdef00.record" → "12-abcdef00.sock". */
void sbxi_record_socket_name(char ret[80], const char *name);
/* Start time of @pid in clock ticks after boot (/proc/PID/stat, field 22). -ESRCH. */
int sbxi_record_start_time(pid_t pid, uint64_t *ret);

#endif
