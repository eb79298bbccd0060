/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ERROR_H
#define SUPERVISOR_ERROR_H

#include <sbx/sandbox.h>

/* Fills @error with one line, "what: on which thing: why: what to do", and returns -@err. */
int error_set(struct sbx_error *error, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
