/* SPDX-License-Identifier: MIT */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <uds/msg.h>

/* A message of a stranger, for the eyes of people. */

/* May a terminal see it, on one line? */
bool message_is_text(const char *bytes, size_t len);

/* Its headers and descriptors, one a line on stderr. @what: "reply" or "part". */
void message_describe(const uds_msg *msg, const char *what);

#endif
