/* SPDX-License-Identifier: MIT */
#ifndef CLI_NET_REPORT_H
#define CLI_NET_REPORT_H

#include <sbx/net.h>
#include <stdio.h>

#include "json.h"

/* "net": {…} of a start report. */
void cli_json_net(struct json *json, const struct sbx_net_report *net);
/* The same for people, a line. */
void cli_say_net(const struct sbx_net_report *net, FILE *out);

#endif
