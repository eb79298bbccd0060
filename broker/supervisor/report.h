/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REPORT_H
#define SUPERVISOR_REPORT_H

#include "member.h"
#include "sockets.h"
#include "status.h"

/* Status lines about one sandbox: it runs; it has ended (@wait_ms until the restart, -1 = none). */
void report_started(const struct status *status, const struct member *member);
/* Of its sockets those that its payload could turn into connections of its own. */
void report_unsealed(const struct status *status, const char *name, const struct sockets *sockets);
/* What it has told since @before. */
void report_told(const struct status *status,
                 const struct member *m,
                 const struct sbx_notify *before);
void report_ended(const struct status *status, const struct member *member, int wait_ms);

/* One that was to wait could not be made. */
void report_not_warm(const struct status *status, const char *name, const char *why);

#endif
