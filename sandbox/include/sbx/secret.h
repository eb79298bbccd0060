/* SPDX-License-Identifier: MIT */
#ifndef SBX_SECRET_H
#define SBX_SECRET_H

#include <sbx/sandbox.h>
#include <stddef.h>

/*
 * Where secrets of a sandbox (@secrets of a spec) come from, said in words: "file:/PATH", "env:VARIABLE". Since 0.2, all of it.
 * The conventions of sbx/sandbox.h hold.
 */

#define SBX_SECRETS_MAX       32u
#define SBX_SECRETS_MAX_BYTES (1u << 20) /* of all of a sandbox together */

/*
 * Can a secret be called @name, 1 to 64 letters, digits, '.', '_' and '-', no '.' first? Touches nothing.
 * @ret_why (may be NULL): static text, what is wrong with it. Errors: -EINVAL.
 */
int sbx_secret_check_name(const char *name, const char **ret_why);
/* Is @source of one of those forms, with an absolute path? As above; the text never holds any of @source. */
int sbx_secret_check_source(const char *source, const char **ret_why);

/*
 * What is there now, in sealed memory, which can be the @fd of any number of starts.
 * A file must be a regular one of the caller's or root's, that others cannot read and nobody else can write. Root reads it by a
 * path without symbolic links, in a directory that nobody else may write: it would otherwise choose a file of root's.
 * @limit_bytes: what is larger is an error
 * @ret_size:    may be NULL
 * Ownership: the caller closes *@ret_fd.
 * Errors: -EINVAL no such form; -ENOENT no such file or variable; -EACCES others may read or write it; -ELOOP a symbolic link;
 * -EFBIG; -errno of open(2), read(2); -ENOMEM, -EMFILE. @error names @source and says why and what to do, never what is in it.
 * Blocking: a read of a file.
 */
int sbx_secret_open(
    const char *source, size_t limit_bytes, int *ret_fd, size_t *ret_size, struct sbx_error *error);
/*
 * If it is a variable, it goes from our environment, and its value from our memory. Not while another thread reads the
 * environment.
 */
void sbx_secret_forget(const char *source);

#endif
