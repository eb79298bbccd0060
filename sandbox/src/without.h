/* SPDX-License-Identifier: MIT */
#ifndef SBXI_WITHOUT_H
#define SBXI_WITHOUT_H

/*
 * Defences that a test takes away, to see that the check which should notice does. In the product all of this is
 * constants, and no name of a defence is left in a binary (tests/checks.py looks). Programs compiled with
 * UDS_UNSAFE_TESTING lie in bin/unsafe/, are never installed, say on stderr what they are, and obey
 *
 *   UDS_WITHOUT=caps,bounds   what is named is left out; step names are in without-plan.c, the others at their places
 *   UDS_STOP_AT=init:12       the 12th boundary between two steps of launcher, init, payload or cleaner: it says so on
 *                             stderr and stands still, until it is killed, continued (SIGCONT) or, init, hears a byte on stdin
 */

#include <stdbool.h>

#ifdef UDS_UNSAFE_TESTING
struct sbx_plan;
struct sbxi_plan_step;
bool sbxi_without(const char *defence);
void sbxi_without_plan(struct sbx_plan *plan);
bool sbxi_without_step(const struct sbxi_plan_step *step);
void sbxi_boundary(const char *process);
char *const *sbxi_without_environment(void);
#define SBXI_WITHOUT(defence)   sbxi_without(defence)
#define SBXI_WITHOUT_STEP(step) sbxi_without_step(step)
#define SBXI_WITHOUT_PLAN(plan) sbxi_without_plan(plan)
#define SBXI_BOUNDARY(process)  sbxi_boundary(process)
/* Of programs that we start: what tells them the same. */
#define SBXI_NO_ENVIRONMENT sbxi_without_environment()
#else
#define SBXI_WITHOUT(defence)   false
#define SBXI_WITHOUT_STEP(step) false
#define SBXI_WITHOUT_PLAN(plan) ((void)0)
#define SBXI_BOUNDARY(process)  ((void)0)
#define SBXI_NO_ENVIRONMENT     ((char *const[]){(char *)0})
#endif

#endif
