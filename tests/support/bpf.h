/* SPDX-License-Identifier: MIT */
#ifndef TEST_BPF_H
#define TEST_BPF_H

#include <stddef.h>
#include <stdint.h>

#include <linux/seccomp.h>

/* What a seccomp program returns for one system call: an interpreter of classic BPF, for calls that would end the test. */
uint32_t bpf_run(const void *code, size_t length, const struct seccomp_data *data);

#endif
