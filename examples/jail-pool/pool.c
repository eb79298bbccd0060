/* SPDX-License-Identifier: MIT */
/* pool PARSER FILE...: as jailed-parser, for many files, in sandboxes that were made before it was known what they are for. */
#include <string.h>

#include "loop.h"

enum {
    WAITING = 2
};

int main(int argc, char **argv)
{
    struct sbx_spec spec = SBX_SPEC_INIT;
    struct sbx_error error = {0};
    sbx_cleaner *cleaner = NULL;
    sbx_plan *plan = NULL;
    sbx_pool *pool = NULL;

    if (argc < 3)
        return fail("usage", "pool /PATH/TO/PARSER FILE...");
    const char *const command[] = {argv[1], NULL};
    spec.argv = command;
    spec.root = SBX_ROOT_JAIL;
    spec.jail = command;
    spec.waits = true; /* for sbx_pool_start(), which says what to run, with which descriptors */
    spec.limits.memory_bytes = 64 << 20;
    spec.limits.pids = 8;
    spec.timeout_ms = 2000;
    spec.landlock_no_reopen = true;
    spec.degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE;
    int r = sbx_plan_new(&plan, &spec, &error);
    if (r == 0)
        r = sbx_cleaner_new(&cleaner, NULL, &error); /* one for all of them */
    if (r == 0)
        r = sbx_pool_new(&pool, plan, cleaner, WAITING, &error);
    if (r == 0)
        run(pool, command, argv + 2);
    else
        fail(argv[1], error.text);
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
    sbx_plan_free(plan);
    return r < 0 ? 125 : 0;
}
