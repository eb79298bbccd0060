/* SPDX-License-Identifier: MIT */
/*
 * Errors: a struct sbx_error of the supervisor's own, filled once, where the failure is understood, and printed once, at
 * the top.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct sbx_error *error, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    error->err = err;
    return -err;
}
