/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CONFINE_SECCOMP_H
#define ROUTER_CONFINE_SECCOMP_H

/** confine_seccomp() - from here on only the router's own system calls. 0 or -errno. Cannot be undone. */
int confine_seccomp(void);

#endif
