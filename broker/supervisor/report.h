/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REPORT_H
#define SUPERVISOR_REPORT_H

#include "member.h"
#include "status.h"

/* Status lines about one sandbox: it runs; it has ended (@wait_ms until the restart, -1 = none). */
void report_started(const struct status *status, const struct member *member);
void report_ended(const struct status *status, const struct member *member, int wait_ms);

#endif
