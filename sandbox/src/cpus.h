/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CPUS_H
#define SBXI_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of CPUs, and its text as the kernel's cpusets have it: "0-1,3". Trailing newlines are ignored. */

#define SBXI_CPUS 4096

struct sbxi_cpus {
    uint64_t bits[SBXI_CPUS / 64];
};

/* -EINVAL malformed or empty, -ERANGE beyond SBXI_CPUS. */
int sbxi_cpus_parse(const char *text, struct sbxi_cpus *ret);
/* -E2BIG: does not fit. */
int sbxi_cpus_format(const struct sbxi_cpus *cpus, char *ret, size_t size);
bool sbxi_cpus_contain(const struct sbxi_cpus *all, const struct sbxi_cpus *some);

#endif
