/* SPDX-License-Identifier: MIT */
#ifndef UDS_CRED_H
#define UDS_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/version.h>

/*
 * Who is at the other end, as the kernel says it. Every fact has a bit in @known: what the kernel could not attest
 * is unknown, never guessed. SO_PEERCRED freezes at connect(2)/listen(2)/socketpair(2) (unix(7)): on a socketpair
 * that a third party made, it names that third party.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * any, since: 0.1. A struct uds_cred belongs to one thread at a time.
 */

UDS_BEGIN_DECLS

enum uds_cred_fact {
    /* as seen from our pid namespace; a peer that is not visible there has it unknown */
    UDS_CRED_PID = 1u << 0,
    /* effective, as seen from our user namespace. Unknown when it may be the overflow id (65534), which the kernel
     * shows for every id that has no number in our namespace: see uds_cred_init() */
    UDS_CRED_UID = 1u << 1,
    UDS_CRED_GID = 1u << 2,       /* the same */
    UDS_CRED_GROUPS = 1u << 3,    /* SO_PEERGROUPS, 4.13 */
    UDS_CRED_LABEL = 1u << 4,     /* SO_PEERSEC, when an LSM gives one */
    UDS_CRED_PIDFD = 1u << 5,     /* SO_PEERPIDFD, 6.5 */
    UDS_CRED_CGROUP = 1u << 6,    /* path in the cgroup v2 tree, needs /proc */
    UDS_CRED_CGROUP_ID = 1u << 7, /* PIDFD_GET_INFO, 6.13 */
    /* inode numbers of all namespaces in @ns; needs ptrace-read rights on the peer. Of one alone: UDS_CRED_NS_OF() */
    UDS_CRED_NS = 1u << 8,
};

/* The bit of one namespace, for who needs no other: each costs three system calls. UDS_CRED_NS sets those of all. */
#define UDS_CRED_NS_OF(ns) (1u << (16 + (unsigned)(ns)))

enum uds_ns {
    UDS_NS_NET,
    UDS_NS_IPC,
    UDS_NS_MNT,
    UDS_NS_PID,
    UDS_NS_USER,
    UDS_NS_UTS,
    UDS_NS_CGROUP,
    UDS_NS_COUNT
};

#define UDS_CRED_GROUPS_MAX \
    64 /* more are truncated and UDS_CRED_GROUPS stays unset: a partial list is no list */

struct uds_cred {
    uint32_t known; /* enum uds_cred_fact bits, and those of UDS_CRED_NS_OF() */
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd; /* -1 when unknown; owned by this struct */
    size_t ngroups;
    gid_t groups[UDS_CRED_GROUPS_MAX];
    char label[256];
    char cgroup[4096];
    uint64_t cgroup_id;
    uint64_t ns[UDS_NS_COUNT]; /* inode numbers, 0 where not readable */
};

/**
 * uds_cred_init() - note what the calls below would otherwise read from /proc/self, for a process that gives /proc up
 *
 * Whether 65534 is somebody, or anybody whom our user namespace does not map, is for /proc/self/uid_map and gid_map to say
 * (user_namespaces(7), "Unmapped user and group IDs"). Without /proc and without this call the id 65534 is unknown.
 *
 * Ownership: none moves.   Errors: as open(2) of those files; then nothing is noted.   Blocking: reads of /proc.
 * Threads: any; call it again after unshare(2) or setns(2) of a user namespace.   Since: 0.1.
 */
UDS_EXPORT int uds_cred_init(void);

/**
 * uds_cred_from_socket() - ask the kernel who the peer of a connected socket is
 * @fd:    connected AF_UNIX socket
 * @facts: bits of enum uds_cred_fact and of UDS_CRED_NS_OF() that are wanted; costs are paid only for those (pid, uid and gid always come)
 * @ret:   written on success only; release with uds_cred_clear()
 *
 * Facts that come from /proc are read after the pidfd is held and kept only if the peer is still alive afterwards,
 * so a re-used pid can never lend its identity.
 *
 * Ownership: @ret owns its pidfd.   Errors: -EINVAL, -ENOTCONN, -EMFILE/-ENFILE. A wanted fact that the kernel cannot
 *            give is no error: its bit stays unset.
 * Blocking:  reads of /proc.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_cred_from_socket(int fd, uint32_t facts, struct uds_cred *ret);

/**
 * uds_cred_from_pidfd() - the same from a pidfd that somebody passed
 * @pidfd: process to look at; borrowed, duplicated into @ret
 * @facts: as above
 * @ret:   written on success only
 *
 * Ownership: @pidfd stays the caller's.   Errors: -EBADF not a pidfd, -ESRCH the process is gone.
 * Blocking:  reads of /proc.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_cred_from_pidfd(int pidfd, uint32_t facts, struct uds_cred *ret);

/**
 * uds_cred_clear() - release what a cred holds
 * @cred: NULL is fine; afterwards nothing in it is known
 *
 * Ownership: closes the pidfd.   Errors: none.   Blocking: never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT void uds_cred_clear(struct uds_cred *cred);

/** uds_ns_name() - "net", "ipc", … as in /proc/PID/ns. Static string; "?" for a value out of range. Since: 0.1. */
UDS_EXPORT const char *uds_ns_name(enum uds_ns ns);

UDS_END_DECLS

#endif
