/* SPDX-License-Identifier: MIT */
/* `uds ls`: what the broker sees. One request on $SYS.broker, three tables. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/pb.h>

#include "admin.pb-c.h"
#include "broker.h"
#include "json.h"
#include "table.h"
#include "verbs.h"

static const char help[] =
    "usage: uds ls [OPTION…] [sandboxes | connections | subscriptions]\n"
    "\n"
    "Lists what the broker sees; without an argument all three. Needs `admin: true` in\n"
    "the broker's policy, which its owner has where no policy is configured.\n"
    "\n"
    "options:\n" BROKER_HELP "  --json             for programs: all numbers in full\n"
    "\n"
    "sandboxes: messages and descriptors are counted at the broker, IN is what came from the\n"
    "sandbox; CPU, MEMORY PEAK and OOM come from its cgroup, over all its starts; DENIED is\n"
    "what policy refused it; STATUS is what it tells by NOTIFY_SOCKET; WARM is how many wait for "
    "its\n"
    "next starts, of how many; WITHOUT is what the kernel "
    "did not grant and `degrade:` permits.\n"
    "The time after `up` is that of the router, which starts anew when it was killed.\n"
    "\n"
    "examples:\n"
    "  uds ls\n"
    "  uds ls sandboxes\n"
    "  uds ls --json connections | jq '.connections[] | select(.queued_bytes > 0)'\n"
    "\n"
    "exit: 0 listed, 2 usage, 3 no broker, 4 refused, 5 no reply in time\n";

enum what {
    WHAT_SANDBOXES = 1,
    WHAT_CONNECTIONS = 2,
    WHAT_SUBSCRIPTIONS = 4,
    WHAT_ALL = 7
};

struct listing {
    uds_pb_stub *stub;
    unsigned what; /* enum what bits */
    bool json;
    bool done;
    int code;
};

/* Why the last run ended, if that says more than its state. */
static void add_cause(struct table *table, const Uds__Admin__SandboxRow *row)
{
    char text[64];

    if (row->last_cause[0] == '\0')
        table_none(table);
    else if (strcmp(row->last_cause, "signaled") == 0) {
        (void)snprintf(text, sizeof(text), "signal %" PRIu64, row->last_value);
        table_text(table, text);
    } else if (strcmp(row->last_cause, "exited") == 0) {
        (void)snprintf(text, sizeof(text), "exit %" PRIu64, row->last_value);
        table_text(table, text);
    } else {
        table_text(table, row->last_cause);
    }
}

/* "12/14" for people; programs have the two numbers. */
static void add_pair(struct table *table, uint64_t in, uint64_t out)
{
    char text[48];

    (void)snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, in, out);
    table_text(table, text);
}

static void add_peak(struct table *table, const Uds__Admin__SandboxRow *row)
{
    char peak[32], limit[32], text[80];

    if (!row->stats_known) {
        table_none(table);
        return;
    }
    (void)format_bytes(row->memory_peak_bytes, peak, sizeof(peak));
    if (row->memory_limit == 0)
        (void)snprintf(text, sizeof(text), "%s", peak);
    else
        (void)snprintf(text, sizeof(text), "%s of %s", peak,
                       format_bytes(row->memory_limit, limit, sizeof(limit)));
    table_text(table, text);
}

static void add_known(struct table *table, bool known, uint64_t value)
{
    if (known)
        table_uint(table, value);
    else
        table_none(table);
}

static const struct table_column sandbox_columns[] = {
    {"SANDBOX", "name", false, false},
    {"STATE", "state", false, false},
    {"PID", "pid", true, false},
    {"UID", "host_uid", true, false},
    {"STARTS", "starts", true, false},
    {"MSGS IN/OUT", NULL, true, false},
    {NULL, "messages_in", true, false},
    {NULL, "messages_out", true, false},
    {"FDS IN/OUT", NULL, true, false},
    {NULL, "fds_in", true, false},
    {NULL, "fds_out", true, false},
    {NULL, "bytes_in", true, false},
    {NULL, "bytes_out", true, false},
    {"DENIED", "denied", true, false},
    {"CPU", "cpu_usec", true, true},
    {"MEMORY PEAK", NULL, true, true},
    {NULL, "memory_bytes", true, false},
    {NULL, "memory_peak_bytes", true, false},
    {NULL, "memory_limit", true, false},
    {"OOM", "oom_kills", true, true},
    {"FORKS REFUSED", "pids_refused", true, true},
    {"LAST END", "last_cause", false, true},
    {NULL, "last_value", true, false},
    {NULL, "cgroup", false, false},
    {"STATUS", "status", false, true},
    {"WARM", NULL, true, true},
    {NULL, "warm", true, false},
    {NULL, "warm_wanted", true, false},
    {"WITHOUT", "degraded", false, true},
};

