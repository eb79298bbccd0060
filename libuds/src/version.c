/* SPDX-License-Identifier: MIT */
#include <uds/version.h>

const char *uds_version(void)
{
    return UDS_VERSION_STRING;
}
