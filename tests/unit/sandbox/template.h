/* SPDX-License-Identifier: MIT */
#ifndef TEST_TEMPLATE_H
#define TEST_TEMPLATE_H

/* A sandbox that waits for its payload, and what it becomes: a script. */

#include <criterion/criterion.h>
#include <sbx/warm.h>
#include <stdio.h>
#include <unistd.h>

static inline struct sbx_spec make_spec(void)
{
    static const char *const argv[] = {"/bin/never-run", NULL};
    static const char *const env[] = {"GREETING=hello", NULL};
    static char name[48];
    struct sbx_spec spec = SBX_SPEC_INIT;
    snprintf(name, sizeof name, "warm-%d", (int)getpid());
    spec.name = name;
    spec.argv = argv;
    spec.env = env;
    spec.waits = true;
    spec.degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE;
    return spec;
}

static inline sbx_plan *plan_of(const struct sbx_spec *spec)
{
    struct sbx_error error = {0};
    sbx_plan *plan;
    cr_assert_eq(sbx_plan_new(&plan, spec, &error), 0, "%s", error.text);
    return plan;
}

static inline struct sbx_adoption shell(const char *script)
{
    static const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
    struct sbx_adoption what = SBX_ADOPTION_INIT;
    argv[2] = script;
    what.exec.argv = argv;
    return what;
}

#endif
