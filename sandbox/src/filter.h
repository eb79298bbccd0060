/* SPDX-License-Identifier: MIT */
#ifndef SBXI_FILTER_H
#define SBXI_FILTER_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which system calls a payload has, as BPF. A pure function of what is asked for (and of the file), so that the result can be
 * kept. seccomp.c makes it by libseccomp; ask/seccomp.c asks another program to, where libseccomp is not linked.
 */

/* What is asked for; the file is read. */
struct sbxi_seccomp {
    enum sbx_seccomp profile;
    const char *file;
    bool guarded;
    uint64_t caps;
    bool host_caps; /* they are over the host */
};

struct sbxi_filter { /* BPF as bytes, malloc'ed */
    void *code;
    size_t length;
};

/*
 * As libseccomp makes them: [0] looks at arguments (everything else passes), [1] at numbers. The kernel takes the stricter
 * answer of the two. -errno with @error.
 */
int sbxi_seccomp_pair(const struct sbxi_seccomp *asked,
                      struct sbxi_filter ret[2],
                      struct sbx_error *error);
/* decision.c: one that answers as both do. -ENOTSUP: it has what is not understood here, or too much of it. */
int sbxi_filter_merge(const struct sbxi_filter pair[2], struct sbxi_filter *ret);
/* What is loaded: one, and [1] is empty; or both, where they cannot be merged. -errno with @error. */
int sbxi_seccomp_build(const struct sbxi_seccomp *asked,
                       struct sbxi_filter ret[2],
                       struct sbx_error *error);

#endif
