/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEDIA_H
#define BENCH_MEDIA_H

#include <stddef.h>

#include "link.h"

extern const struct medium medium_uds_stream, medium_uds_seqpacket, medium_uds_dgram, medium_tcp,
    medium_pipe, medium_cacheline, medium_libuds, medium_libuds_seqpacket, medium_libuds_event,
    medium_libuds_inline, medium_libuds_slots, medium_libuds_uncached, medium_libuds_arena,
    medium_libuds_ring, medium_libevent, medium_zeromq, medium_exec, medium_sandbox_bare,
    medium_sandbox_net, medium_sandbox, medium_sandbox_warm, medium_broker_warm, medium_uds_run,
    medium_uds_run_bare, medium_uds_run_limits, medium_bwrap, medium_runc, medium_bare_command;

/* All media in the order in which they are printed, those that this build lacks included. */
extern const struct medium *const media[];
extern const size_t media_count;

/* NULL: there is none of that name. */
const struct medium *media_find(const char *name);

#endif
