/* SPDX-License-Identifier: MIT */
#ifndef SBXI_JAIL_GROUPS_H
#define SBXI_JAIL_GROUPS_H

/* Each host path of "@nss", "@locale" or "@tls". -EINVAL no such group; -ENOENT this host has none of it; what @fn returned below 0. */
int sbxi_jail_group(const char *name, int (*fn)(const char *path, void *userdata), void *userdata);

#endif
