/* SPDX-License-Identifier: MIT */
/*
 * The router's picture of the declared sandboxes. Only the supervisor paints it (Configure, SandboxChanged); nothing
 * that a peer says changes it.
 *
 * A start is a generation. The cause in a record is about the last end: that of `generation` when it is no longer
 * running, else that of the one before.
 */
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>

#include "policy.h"
#include "router.h"

#define SERVE_GRACE_USEC 5000000u /* from "running" to the first subscription */

static Uds__Supervisor__Sandbox *info_copy(const Uds__Supervisor__Sandbox *info)
{
    size_t len = uds__supervisor__sandbox__get_packed_size(info);
    uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL)
        return NULL;
    uds__supervisor__sandbox__pack(info, bytes);
    Uds__Supervisor__Sandbox *copy = uds__supervisor__sandbox__unpack(NULL, len, bytes);
    free(bytes);
    return copy;
}

struct sandbox *sandbox_get(const struct router *router, uint32_t id)
{
    return table_get(&router->sandboxes, id);
}

int sandbox_set(struct router *router,
                const Uds__Supervisor__Sandbox *info,
                Uds__Supervisor__Sandbox **ret_before)
{
    struct sandbox *sandbox = sandbox_get(router, info->id);
    Uds__Supervisor__Sandbox *copy = info_copy(info);
    if (copy == NULL)
        return -ENOMEM;
    if (sandbox == NULL) {
        sandbox = calloc(1, sizeof(*sandbox));
        if (sandbox == NULL || table_put(&router->sandboxes, info->id, sandbox) < 0) {
            free(sandbox);
            uds__supervisor__sandbox__free_unpacked(copy, NULL);
            return -ENOMEM;
        }
    }
    if (sandbox->info == NULL || sandbox->info->state != copy->state ||
        sandbox->info->generation != copy->generation || sandbox->info->ready != copy->ready)
        sandbox->changed_usec = router_now_usec();
    *ret_before = sandbox->info;
    sandbox->info = copy;
    return 0;
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
    if (sandbox == NULL)
        return NULL;
    if (sandbox->info != NULL)
        uds__supervisor__sandbox__free_unpacked(sandbox->info, NULL);
    free(sandbox);
    return NULL;
}

/* Is it on its way to serve, or would it start if asked, so that a call may wait for it? */
static bool sandbox_may_come(const struct sandbox *sandbox, uint64_t now_usec)
{
    switch ((int)sandbox->info->state) {
    case UDS__SUPERVISOR__STATE__STARTING:
    case UDS__SUPERVISOR__STATE__BACKOFF:
    case UDS__SUPERVISOR__STATE__STOPPED:
        return true;
    case UDS__SUPERVISOR__STATE__RUNNING:
        if (sandbox->info->notify && !sandbox->info->ready)
            return true; /* it has said that it will say so, and its supervisor has its time */
        /* It runs but has not subscribed yet: give it the time that a program needs to get there. */
        return sandbox->ready_generation != sandbox->info->generation &&
               now_usec - sandbox->changed_usec < SERVE_GRACE_USEC;
    case UDS__SUPERVISOR__STATE__FAILED:
    default:
        return false;
    }
}

struct sandbox *
sandbox_find_server(const struct router *router, const char *subject, uint64_t now_usec)
{
    struct sandbox *sandbox;
    for (size_t pos = 0; (sandbox = table_next(&router->sandboxes, &pos)) != NULL;) {
        if (sandbox_may_come(sandbox, now_usec) &&
            policy_serves(router->policy, sandbox->info->name, subject))
            return sandbox;
    }
    return NULL;
}

bool sandbox_knows_end(const struct sandbox *sandbox, uint32_t generation)
{
    const Uds__Supervisor__Sandbox *info = sandbox->info;
    if (info->cause == UDS__SUPERVISOR__CAUSE__NONE)
        return false;
    return info->generation > generation ||
           (info->generation == generation && info->state != UDS__SUPERVISOR__STATE__RUNNING &&
            info->state != UDS__SUPERVISOR__STATE__STARTING);
}

