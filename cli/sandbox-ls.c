/* SPDX-License-Identifier: MIT */
/* `uds sandbox ls`: what runs, as its launchers tell. */
#include <sbx/admin.h>

#include "json.h"
#include "sandbox.h"
#include "table.h"
#include "verbs.h"

static int add_row(const struct sbx_listed *listed, void *userdata)
{
    struct table *table = userdata;
    char age[24];
    table_row(table);
    table_text(table, listed->name);
    table_uint(table, (uint64_t)listed->init_pid);
    table_uint(table, (uint64_t)listed->launcher_pid);
    table_uint(table, listed->host_uid);
    table_uint_as(table, listed->running_ms, format_age(listed->running_ms, age, sizeof age));
    table_bool_as(table, listed->waiting, listed->waiting ? "waits" : "runs");
    table_text(table, listed->cgroup[0] ? listed->cgroup : "-");
    return 0;
}

int sandbox_ls(const char *run_dir, bool as_json)
{
    static const struct table_column columns[] = {
        {"NAME", "name", false, false},
        {"INIT", "init_pid", true, false},
        {"LAUNCHER", "launcher_pid", true, false},
        {"UID", "host_uid", true, false},
        {"AGE", "running_ms", true, false},
        {"STATE", "waiting", false, false},
        {"CGROUP", "cgroup", false, true},
    };
    struct sbx_error error = {0};
    struct json json = {.out = stdout};
    struct table *table = table_new(columns, sizeof columns / sizeof columns[0]);
    int r = sbx_list(run_dir, add_row, table, &error);
    if (r < 0) {
        (void)cli_fail(&error, r, CLI_FAILED);
    } else if (as_json) {
        table_print_json(table, &json);
        json_end(&json);
    } else {
        table_print(table, stdout);
    }
    (void)table_free(table);
    return r < 0 ? CLI_FAILED : CLI_OK;
}
