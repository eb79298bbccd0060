/* SPDX-License-Identifier: MIT */
#ifndef SBXI_NETLINK_H
#define SBXI_NETLINK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Requests of rtnetlink(7): a message is begun, gets attributes, and is answered with an error or none. What does not fit
 * is found when it is sent. Sockets live in the network namespace where they were made.
 */
struct sbxi_netlink {
    _Alignas(8) char bytes[1024];
    size_t length; /* beyond the size of @bytes: it did not fit */
};

/* @body: the struct that follows the header of a message of @type. */
void sbxi_netlink_begin(
    struct sbxi_netlink *message, uint16_t type, uint16_t flags, const void *body, size_t length);
/* Bytes that are no attribute: the struct that some attributes begin with. */
void sbxi_netlink_append(struct sbxi_netlink *message, const void *data, size_t length);
void sbxi_netlink_add(struct sbxi_netlink *message, uint16_t type, const void *data, size_t length);
void sbxi_netlink_add_text(struct sbxi_netlink *message, uint16_t type, const char *text);
void sbxi_netlink_add_u32(struct sbxi_netlink *message, uint16_t type, uint32_t value);
/* Attributes in an attribute: what is added until sbxi_netlink_close(). */
size_t sbxi_netlink_open(struct sbxi_netlink *message, uint16_t type);
void sbxi_netlink_close(struct sbxi_netlink *message, size_t opened);
/* Sends it and waits for the kernel's answer: 0 or -errno. */
int sbxi_netlink_call(int socket, struct sbxi_netlink *message);
/* Of what the kernel answers to a question, one attribute of one byte behind a struct of @body bytes; -ENOENT: it has none. */
int sbxi_netlink_get_u8(int socket, struct sbxi_netlink *message, size_t body, uint16_t type);

/*
 * A socket of NETLINK_ROUTE in the network namespace @netns (-1: ours), entered by way of the user namespace @userns (-1: we
 * have the right). @groups: RTMGRP_… to be told of. -errno.
 */
int sbxi_netlink_socket(int userns, int netns, uint32_t groups);

#endif
