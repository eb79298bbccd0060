/* SPDX-License-Identifier: MIT */
/* `uds ls`: what the broker sees. One request on $SYS.broker, three tables. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
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
    "sandboxes: MSGS and FDS are counted at the broker, from and to the sandbox; CPU, PEAK\n"
    "and OOM come from its cgroup over all its starts; DENIED is what policy refused it.\n"
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

static void add_statistics(struct table *table, const Uds__Admin__SandboxRow *row)
{
    char text[32];

    if (!row->stats_known) {
        for (int i = 0; i < 5; i++)
            table_none(table);
    } else {
        table_uint_as(table, row->cpu_usec, format_usec(row->cpu_usec, text, sizeof(text)));
        table_uint_as(table, row->memory_bytes,
                      format_bytes(row->memory_bytes, text, sizeof(text)));
        table_uint_as(table, row->memory_peak_bytes,
                      format_bytes(row->memory_peak_bytes, text, sizeof(text)));
        table_uint(table, row->oom_kills);
        table_uint(table, row->pids_refused);
    }
    if (row->memory_limit == 0)
        table_none(table);
    else
        table_uint_as(table, row->memory_limit,
                      format_bytes(row->memory_limit, text, sizeof(text)));
}

static struct table *sandbox_table(const Uds__Admin__ListReply *reply)
{
    static const struct table_column columns[] = {{"SANDBOX", "name", false},
                                                  {"STATE", "state", false},
                                                  {"PID", "pid", true},
                                                  {"UID", "host_uid", true},
                                                  {"STARTS", "starts", true},
                                                  {"MSGS IN", "messages_in", true},
                                                  {"OUT", "messages_out", true},
                                                  {"FDS IN", "fds_in", true},
                                                  {"OUT", "fds_out", true},
                                                  {"DENIED", "denied", true},
                                                  {"CPU", "cpu_usec", true},
                                                  {"MEMORY", "memory_bytes", true},
                                                  {"PEAK", "memory_peak_bytes", true},
                                                  {"OOM", "oom_kills", true},
                                                  {"FORKS REFUSED", "pids_refused", true},
                                                  {"LIMIT", "memory_limit", true},
                                                  {"LAST END", "last_cause", false},
                                                  {"WITHOUT", "degraded", false}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

    for (size_t i = 0; i < reply->n_sandboxes; i++) {
        const Uds__Admin__SandboxRow *row = reply->sandboxes[i];

        table_row(table);
        table_text(table, row->name);
        table_text(table, row->state);
        if (row->pid > 0)
            table_uint(table, (uint64_t)row->pid);
        else
            table_none(table);
        table_uint(table, row->host_uid);
        table_uint(table, (uint64_t)row->restarts + 1);
        table_uint(table, row->messages_in);
        table_uint(table, row->messages_out);
        table_uint(table, row->fds_in);
        table_uint(table, row->fds_out);
        table_uint(table, row->denied);
        add_statistics(table, row);
        add_cause(table, row);
        table_list(table, row->degraded, row->n_degraded);
    }
    return table;
}

static struct table *connection_table(const Uds__Admin__ListReply *reply)
{
    static const struct table_column columns[] = {
        {"CONNECTION", "id", true},    {"PEER", "peer", false},
        {"PID", "pid", true},          {"MSGS IN", "messages_in", true},
        {"OUT", "messages_out", true}, {"QUEUED", "queued_bytes", true},
        {"FDS", "queued_fds", true},   {"SUBSCRIPTIONS", "subscriptions", true},
        {"THROUGH", "listener", false}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    char text[32];

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
        table_text(table, row->listener);
    }
    return table;
}

static struct table *subscription_table(const Uds__Admin__ListReply *reply)
{
    static const struct table_column columns[] = {{"SUBJECT", "subject", false},
                                                  {"KIND", "serve", false},
                                                  {"PEER", "peer", false},
                                                  {"QUEUE", "queue", false},
                                                  {"CONNECTION", "connection", true},
                                                  {"DELIVERED", "delivered", true},
                                                  {"DROPPED", "dropped", true}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));

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
