/* SPDX-License-Identifier: MIT */
/*
 * Programs: helpers of ours are found from where this program lies, never through $PATH, which is
 * the caller's.
 */
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_find(const char *name, char *ret_path, size_t size, struct sbx_error *error)
{
    static const char *const between[] = {"/", "/../libexec/uds/"};
    char here[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", here, sizeof(here) - 1);
    char *slash;

    here[len > 0 ? len : 0] = 0;
    slash = strrchr(here, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; slash && i < 2; i++) {
        int n = snprintf(ret_path, size, "%s%s%s", here, between[i], name);

        if (n > 0 && (size_t)n < size && access(ret_path, X_OK) == 0)
            return 0;
    }
    snprintf(ret_path, size, "%s/%s", UDS_LIBEXECDIR, name);
    if (access(ret_path, X_OK) == 0)
        return 0;
    error->err = ENOENT;
    snprintf(error->text, sizeof(error->text),
             "program %s: not found in %.200s, %.200s/../libexec/uds or %s: install it", name, here,
             here, UDS_LIBEXECDIR);
    return -ENOENT;
}
