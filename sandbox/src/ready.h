/* SPDX-License-Identifier: MIT */
#ifndef SBXI_READY_H
#define SBXI_READY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Filters of our own profiles for a payload without capabilities, made when the library was built (sandbox/filters). A
 * filter depends on the architecture and on libseccomp's tables, not on the machine that it is loaded on.
 */
struct sbxi_ready {
    int profile; /* enum sbx_seccomp; -1 after the last */
    bool guarded;
    const void *code;
    size_t length;
};

extern const struct sbxi_ready sbxi_ready[];

#endif
