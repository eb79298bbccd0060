/* SPDX-License-Identifier: MIT */
#ifndef SBXI_BPF_H
#define SBXI_BPF_H

#include <stddef.h>
#include <stdint.h>

#include <linux/seccomp.h>

/* What a seccomp program returns for one system call: an interpreter of classic BPF, for calls that would end who asks. */
uint32_t bpf_run(const void *code, size_t length, const struct seccomp_data *data);

#endif
