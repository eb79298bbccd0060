/* SPDX-License-Identifier: MIT */
#ifndef SBX_SECRET_H
#define SBX_SECRET_H

#include <sbx/error.h>
#include <stddef.h>

/*
 * Where secrets of a sandbox (@secrets of a spec) come from, said in words: "file:/PATH", "env:VARIABLE".
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never,
 * threads: any, since: 0.1.
 */

#define SBX_SECRETS_MAX       32u
#define SBX_SECRETS_MAX_BYTES (1u << 20) /* of all of a sandbox together */

UDS_BEGIN_DECLS

/**
 * sbx_secret_check_name() - can a secret be called so, 1 to 64 letters, digits, '.', '_' and '-', no '.' first?
 * @ret_why: static text, what is wrong with it; may be NULL
 *
 * Errors: -EINVAL.
 */
UDS_EXPORT int sbx_secret_check_name(const char *name, const char **ret_why);
/**
 * sbx_secret_check_source() - is it of one of those forms, with an absolute path?
 * @ret_why: static text, what is wrong with it, never any of @source; may be NULL
 *
 * Errors: -EINVAL.
 */
UDS_EXPORT int sbx_secret_check_source(const char *source, const char **ret_why);
/**
 * sbx_secret_open() - what is there now, in sealed memory, which can be the descriptor of any number of starts
 * @limit_bytes: what is larger is an error
 * @ret_size:    may be NULL
 * @error:       names @source and says why and what to do, never what is in it; may be NULL
 *
 * A file must be a regular one of the caller's or root's, that others cannot read and nobody else can write. Root reads it by
 * a path without symbolic links, in a directory that nobody else may write, or a sticky one of root's: whoever else writes there
 * would otherwise choose a file of root's.
 *
 * Ownership: the caller closes *@ret_fd.
 * Errors: -EINVAL no such form; -ENOENT no such file or variable; -EACCES others may read or write it; -ELOOP a symbolic
 *   link; -EFBIG larger than the limit; -errno of open(2), read(2); -ENOMEM; -EMFILE.
 * Blocking: a read of a file.   Threads: any, while nobody calls setenv(3).
 */
UDS_EXPORT UDS_NODISCARD int sbx_secret_open(
    const char *source, size_t limit_bytes, int *ret_fd, size_t *ret_size, struct sbx_error *error);
/**
 * sbx_secret_forget() - if it is a variable, it goes from our environment, and its value from our memory
 *
 * Threads: any, while no other reads the environment.
 */
UDS_EXPORT void sbx_secret_forget(const char *source);

UDS_END_DECLS

#endif
