/* SPDX-License-Identifier: MIT */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stddef.h>

enum {
    INPUT_FILTER = 4096 * 8, /* the kernel takes no longer one */
    INPUT_ARGUMENTS = 16 << 20,
};

/* All that can be read from @fd, malloc'ed, with a NUL behind it; @fd is closed. NULL with errno, EFBIG if that is more than
 * @most bytes: it stays open. */
char *input_read(int fd, size_t most, size_t *ret_length);

#endif
