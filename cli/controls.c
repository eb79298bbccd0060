/* SPDX-License-Identifier: MIT */
#include "controls.h"

#include <sbx/sandbox.h>
#include <stdio.h>
#include <string.h>

#include "verbs.h"

int cli_set_limit(struct sbx_limits *limits, const char *option, const char *text)
{
    const char *why = "";

    if (sbx_limits_set(limits, option, text, &why) < 0)
        return cli_usage("--%s %s: %s", option, text, why);
    return CLI_OK;
}

bool cli_is_usual_limit(const char *control, const char *value)
{
    return strcmp(value, "max") == 0 || strcmp(control, "cpuset") == 0 ||
           (strcmp(value, "100") == 0 && strstr(control, "weight") != NULL);
}

static void name_omissions(uint32_t permitted, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t bit = 1; bit != 0 && sbx_degrade_name(bit) != NULL; bit <<= 1)
        if ((permitted & bit) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     sbx_degrade_name(bit));
}

int cli_add_degrade(uint32_t *bits, uint32_t permitted, const char *list)
{
    char word[32], all[256];

    const char *p = list;
    do {
        size_t len = strcspn(p, ",");
        uint32_t bit;
        (void)snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : 0), p);
        if (sbx_degrade_parse(word, &bit) < 0 || !(bit & permitted)) {
            name_omissions(permitted, all, sizeof(all));
            return cli_usage("--degrade %s: is not a list of %s", list, all);
        }
        *bits |= bit;
        p += len + (p[len] == ',');
    } while (*p != '\0');
    return CLI_OK;
}

/* 0: the backend cannot tell, there is no such key then. */
static void put(struct json *json, const char *key, uint64_t value)
{
    if (value == 0)
        return;
    json_key(json, key);
    if (value == SBX_UNLIMITED)
        json_null(json);
    else
        json_uint(json, value);
}

void cli_json_device(struct json *json, uint32_t major, uint32_t minor)
{
    char device[32];

    (void)snprintf(device, sizeof(device), "%u:%u", major, minor);
    json_key(json, "device");
    json_string(json, device);
}

static void put_io(struct json *json, const struct sbx_io_limit *io)
{
    json_open(json, '{');
    cli_json_device(json, io->major, io->minor);
    put(json, "rbps", io->rbps);
    put(json, "wbps", io->wbps);
    put(json, "riops", io->riops);
    put(json, "wiops", io->wiops);
    put(json, "weight", io->weight);
    json_close(json, '}');
}

void cli_json_limits(struct json *json, const struct sbx_limits *limits)
{
    json_open(json, '{');
    put(json, "cpu_percent",
        limits->cpu_percent == SBX_CPU_UNLIMITED ? SBX_UNLIMITED : limits->cpu_percent);
    put(json, "cpu_weight", limits->cpu_weight);
    if (limits->cpus[0] != '\0') {
        json_key(json, "cpuset");
        json_string(json, limits->cpus);
    }
    put(json, "memory_bytes", limits->memory_bytes);
    put(json, "memory_high_bytes", limits->memory_high_bytes);
    if (limits->swap_named) {
        json_key(json, "swap_bytes");
        if (limits->swap_bytes == SBX_UNLIMITED)
            json_null(json);
        else
            json_uint(json, limits->swap_bytes);
    }
    put(json, "pids", limits->pids);
    put(json, "io_weight", limits->io_weight);
    if (limits->nio > 0) {
        json_key(json, "io");
        json_open(json, '[');
        for (uint32_t i = 0; i < limits->nio; i++)
            put_io(json, &limits->io[i]);
        json_close(json, ']');
    }
    json_close(json, '}');
}
