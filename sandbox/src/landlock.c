/* SPDX-License-Identifier: MIT */
/* What the kernel knows of Landlock. The rules themselves are made where they apply, in uds-sandbox-init. */

#include <errno.h>

#include "kernel.h"
#include "plan.h"

int sbxi_landlock_abi(void)
{
    int abi = sbxi_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : abi;
}
