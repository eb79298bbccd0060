/* SPDX-License-Identifier: MIT */
/* The table of media. A new one is a file in media/ and an entry here. */
#include "media.h"

#include <string.h>

const struct medium *const media[] = {
    &medium_uds_stream,    &medium_uds_seqpacket, &medium_uds_dgram,       &medium_tcp,
    &medium_pipe,          &medium_cacheline,     &medium_libuds,          &medium_libuds_seqpacket,
    &medium_libuds_inline, &medium_libuds_slots,  &medium_libuds_uncached, &medium_libuds_arena,
    &medium_libuds_ring,   &medium_libuds_event,  &medium_libevent,        &medium_zeromq,
    &medium_exec,          &medium_sandbox_bare,  &medium_sandbox_net,     &medium_sandbox,
    &medium_sandbox_warm,  &medium_broker_warm,   &medium_bare_command,    &medium_uds_run,
    &medium_uds_run_bare,  &medium_bwrap,         &medium_uds_run_limits,  &medium_runc,
};
const size_t media_count = sizeof(media) / sizeof(media[0]);

const struct medium *media_find(const char *name)
{
    for (size_t i = 0; i < media_count; i++)
        if (strcmp(media[i]->name, name) == 0)
            return media[i];
    return NULL;
}
