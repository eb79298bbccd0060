/* SPDX-License-Identifier: MIT */
#ifndef SBXI_COPY_H
#define SBXI_COPY_H

#include <sys/types.h>

/* What is in @from, @size bytes, into the empty file @to: shared where the file system can, holes stay holes. 0 or -errno. */
int sbxi_copy_data(int from, int to, off_t size);

#endif