/* In the order of sandbox_columns. */
static void add_sandbox(struct table *table, const Uds__Admin__SandboxRow *row)
{
    char text[32];

    table_row(table);
    table_text(table, row->name);
    table_text(table, row->state);
    add_known(table, row->pid > 0, (uint64_t)row->pid);
    table_uint(table, row->host_uid);
    table_uint(table, (uint64_t)row->restarts + 1);
    add_pair(table, row->messages_in, row->messages_out);
    table_uint(table, row->messages_in);
    table_uint(table, row->messages_out);
    add_pair(table, row->fds_in, row->fds_out);
    table_uint(table, row->fds_in);
    table_uint(table, row->fds_out);
    table_uint(table, row->bytes_in);
    table_uint(table, row->bytes_out);
    table_uint(table, row->denied);
    if (row->stats_known)
        table_uint_as(table, row->cpu_usec, format_usec(row->cpu_usec, text, sizeof(text)));
    else
        table_none(table);
    add_peak(table, row);
    add_known(table, row->stats_known, row->memory_bytes);
    add_known(table, row->stats_known, row->memory_peak_bytes);
    add_known(table, row->memory_limit > 0, row->memory_limit);
    add_known(table, row->stats_known, row->oom_kills);
    add_known(table, row->stats_known, row->pids_refused);
    add_cause(table, row);
    table_uint(table, row->last_value);
    table_text(table, row->cgroup);
    if (row->status[0] != '\0')
        table_text(table, row->status);
    else
        table_none(table);
    if (row->warm_wanted)
        add_pair(table, row->warm, row->warm_wanted);
    else
        table_none(table);
    table_uint(table, row->warm);
    table_uint(table, row->warm_wanted);
    table_list(table, row->degraded, row->n_degraded);
}

