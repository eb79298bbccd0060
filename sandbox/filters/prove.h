/* SPDX-License-Identifier: MIT */
#ifndef SBXI_PROVE_H
#define SBXI_PROVE_H

#include <stdbool.h>

#include <linux/seccomp.h>

#include "filter.h"

/*
 * Whether @one answers as the kernel does with both of @pair loaded: for every number there is and many that there are not,
 * of every architecture that they tell apart, with every combination of values of arguments that they tell apart. If not,
 * @ret_call is a call for which it does not.
 */
bool prove_same(const struct sbxi_filter pair[2],
                const struct sbxi_filter *one,
                struct seccomp_data *ret_call);
/* As the kernel does: the strictest; of the same kind, that of the program that was loaded last. */
uint32_t prove_answer(const struct sbxi_filter pair[2], const struct seccomp_data *call);

#endif
