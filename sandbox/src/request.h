/* SPDX-License-Identifier: MIT */
#ifndef SBXI_REQUEST_H
#define SBXI_REQUEST_H

#include <sbx/warm.h>

#include "admin.h"

struct sbx_request {
    struct sbxi_admin_start start; /* sound */
    struct sbxi_parcel parcel;     /* until it is passed on */
    int control;
};

/* From a peer: can it be used without a surprise? */
bool sbxi_admin_start_is_sound(const struct sbxi_admin_start *start);
/* Takes what is in @parcel on success. 0 or -errno. */
int sbxi_request_new(sbx_request **ret,
                     const struct sbxi_admin_start *start,
                     struct sbxi_parcel *parcel);
/* What was asked for goes into @s, which waits. It does not wait for the execve. */
int sbxi_request_adopt(sbx *s, sbx_request *request, struct sbx_error *error);

#endif
