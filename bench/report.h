/* SPDX-License-Identifier: MIT */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "bars.h"
#include "environment.h"
#include "plan.h"

/* What came out, for people (report.c) and for programs (report-json.c). */

void report_environment(const struct environment *environment, FILE *out);
/* The load and the stolen time of the whole run: what the figures are worth. */
void report_calm(const struct environment *environment, FILE *out);

/* One table for each workload of a comparison, what was left out and why, and who was faster, UDS or TCP. */
void report_comparison(const struct plan *plan, FILE *out);
void report_bars(const struct plan *plan, const struct bar *const *owners, FILE *out);

/* All of it as one JSON document. @owners NULL: there are no bars. */
void report_json(const struct plan *plan,
                 const struct bar *const *owners,
                 const struct environment *environment,
                 FILE *out);

/* The media and workloads of this build. */
void report_list(FILE *out);
void report_list_json(FILE *out);

#endif
