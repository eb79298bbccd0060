/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CONFINE_H
#define ROUTER_CONFINE_H

#include <stdbool.h>

#include <sys/types.h>

/* What the router gives away before it reads the first byte. */
struct confine_options {
    bool drop_user; /* started as root: become @uid and @gid */
    uid_t uid;
    gid_t gid;
    int control_fd; /* kept, with 0, 1 and 2; everything else is closed */
};

/** confine_parse() - the router's command line: [--uid N --gid N]. 0, or -EINVAL. */
int confine_parse(int argc, char **argv, struct confine_options *ret);
/**
 * router_confine() - no way back
 * @ret_step: on failure what failed, for the message; static
 * Returns 0 or -errno. After a failure the process is half confined and must exit.
 */
int router_confine(const struct confine_options *options, const char **ret_step);

#endif
