/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ERROR_H
#define SBXI_ERROR_H

#include <sbx/sandbox.h>

/*
 * Fills @error (may be NULL) with "what: thing: cause; knob" and returns -@err, so that a failure is one line:
 *     return sbxi_error(error, EACCES, "cgroup: %s: …", path);
 * @err is a positive errno value.
 */
int sbxi_error(struct sbx_error *error, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
