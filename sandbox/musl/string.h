/* SPDX-License-Identifier: MIT */
/* What musl lacks of glibc's <string.h>; cli/texts makes it. */
#ifndef SBXI_MUSL_STRING_H
#define SBXI_MUSL_STRING_H

#include_next <string.h>

const char *strerrordesc_np(int number);

#endif
