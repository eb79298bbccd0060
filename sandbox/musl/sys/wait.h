/* SPDX-License-Identifier: MIT */
/* What musl lacks of glibc's <sys/wait.h>. */
#ifndef SBXI_MUSL_SYS_WAIT_H
#define SBXI_MUSL_SYS_WAIT_H

#include_next <sys/wait.h>

#ifndef W_EXITCODE
#define W_EXITCODE(code, signo) ((code) << 8 | (signo))
#endif

#endif