static int by_name(const void *a, const void *b)
{
    const Uds__Admin__SandboxRow *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static struct table *sandbox_table(const Uds__Admin__ListReply *reply)
{
    struct table *table =
        table_new(sandbox_columns, sizeof(sandbox_columns) / sizeof(sandbox_columns[0]));

    if (reply->n_sandboxes > 1)
        qsort(reply->sandboxes, reply->n_sandboxes, sizeof(reply->sandboxes[0]), by_name);
    for (size_t i = 0; i < reply->n_sandboxes; i++)
        add_sandbox(table, reply->sandboxes[i]);
    return table;
}

/* Oldest first: the broker's tables have no order. */
static int by_id(const void *a, const void *b)
{
    const Uds__Admin__ConnectionRow *const *left = a, *const *right = b;

    return ((*left)->id > (*right)->id) - ((*left)->id < (*right)->id);
}

static int by_subject(const void *a, const void *b)
{
    const Uds__Admin__SubscriptionRow *const *left = a, *const *right = b;
    int order = strcmp((*left)->subject, (*right)->subject);

    if (order != 0)
        return order;
    return ((*left)->connection > (*right)->connection) -
           ((*left)->connection < (*right)->connection);
}

static struct table *connection_table(const Uds__Admin__ListReply *reply)
{
    static const struct table_column columns[] = {
        {"CONNECTION", "id", true, false},    {"PEER", "peer", false, false},
        {"PID", "pid", true, false},          {"MSGS IN", "messages_in", true, false},
        {"OUT", "messages_out", true, false}, {"QUEUED", "queued_bytes", true, false},
        {"FDS", "queued_fds", true, false},   {"SUBSCRIPTIONS", "subscriptions", true, false},
        {"THROUGH", "listener", false, false}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    char text[32];

    if (reply->n_connections > 1)
        qsort(reply->connections, reply->n_connections, sizeof(reply->connections[0]), by_id);
    for (size_t i = 0; i < reply->n_connections; i++) {
        const Uds__Admin__ConnectionRow *row = reply->connections[i];

        table_row(table);
        table_uint(table, row->id);
        table_text(table, row->peer);
        if (row->pid > 0)
            table_uint(table, (uint64_t)row->pid);
        else
            table_none(table);
        table_uint(table, row->messages_in);
        table_uint(table, row->messages_out);
        table_uint_as(table, row->queued_bytes,
                      format_bytes(row->queued_bytes, text, sizeof(text)));
        table_uint(table, row->queued_fds);
        table_uint(table, row->subscriptions);
        table_text(table, row->listener[0] == '\0' ? "its link" : row->listener);
    }
    return table;
}

static struct table *subscription_table(const Uds__Admin__ListReply *reply)
{
    static const struct table_column columns[] = {{"SUBJECT", "subject", false, false},
                                                  {"KIND", "serve", false, false},
                                                  {"PEER", "peer", false, false},
                                                  {"QUEUE", "queue", false, false},
                                                  {"CONNECTION", "connection", true, false},
                                                  {"DELIVERED", "delivered", true, false},
                                                  {"DROPPED", "dropped", true, false}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

    if (reply->n_subscriptions > 1)
        qsort(reply->subscriptions, reply->n_subscriptions, sizeof(reply->subscriptions[0]),
              by_subject);
    for (size_t i = 0; i < reply->n_subscriptions; i++) {
        const Uds__Admin__SubscriptionRow *row = reply->subscriptions[i];

        table_row(table);
        table_text(table, row->subject);
        table_bool_as(table, row->serve, row->serve ? "serves" : "listens");
        table_text(table, row->peer);
        table_text(table, row->queue);
        table_uint(table, row->connection);
        table_uint(table, row->delivered);
        table_uint(table, row->dropped);
    }
    return table;
}

static void print(const struct listing *listing, const Uds__Admin__ListReply *reply)
{
    static const struct {
        unsigned what;
        const char *name;
        struct table *(*make)(const Uds__Admin__ListReply *reply);
    } parts[] = {{WHAT_SANDBOXES, "sandboxes", sandbox_table},
                 {WHAT_CONNECTIONS, "connections", connection_table},
                 {WHAT_SUBSCRIPTIONS, "subscriptions", subscription_table}};
    struct json json = {.out = stdout};
    char age[32];

    if (listing->json) {
        json_open(&json, '{');
        json_key(&json, "version");
        json_string(&json, reply->version);
        json_key(&json, "uptime_ms");
        json_uint(&json, reply->uptime_ms);
    } else if (listing->what == WHAT_ALL) {
        (void)printf("broker %s, up %s\n", reply->version,
                     format_age(reply->uptime_ms, age, sizeof(age)));
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct table *table;

        if ((listing->what & parts[i].what) == 0)
            continue;
        table = parts[i].make(reply);
        if (listing->json) {
            json_key(&json, parts[i].name);
            table_print_json(table, &json);
        } else if (listing->what != WHAT_ALL || table_get_rows(table) > 0) {
            (void)fputs(listing->what == WHAT_ALL ? "\n" : "", stdout);
            table_print(table, stdout);
        }
        (void)table_free(table);
    }
    if (listing->json) {
        json_close(&json, '}');
        json_end(&json);
    }
}

static void on_list(const Uds__Admin__ListReply *reply, void *arg)
{
    struct listing *listing = arg;

    if (listing->done)
        return;
    listing->done = true;
    if (reply == NULL) {
        listing->code = broker_report("list", uds_pb_stub_get_status(listing->stub),
                                      uds_pb_stub_get_detail(listing->stub),
                                      uds_pb_stub_get_rule(listing->stub));
        return;
    }
    listing->code = CLI_OK;
    print(listing, reply);
}

static int list(struct broker *broker, struct listing *listing)
{
    Uds__Admin__ListRequest request = UDS__ADMIN__LIST_REQUEST__INIT;
    int r = uds_pb_stub_new(&listing->stub, NULL, broker->client, "$SYS.broker",
                            &uds__admin__broker__descriptor);

    if (r < 0)
        return broker_fail(broker, "list", "$SYS.broker", -r);
    uds_pb_stub_next_timeout(listing->stub, 10000);
    uds__admin__broker__list(uds_pb_stub_service(listing->stub), &request, on_list, listing);
    while (!listing->done) {
        r = broker_turn(broker);
        if (r == -EINTR)
            break;
        if (r < 0) {
            listing->code = broker_fail(broker, "list", "$SYS.broker", -r);
            break;
        }
    }
    listing->done = true;
    (void)uds_pb_stub_free(listing->stub);
    return listing->code;
}

static int parse_what(const char *text, unsigned *ret)
{
    if (strcmp(text, "sandboxes") == 0)
        *ret = WHAT_SANDBOXES;
    else if (strcmp(text, "connections") == 0)
        *ret = WHAT_CONNECTIONS;
    else if (strcmp(text, "subscriptions") == 0)
        *ret = WHAT_SUBSCRIPTIONS;
    else
        return cli_usage("%s: sandboxes, connections or subscriptions", text);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct listing listing = {.what = WHAT_ALL, .code = CLI_FAILED};
    struct broker broker = {.signal_fd = -1};
    const char *to = NULL;
    int c, code = CLI_OK;

    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 't')
            to = optarg;
        else if (c == 'j')
            listing.json = true;
        else if (c == 'h')
            return cli_help(&verb_ls);
        else
            return cli_bad_option(c, argv);
    }
    if (argc - optind > 1)
        return cli_usage("one thing at a time, or all of them without an argument");
    if (argc > optind)
        code = parse_what(argv[optind], &listing.what);
    if (code == CLI_OK)
        code = broker_open(&broker, to);
    if (code == CLI_OK)
        code = list(&broker, &listing);
    broker_close(&broker);
    return code;
}

const struct verb verb_ls = {.name = "ls",
                             .summary = "list sandboxes, connections and subscriptions",
                             .help = help,
                             .run = run};
