/* SPDX-License-Identifier: MIT */
#ifndef UDS_SNAPSHOT_H
#define UDS_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include <uds/version.h>

/*
 * State on its way from one process image to the next: an append-only byte string with descriptors beside it, written
 * by …_serialise() functions and read back, in the same order, by …_restore() functions.
 *
 * Errors are sticky: after the first failure every put does nothing and every get yields 0, -1 or empty, so that a
 * chain of calls needs one check at its end (uds_snapshot_error()). Little-endian, lengths checked on every read.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors but the sticky one,
 * blocking: never, threads: a snapshot belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_snapshot uds_snapshot;

/** uds_snapshot_new() - an empty snapshot to write into. Returns 0 and @ret, which the caller frees, or -ENOMEM. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_snapshot_new(uds_snapshot **ret);

/**
 * uds_snapshot_open() - a snapshot to read, from bytes and fds that arrived somehow
 * @ret:  written on success only; the caller frees it
 * @data: @len bytes, may be NULL when @len is 0
 * @fds:  @nfds descriptors in the order they were put; may be NULL when @nfds is 0
 *
 * Ownership: @data is copied; success moves all @fds into the snapshot, failure leaves them.   Errors: -ENOMEM.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_snapshot_open(uds_snapshot **ret, const void *data, size_t len, const int *fds, size_t nfds);

/** uds_snapshot_free() - closes fds that nobody got. NULL is fine. Returns NULL. Since: 0.1. */
UDS_EXPORT uds_snapshot *uds_snapshot_free(uds_snapshot *s);

/**
 * uds_snapshot_put_u32() / put_u64() / put_bytes() / put_string() / put_fd() - append a value
 * @data: @len bytes, may be NULL when @len is 0; kept with its length
 * @text: NULL is kept as NULL
 * @fd:   -1 is kept as -1
 *
 * Ownership: copied; @fd is duplicated.
 * Errors:    sticky: -ENOMEM; of an fd what fcntl(2) F_DUPFD_CLOEXEC says, -EBADF or -EMFILE.   Since: 0.1.
 */
UDS_EXPORT void uds_snapshot_put_u32(uds_snapshot *s, uint32_t v);
UDS_EXPORT void uds_snapshot_put_u64(uds_snapshot *s, uint64_t v);
UDS_EXPORT void uds_snapshot_put_bytes(uds_snapshot *s, const void *data, size_t len);
UDS_EXPORT void uds_snapshot_put_string(uds_snapshot *s, const char *text);
UDS_EXPORT void uds_snapshot_put_fd(uds_snapshot *s, int fd);

/**
 * uds_snapshot_get_u32() / get_u64() / get_bytes() / get_string() / get_fd() - read the next value
 * @ret_len: how many bytes, 0 after an error
 *
 * Return what was put; after an error 0, -1 for an fd, NULL for a string, and of bytes a pointer that is not NULL.
 *
 * Ownership: bytes are borrowed until the snapshot is freed; the caller frees a string, and closes an fd.
 * Errors:    sticky: -EBADMSG there is no more, or a length is nonsense; -ENOMEM for a string.   Since: 0.1.
 */
UDS_EXPORT uint32_t uds_snapshot_get_u32(uds_snapshot *s);
UDS_EXPORT uint64_t uds_snapshot_get_u64(uds_snapshot *s);
UDS_EXPORT const void *uds_snapshot_get_bytes(uds_snapshot *s, size_t *ret_len);
UDS_EXPORT char *uds_snapshot_get_string(uds_snapshot *s);
UDS_EXPORT int uds_snapshot_get_fd(uds_snapshot *s);

/** uds_snapshot_error() - 0, or the first error: -ENOMEM, -EMFILE, -EBADF, -EBADMSG (read past the end or a bad length). Since: 0.1. */
UDS_EXPORT int uds_snapshot_error(const uds_snapshot *s);

/** uds_snapshot_fail() - a restore function found nonsense: make -EBADMSG sticky. Since: 0.1. */
UDS_EXPORT void uds_snapshot_fail(uds_snapshot *s);

/** uds_snapshot_peek() - borrow the bytes and fds, to carry them elsewhere (a memfd, SCM_RIGHTS batches): the snapshot's, until the next put. Since: 0.1. */
UDS_EXPORT void uds_snapshot_peek(const uds_snapshot *s,
                                  const void **ret_data,
                                  size_t *ret_len,
                                  const int **ret_fds,
                                  size_t *ret_nfds);

UDS_END_DECLS

#endif
