/* SPDX-License-Identifier: MIT */
/* See program.h. */
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <sbx/sandbox.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

void cli_become(const char *name, char *const *argv)
{
    struct sbx_error error = {0};
    char path[PATH_MAX];
    if (sbx_find_program(name, path, &error) < 0) {
        cli_error("run: %s", error.text);
        return;
    }
    (void)execv(path, argv);
    cli_error("run: %s: %s", path, strerror(errno));
}
