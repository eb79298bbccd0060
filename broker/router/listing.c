/* SPDX-License-Identifier: MIT */
/* The router's tables as the rows of a ListReply. Strings are borrowed: a row lives only until it is packed. */
#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/conn.h>
#include <uds/version.h>

#include "admin.pb-c.h"
#include "listener.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "sub.h"

#define ROWS_MAX 65536u /* of subscriptions, so that the reply fits into a frame */

/* Generated structs want char * where nothing is changed. */
static char *text(const char *constant)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = constant};
    return cast.out;
}

/* @count rows of @size bytes behind as many pointers to them, in one allocation. */
static void **rows_new(size_t count, size_t size)
{
    void **rows = calloc(1, count * (sizeof(void *) + size) + 1);
    if (rows == NULL)
        return NULL;
    char *row = (char *)(rows + count);
    for (size_t i = 0; i < count; i++)
        rows[i] = row + i * size;
    return rows;
}

static void add_stats(Uds__Admin__SandboxRow *row, const Uds__Supervisor__SandboxStats *stats)
{
    row->stats_known = true;
    row->cpu_usec = stats->cpu_usec;
    row->memory_bytes = stats->memory_bytes;
    row->memory_peak_bytes = stats->memory_peak_bytes;
    row->oom_kills = stats->oom_kills;
    row->pids_refused = stats->pids_refused;
}

static void add_counters(Uds__Admin__SandboxRow *row, const struct counters *counters)
{
    row->messages_in = counters->messages_in;
    row->messages_out = counters->messages_out;
    row->fds_in = counters->fds_in;
    row->fds_out = counters->fds_out;
    row->bytes_in = counters->bytes_in;
    row->bytes_out = counters->bytes_out;
    row->denied = counters->denied;
}

static void fill_sandbox(Uds__Admin__SandboxRow *row,
                         const struct router *router,
                         const struct sandbox *sandbox,
                         const struct listing_stats *stats,
                         size_t nstats)
{
    const Uds__Supervisor__Sandbox *info = sandbox->info;
    uds__admin__sandbox_row__init(row);
    row->name = info->name;
    row->state = text(sandbox_describe_state(info));
    row->notify = info->notify;
    row->ready = info->ready;
    row->status = info->status;
    row->warm = info->warm;
    row->warm_wanted = info->warm_wanted;
    row->pid = info->pid;
    row->host_uid = info->host_uid;
    row->restarts = info->restarts;
    row->started_unix_ms = info->started_unix_ms;
    row->cgroup = info->cgroup;
    row->n_degraded = info->n_degraded;
    row->degraded = info->degraded;
    row->last_cause = text(sandbox_cause_name(info->cause));
    row->last_value = info->value;
    row->memory_limit = info->memory_limit;
    add_counters(row, &sandbox->counters);
    const struct account *account = table_get(&router->quota.accounts, 1ull << 32 | info->id);
    if (account != NULL) {
        row->connections = (uint32_t)account->used[QUOTA_CONNECTIONS];
        row->pending_calls = (uint32_t)account->used[QUOTA_PENDING_CALLS];
    }
    for (size_t i = 0; i < nstats; i++) {
        if (stats[i].sandbox_id == info->id)
            add_stats(row, &stats[i].stats);
    }
}

static void fill_connection(Uds__Admin__ConnectionRow *row, struct peer *peer)
{
    const struct listener *listener = listener_find(peer->router, peer->listener_id);
    struct sub *sub;
    uds__admin__connection_row__init(row);
    row->id = peer->id;
    row->peer = peer->identity.name;
    row->pid = peer->pid;
    row->listener = text(listener != NULL ? listener->address : "");
    row->messages_in = peer->counters.messages_in;
    row->messages_out = peer->counters.messages_out;
    row->queued_bytes = uds_conn_get_queued_bytes(peer->conn);
    row->queued_fds = (uint32_t)uds_conn_get_queued_fds(peer->conn);
    TAILQ_FOREACH(sub, &peer->sub_list, by_peer)
    row->subscriptions++;
}

static void fill_subscription(Uds__Admin__SubscriptionRow *row, struct sub *sub)
{
    uds__admin__subscription_row__init(row);
    row->connection = sub->peer->id;
    row->peer = sub->peer->identity.name;
    row->subject = sub->pattern;
    row->queue = text(sub_queue_name(sub));
    row->serve = sub->serve;
    row->delivered = sub->delivered;
    row->dropped = sub->dropped;
}

static size_t count_subscriptions(const struct router *router)
{
    struct peer *peer;
    size_t count = 0;
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;)
        count += peer->subs.count;
    return count < ROWS_MAX ? count : ROWS_MAX;
}

/* Fills the rows that @reply has room for. */
static void fill(Uds__Admin__ListReply *reply,
                 const struct router *router,
                 const struct listing_stats *stats,
                 size_t nstats)
{
    struct sandbox *sandbox;
    struct peer *peer;
    struct sub *sub;
    size_t n = 0, row = 0;
    for (size_t pos = 0; (sandbox = table_next(&router->sandboxes, &pos)) != NULL;)
        fill_sandbox(reply->sandboxes[n++], router, sandbox, stats, nstats);
    n = 0;
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;) {
        fill_connection(reply->connections[n++], peer);
        TAILQ_FOREACH(sub, &peer->sub_list, by_peer)
        {
            if (row < reply->n_subscriptions)
                fill_subscription(reply->subscriptions[row++], sub);
        }
    }
}

int listing_pack(const struct router *router,
                 const struct listing_stats *stats,
                 size_t nstats,
                 uint8_t **ret_body,
                 size_t *ret_len)
{
    Uds__Admin__ListReply reply = UDS__ADMIN__LIST_REPLY__INIT;
    int r = -ENOMEM;
    reply.version = text(uds_version());
    reply.uptime_ms = (router_now_usec() - router->started_usec) / 1000;
    reply.n_sandboxes = router->sandboxes.count;
    reply.n_connections = router->peers.count;
    reply.n_subscriptions = count_subscriptions(router);
    void **sandboxes = rows_new(reply.n_sandboxes, sizeof(**reply.sandboxes));
    void **connections = rows_new(reply.n_connections, sizeof(**reply.connections));
    void **subscriptions = rows_new(reply.n_subscriptions, sizeof(**reply.subscriptions));
    if (sandboxes != NULL && connections != NULL && subscriptions != NULL) {
        reply.sandboxes = (Uds__Admin__SandboxRow **)sandboxes;
        reply.connections = (Uds__Admin__ConnectionRow **)connections;
        reply.subscriptions = (Uds__Admin__SubscriptionRow **)subscriptions;
        fill(&reply, router, stats, nstats);
        size_t len = uds__admin__list_reply__get_packed_size(&reply);
        uint8_t *body = malloc(len + 1);
        if (body != NULL) {
            *ret_len = uds__admin__list_reply__pack(&reply, body);
            *ret_body = body;
            r = 0;
        }
    }
    free(sandboxes);
    free(connections);
    free(subscriptions);
    return r;
}
