/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PROGRAM_H
#define SUPERVISOR_PROGRAM_H

#include <sbx/sandbox.h>
#include <stddef.h>

/*
 * Where a program of ours is: beside this one, in ../libexec/uds, in UDS_LIBEXECDIR. 0 or -ENOENT
 * with @error.
 */
int program_find(const char *name, char *ret_path, size_t size, struct sbx_error *error);

#endif
