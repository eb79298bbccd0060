/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LISTEN_ADDRESS_H
#define SBXI_LISTEN_ADDRESS_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdbool.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <uds/addr.h>

/* What "tcp:127.0.0.1:80,netns=blue" says. */
struct sbxi_listen_address {
    bool inet;      /* tcp, udp: @ip; else @local */
    bool any;       /* "*": @ip is IPv6's, and IPv4's port will do where there is none */
    int sock_type;  /* SOCK_STREAM … */
    char host[128]; /* as written, for the name */
    struct sockaddr_storage ip;
    socklen_t ip_length;
    struct uds_addr local;
    unsigned mode;        /* 0 = not given */
    int backlog;          /* 0 = not given */
    char netns[PATH_MAX]; /* path, "" = ours */
};

/* 0, or -EINVAL, -ENAMETOOLONG with @error. */
int sbxi_listen_parse(const char *text, struct sbxi_listen_address *ret, struct sbx_error *error);

#endif
