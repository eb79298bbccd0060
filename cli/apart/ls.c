/* SPDX-License-Identifier: MIT */
/* `uds ls` of a `uds` that is linked with musl, for which no libprotobuf-c is: it becomes uds-ls (decision 0013). */
#include <stddef.h>

#include "program.h"
#include "verbs.h"

static int run(int argc, char **argv)
{
    (void)argc;
    cli_become("uds-ls", argv);
    return CLI_FAILED;
}

const struct verb verb_ls = {.name = "ls",
                             .summary = "list sandboxes, connections and subscriptions",
                             .help = NULL,
                             .run = run};