/* "64 MiB", "1536 KiB", "17 bytes" */
static void format_bytes(char *buf, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    while (unit < 3 && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    /* A peak is seldom a round number: below 10 of a unit two more digits would matter, above they do not. */
    while (unit < 3 && bytes >= 10240) {
        bytes = (bytes + 512) / 1024;
        unit++;
    }
    snprintf(buf, size, "%llu %s", (unsigned long long)bytes, units[unit]);
}

static uint32_t explain_oom(const Uds__Supervisor__Sandbox *info, char *buf, size_t size)
{
    char limit[32], peak[32];
    format_bytes(limit, sizeof(limit), info->value != 0 ? info->value : info->memory_limit);
    format_bytes(peak, sizeof(peak), info->peak_bytes);
    snprintf(buf, size, "%s: killed by OOM: memory limit %s, peak %s", info->name, limit, peak);
    return UDS_STATUS_CALLEE_OOM;
}

uint32_t
sandbox_explain_end(const struct sandbox *sandbox, uint64_t *ret_value, char *buf, size_t size)
{
    const Uds__Supervisor__Sandbox *info = sandbox->info;
    unsigned long long value = info->value;
    const char *text;
    *ret_value = info->value;
    switch ((int)info->cause) {
    case UDS__SUPERVISOR__CAUSE__OOM:
        if (info->value == 0)
            *ret_value = info->memory_limit;
        return explain_oom(info, buf, size);
    case UDS__SUPERVISOR__CAUSE__MEMORY_LIMIT:
        snprintf(buf, size, "%s: %s", info->name, info->detail);
        return UDS_STATUS_MEMORY_LIMIT;
    case UDS__SUPERVISOR__CAUSE__EXITED:
        snprintf(buf, size, "%s: exited with code %llu", info->name, value);
        return UDS_STATUS_CALLEE_EXITED;
    case UDS__SUPERVISOR__CAUSE__SIGNALED:
        text = value < 65 ? sigabbrev_np((int)value) : NULL;
        snprintf(buf, size, "%s: killed by signal %llu%s%s", info->name, value,
                 text != NULL ? " SIG" : "", text != NULL ? text : "");
        return UDS_STATUS_CALLEE_CRASHED;
    case UDS__SUPERVISOR__CAUSE__TIMEOUT:
        text = "stopped, its time was over";
        break;
    case UDS__SUPERVISOR__CAUSE__NOT_READY:
        text = "killed, it was not ready in time";
        break;
    case UDS__SUPERVISOR__CAUSE__WATCHDOG:
        text = "killed by its watchdog";
        break;
    case UDS__SUPERVISOR__CAUSE__STOP:
        text = "was stopped";
        break;
    case UDS__SUPERVISOR__CAUSE__SETUP:
        text = "could not be started";
        break;
    case UDS__SUPERVISOR__CAUSE__NONE:
    default:
        text = "its connection ended";
        break;
    }
    snprintf(buf, size, "%s: %s%s%s", info->name, text, info->detail[0] != '\0' ? ": " : "",
             info->detail);
    return UDS_STATUS_CALLEE_LOST;
}

struct fdpolicy_receiver sandbox_receiver(const struct router *router,
                                          const struct sandbox *sandbox)
{
    struct identity identity;
    const Uds__Supervisor__Sandbox *info = sandbox->info;
    struct fdpolicy_receiver receiver = {.is_sandbox = true,
                                         .sandbox_id = info->id,
                                         .guarded = info->guarded,
                                         .uid_first = info->uid_first,
                                         .uid_count = info->uid_count};
    uint32_t send;
    identity_sandbox(&identity, info->id, info->generation, info->name);
    policy_fds(router->policy, &identity, &send, &receiver.mask);
    return receiver;
}

const char *sandbox_describe_state(const Uds__Supervisor__Sandbox *info)
{
    if (info->state != UDS__SUPERVISOR__STATE__RUNNING || !info->notify)
        return sandbox_state_name(info->state);
    return info->stopping ? "stopping" : info->ready ? "ready" : "starting";
}

const char *sandbox_state_name(Uds__Supervisor__State state)
{
    static const char *const names[] = {"stopped", "starting", "running", "backoff", "failed"};
    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

const char *sandbox_cause_name(Uds__Supervisor__Cause cause)
{
    static const char *const names[] = {"",     "exited", "signaled",  "oom",      "timeout",
                                        "stop", "setup",  "not-ready", "watchdog", "memory-limit"};
    return (unsigned)cause < sizeof(names) / sizeof(names[0]) ? names[cause] : "?";
}

void sandbox_serialise(const struct sandbox *sandbox, uds_snapshot *s)
{
    size_t len = uds__supervisor__sandbox__get_packed_size(sandbox->info);
    uint8_t *bytes = malloc(len + 1);
    if (bytes != NULL)
        uds__supervisor__sandbox__pack(sandbox->info, bytes);
    uds_snapshot_put_bytes(s, bytes, bytes != NULL ? len : 0);
    free(bytes);
    uds_snapshot_put_u64(s, sandbox->changed_usec);
    uds_snapshot_put_u32(s, sandbox->ready_generation);
    uds_snapshot_put_bytes(s, &sandbox->counters, sizeof(sandbox->counters));
}

int sandbox_restore(struct router *router, uds_snapshot *s)
{
    size_t len = 0;
    Uds__Supervisor__Sandbox *before = NULL;
    const void *bytes = uds_snapshot_get_bytes(s, &len);
    Uds__Supervisor__Sandbox *info =
        bytes != NULL ? uds__supervisor__sandbox__unpack(NULL, len, bytes) : NULL;
    if (info == NULL || info->id == 0) {
        if (info != NULL)
            uds__supervisor__sandbox__free_unpacked(info, NULL);
        uds_snapshot_fail(s);
        return -EBADMSG;
    }
    uint32_t id = info->id;
    int r = sandbox_set(router, info, &before);
    uds__supervisor__sandbox__free_unpacked(info, NULL);
    if (before != NULL)
        uds__supervisor__sandbox__free_unpacked(before, NULL);
    if (r < 0)
        return r;
    struct sandbox *sandbox = sandbox_get(router, id);
    sandbox->changed_usec = uds_snapshot_get_u64(s);
    sandbox->ready_generation = uds_snapshot_get_u32(s);
    const void *counters = uds_snapshot_get_bytes(s, &len);
    if (len == sizeof(sandbox->counters))
        memcpy(&sandbox->counters, counters, len);
    else
        uds_snapshot_fail(s);
    return 0;
}
