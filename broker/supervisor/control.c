/* SPDX-License-Identifier: MIT */
/*
 * Control: the three questions of the router, answered by somebody who takes it for hostile.
 *
 *   Attest   who is behind this pidfd? The descriptor is only read, and closed.
 *   Stats    what has sandbox ID cost so far?
 *   Start    start the declared sandbox ID, which is stopped.
 *
 * Arguments are an id, which must be in the table, or bits, which must be known; there is nothing
 * in them to act on. Both kinds of question are limited in number per second: a router that asks
 * more gets QUOTA and costs nothing but the parsing of its frame.
 */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/param.h>

#include <uds/cred.h>
#include <uds/error.h>
#include <uds/fdset.h>
#include <uds/pb.h>

#include "clock.h"

#define QUESTIONS_PER_SECOND 2000u
#define STARTS_PER_SECOND    10u

#define FACTS_TO_ATTEST                                                                  \
    (UDS_CRED_PID | UDS_CRED_UID | UDS_CRED_GID | UDS_CRED_CGROUP | UDS_CRED_CGROUP_ID | \
     UDS_CRED_NS)

bool control_bucket_take(struct control_bucket *b, uint64_t now)
{
    uint64_t passed_ms = now - b->filled_ms;

    b->tokens = MIN(b->tokens + passed_ms * b->rate, b->burst * 1000);
    b->filled_ms = now;
    if (b->tokens < 1000)
        return false;
    b->tokens -= 1000;
    return true;
}

static bool over_limit(struct control_bucket *bucket, uds_pb_call *call)
{
    if (control_bucket_take(bucket, clock_ms(CLOCK_MONOTONIC)))
        return false;
    uds_pb_call_fail(call, UDS_STATUS_QUOTA, bucket->rate, "too many questions per second");
    return true;
}

/* ---- Attest ---- */

static void
put_identity(const struct uds_cred *cred, Uds__Supervisor__Identity_Closure closure, void *data)
{
    Uds__Supervisor__Identity identity = UDS__SUPERVISOR__IDENTITY__INIT;
    uint64_t ns[UDS_NS_COUNT];
    char cgroup[sizeof(cred->cgroup)];

    identity.known = cred->known & FACTS_TO_ATTEST;
    if (identity.known & UDS_CRED_PID)
        identity.pid = cred->pid;
    if (identity.known & UDS_CRED_UID)
        identity.uid = cred->uid;
    if (identity.known & UDS_CRED_GID)
        identity.gid = cred->gid;
    if (identity.known & UDS_CRED_CGROUP_ID)
        identity.cgroup_id = cred->cgroup_id;
    if (identity.known & UDS_CRED_CGROUP) {
        memcpy(cgroup, cred->cgroup, sizeof(cgroup));
        identity.cgroup = cgroup;
    }
    if (identity.known & UDS_CRED_NS) {
        memcpy(ns, cred->ns, sizeof(ns));
        identity.n_ns = UDS_NS_COUNT;
        identity.ns = ns;
    }
    closure(&identity, data);
}

static void on_attest(Uds__Supervisor__Supervisor_Service *service,
                      const Uds__Supervisor__AttestRequest *input,
                      Uds__Supervisor__Identity_Closure closure,
                      void *data)
{
    struct control *control = (struct control *)service;
    uds_pb_call *call = uds_pb_call_from(data);
    struct uds_cred cred;
    int fd, r;

    if (over_limit(&control->questions, call)) {
        closure(NULL, data);
        return;
    }
    if (uds_pb_call_get_fd_count(call) != 1 || (input->facts & ~(uint32_t)FACTS_TO_ATTEST)) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "wants one pidfd and known facts");
        closure(NULL, data);
        return;
    }
    fd = uds_pb_call_take_fd(call, 0);
    r = fd < 0 ? fd : uds_cred_from_pidfd(fd, input->facts, &cred);
    uds_fd_close(fd);
    if (r < 0) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, (uint64_t)-r,
                         r == -ESRCH ? "the process is gone" : "not a pidfd");
        closure(NULL, data);
        return;
    }
    put_identity(&cred, closure, data);
    uds_cred_clear(&cred);
}

/* ---- Stats, Start ---- */

static void on_stats(Uds__Supervisor__Supervisor_Service *service,
                     const Uds__Supervisor__SandboxRef *input,
                     Uds__Supervisor__SandboxStats_Closure closure,
                     void *data)
{
    struct control *control = (struct control *)service;
    Uds__Supervisor__SandboxStats reply = UDS__SUPERVISOR__SANDBOX_STATS__INIT;
    uds_pb_call *call = uds_pb_call_from(data);
    struct sbx_stats total = SBX_STATS_INIT;

    if (over_limit(&control->questions, call)) {
        closure(NULL, data);
        return;
    }
    if (control->table->stats(input->id, &total, control->arg) < 0) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "no such sandbox");
        closure(NULL, data);
        return;
    }
    reply.known = total.known;
    reply.cpu_usec = total.cpu_usec;
    reply.memory_bytes = total.memory_bytes;
    reply.memory_peak_bytes = total.memory_peak_bytes;
    reply.oom_kills = total.oom_kills;
    reply.pids = total.pids;
    reply.pids_refused = total.pids_refused;
    reply.throttled_usec = total.throttled_usec;
    closure(&reply, data);
}

static void on_start(Uds__Supervisor__Supervisor_Service *service,
                     const Uds__Supervisor__SandboxRef *input,
                     Uds__Supervisor__Empty_Closure closure,
                     void *data)
{
    struct control *control = (struct control *)service;
    Uds__Supervisor__Empty reply = UDS__SUPERVISOR__EMPTY__INIT;
    uds_pb_call *call = uds_pb_call_from(data);
    int r;

    if (over_limit(&control->starts, call)) {
        closure(NULL, data);
        return;
    }
    r = control->table->start(input->id, control->arg);
    if (r == -ENOENT)
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "no such sandbox");
    else if (r == -EAGAIN)
        uds_pb_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "it waits for its restart");
    else if (r < 0 && r != -EALREADY)
        uds_pb_call_fail(call, UDS_STATUS_DENIED, 0, "it may not be started");
    closure(r < 0 && r != -EALREADY ? NULL : &reply, data);
}

void control_init(struct control *control, const struct control_table *table, void *arg)
{
    *control = (struct control){
        .service = UDS__SUPERVISOR__SUPERVISOR__INIT(on_),
        .table = table,
        .arg = arg,
        .questions = {.rate = QUESTIONS_PER_SECOND, .burst = QUESTIONS_PER_SECOND},
        .starts = {.rate = STARTS_PER_SECOND, .burst = STARTS_PER_SECOND},
    };
    control->questions.tokens = control->questions.burst * 1000;
    control->starts.tokens = control->starts.burst * 1000;
    control->questions.filled_ms = control->starts.filled_ms = clock_ms(CLOCK_MONOTONIC);
}
