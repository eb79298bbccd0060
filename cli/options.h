/* SPDX-License-Identifier: MIT */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "value.h"

/* What options bring: the body of a message, and descriptors. */

/* The bytes that go out with a message. */
struct body {
    char *data; /* NULL: none, or argv's */
    const char *bytes;
    size_t len;
};

/*
 * NULL = empty, "-" = all of standard input, anything else is the body itself. CLI_OK or an exit code after printing.
 * Standard input over 16 MiB is refused: that is the broker's limit.
 */
int body_load(struct body *body, const char *argument);
void body_free(struct body *body);

/* Headers to send: name, value, …, NULL, as the library wants them; the names are ours. */
struct header_list {
    char *strings[2 * 64 + 1];
    size_t count; /* strings */
};

/* "NAME=VALUE". CLI_OK or an exit code after printing. */
int header_list_add(struct header_list *list, const char *text);
const char *const *header_list_get(const struct header_list *list);
void header_list_free(struct header_list *list);

/* Descriptors to send. */
struct fd_list {
    int fds[253];
    size_t count;
    bool owned[253];
};

/* CLI_OK or an exit code after printing. */
int fd_list_add_number(struct fd_list *list, const char *text);
int fd_list_add_file(struct fd_list *list, const char *path); /* opened read-only */
void fd_list_close(struct fd_list *list);

#endif
