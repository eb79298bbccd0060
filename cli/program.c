/* SPDX-License-Identifier: MIT */
/* See program.h. */
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

void cli_become(const char *name, char *const *argv)
{
    static const char *const places[] = {"", "/../libexec/uds"};
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        cli_error("readlink: /proc/self/exe: %s", strerror(errno));
        return;
    }
    self[length] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    errno = ENOENT;
    for (size_t i = 0; i < sizeof places / sizeof places[0] && errno == ENOENT; i++) {
        (void)snprintf(path, sizeof path, "%s%s/%s", self, places[i], name);
        (void)execv(path, argv);
    }
    if (errno == ENOENT) {
        (void)snprintf(path, sizeof path, "%s/%s", UDS_LIBEXECDIR, name);
        (void)execv(path, argv);
    }
    cli_error("run: %s: %s: it belongs beside uds, in %s", name, strerror(errno), self);
}
