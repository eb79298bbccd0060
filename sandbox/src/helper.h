/* SPDX-License-Identifier: MIT */
#ifndef SBXI_HELPER_H
#define SBXI_HELPER_H

#include <limits.h>
#include <sbx/sandbox.h>

/*
 * Opens a program of ours: beside the running executable, in ../libexec/uds from there, in UDS_LIBEXECDIR.
 * @ret_path (may be NULL) gets where it was found. Returns an O_PATH|O_CLOEXEC fd for execveat(fd, "", …,
 * AT_EMPTY_PATH), or -ENOENT with an error that names the places, -EACCES with why what is there is not taken.
 */
int sbxi_helper_open(const char *name, char ret_path[PATH_MAX], struct sbx_error *error);

#endif
