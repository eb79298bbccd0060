/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_HEADER_H
#define UDSI_CONN_HEADER_H

#include <stdbool.h>

#include <uds/msg.h>

/* @headers: NULL, or name, value, …, NULL. Errors: as uds_msg_add_header(); -EINVAL a name without a value. */
int udsi_headers_add(uds_msg *msg, const char *const *headers);

/* All fields of @from, which has nothing but HEADERs; NULL is none. */
int udsi_headers_copy(uds_msg *msg, const uds_msg *from);

#endif
