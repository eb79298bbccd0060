/* SPDX-License-Identifier: MIT */
#ifndef UDS_ADDR_H
#define UDS_ADDR_H

#include <stddef.h>

#include <uds/version.h>

/*
 * Addresses as users write them:
 *
 *   unix:/run/x.sock   unix:@name   fd:3   /run/x.sock         stream
 *   seqpacket:/run/x   seqpacket:@name                          records, connected
 *   dgram:/run/x       dgram:@name                              records
 *
 * '@' is an abstract name: it lives in a *network* namespace and has no permissions (unix(7)).
 */

UDS_BEGIN_DECLS

enum uds_addr_kind {
    UDS_ADDR_PATH = 1,
    UDS_ADDR_ABSTRACT = 2,
    UDS_ADDR_FD = 3,
};

#define UDS_ADDR_PATH_MAX \
    4096 /* PATH_MAX; a path over sun_path's 108 bytes is reached through an O_PATH directory fd */

struct uds_addr {
    enum uds_addr_kind kind;
    int sock_type; /* SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM; 0 for fd:, where the socket says */
    int fd;        /* fd: only, otherwise -1; borrowed, never closed by uds_addr functions */
    size_t name_len;
    char name
        [UDS_ADDR_PATH_MAX]; /* path (NUL-terminated) or abstract name without the leading '@' */
};

/**
 * uds_addr_parse() - read an address as users write it
 * @text:     NUL-terminated, not NULL
 * @ret_addr: written on success only
 *
 * Ownership: none moves.
 * Errors:    -EINVAL empty, unknown scheme, or fd: without a number >= 0; -ENAMETOOLONG path of 4096 bytes or more or
 *            a last component over 107 bytes, abstract name over 107 bytes (sun_path is 108, unix(7)).
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_addr_parse(const char *text, struct uds_addr *ret_addr);

/**
 * uds_addr_format() - write an address as users read it
 * @addr: valid address, not NULL
 * @buf:  receives a NUL-terminated text; UDS_ADDR_PATH_MAX + 16 bytes always suffice
 * @size: bytes in @buf
 *
 * Ownership: none moves.   Errors: -ENOBUFS @buf is too small (nothing useful is in it).
 * Blocking:  never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_addr_format(const struct uds_addr *addr, char *buf, size_t size);

/**
 * uds_addr_default() - where the broker is, when the user named no address
 * @ret_addr: written on success only
 *
 * $UDS_BROKER if set and not empty, then $XDG_RUNTIME_DIR/uds/broker.sock if that variable is set and the socket
 * exists, then /run/uds/broker.sock. In a program that has more rights than who runs it (setuid, file capabilities:
 * secure_getenv(3)) there is neither variable.
 *
 * Ownership: none moves.   Errors: as uds_addr_parse() for $UDS_BROKER.
 * Blocking:  one stat(2).   Threads: any, while nobody calls setenv(3).   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_addr_default(struct uds_addr *ret_addr);

UDS_END_DECLS

#endif
