/* SPDX-License-Identifier: MIT */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stddef.h>

/* All that can be read from @fd, malloc'ed, with a NUL behind it; @fd is closed. NULL with errno: it stays open. */
char *input_read(int fd, size_t *ret_length);

#endif
