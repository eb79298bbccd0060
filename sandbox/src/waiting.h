/* SPDX-License-Identifier: MIT */
#ifndef SBXI_WAITING_H
#define SBXI_WAITING_H

#include <sbx/warm.h>

#include "admin.h"

/* warm.c: the payload's process of @s gets what is in @parcel, of which nothing is taken. It runs, or says why not, later. */
int sbxi_adopt(sbx *s, const struct sbxi_parcel *parcel, struct sbx_error *error);

/* warm.c: what is known only now but for the parcel: name, limits. */
int sbxi_adoption_settle(sbx *s, const struct sbx_adoption *what, struct sbx_error *error);

/* hostname.c: in the uts namespace of @s. */
int sbxi_hostname_set(const sbx *s, const char *hostname, struct sbx_error *error);

#endif
