/* SPDX-License-Identifier: MIT */
/* What glibc's <sys/resource.h> calls the type that it has of its own. */
#ifndef SBXI_MUSL_SYS_RESOURCE_H
#define SBXI_MUSL_SYS_RESOURCE_H

#include_next <sys/resource.h>
typedef int __rlimit_resource_t;

#endif
