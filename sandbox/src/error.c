/* SPDX-License-Identifier: MIT */
/*
 * A struct sbx_error is filled once, where the failure is understood, and travels up unchanged. Text that came from
 * the sandbox's side (a name in an init record) may be in it, so control characters never get through.
 */

#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int sbxi_error(struct sbx_error *error, int err, const char *format, ...)
{
    if (!error)
        return -err;
    va_list ap;
    va_start(ap, format);
    error->err = err;
    error->exec = false;
    error->step = false;
    if (vsnprintf(error->text, sizeof error->text, format, ap) < 0)
        error->text[0] = '\0';
    va_end(ap);
    for (unsigned char *c = (unsigned char *)error->text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F */
            c[0] = c[1] = '?';
    return -err;
}
