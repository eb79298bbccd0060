/* SPDX-License-Identifier: MIT */
#ifndef SBX_JAIL_H
#define SBX_JAIL_H

#include <sbx/error.h>

/*
 * What programs need to run: their interpreters and the shared objects that their ELF headers name (DT_NEEDED,
 * RUNPATH), found as ld.so(8) would and without running anything. A sandbox of SBX_ROOT_JAIL shows these files and
 * no others; here they are listed, or copied for chroot(8). ELF is parsed in an unprivileged child.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * until that child is done, threads: any, since: 0.1.
 */

UDS_BEGIN_DECLS

/**
 * sbx_jail_list() - files that a jail of these binaries needs, as host paths
 * @binaries:  absolute paths, NULL-terminated; also "@nss", "@locale", "@tls": what programs read for these, unsaid
 * @ret_paths: malloc'ed strings in a malloc'ed NULL-terminated array
 * @error:     may be NULL
 *
 * Ownership: the caller frees the strings and the array.
 * Errors: -ENOENT a file is missing (@error names it and who needs it); -ENOEXEC it is no program; -ENOMEM.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_jail_list(const char *const *binaries, char ***ret_paths, struct sbx_error *error);
/**
 * sbx_jail_build() - a copy of them for chroot(8)
 * @directory: absolute path, made if missing; what is in it stays, files of the same names are replaced. Links in it
 *   are not followed
 * @binaries:  as sbx_jail_list()
 * @error:     may be NULL
 *
 * With the links that lead to them, and empty /proc, /sys, /dev, /run, /tmp (1777). Set-user-ID and set-group-ID
 * bits are not copied. After a failure what was copied stays.
 *
 * Errors: as sbx_jail_list(); -ELOOP a link is in the way; -errno of the file system.
 * Blocking: until all is copied.   Threads: any, one at a time for one directory.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_jail_build(const char *directory, const char *const *binaries, struct sbx_error *error);

UDS_END_DECLS

#endif
