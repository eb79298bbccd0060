/* SPDX-License-Identifier: MIT */
#ifndef CLI_RUN_REPORT_H
#define CLI_RUN_REPORT_H

#include "notify-options.h"
#include "run.h"

/* What `uds run` tells of a sandbox: people on stderr, programs by --json and --json-status-fd. */

/* It never ran. */
void run_report_refused(const struct run_options *o, const struct sbx_error *error, int r);
/* @limits: as the kernel has them. */
void run_report_started(const struct run_options *o,
                        const sbx *s,
                        const struct sbx_report *report,
                        const struct sbx_limits *limits);
/* It has said that it is ready, or stopping: each once in a life, so that it cannot fill who does not read. */
void run_report_told(const struct run_options *o, const struct run_notify *notify);
/* @code: what we exit with. */
void run_report_ended(const struct run_options *o,
                      const sbx *s,
                      const struct sbx_report *report,
                      const struct sbx_limits *limits,
                      const struct run_notify *notify,
                      const struct sbx_result *result,
                      int code);

#endif
