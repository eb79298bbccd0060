/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CONFINEMENT_H
#define SBXI_CONFINEMENT_H

#include "plan.h"

/* A memfd with the blob of a session (steps.h), or -errno. @cgroup: the sandbox has one. */
int sbxi_confinement_write(const sbx_plan *plan, bool cgroup);

#endif
