/* SPDX-License-Identifier: MIT */
/* For tests alone: see without.h. Only system calls and reads of the environment: it runs between clone and exec, too. */

#include "without.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

static const char without[] = "UDS_WITHOUT=", stop_at[] = "UDS_STOP_AT=";

__attribute__((constructor)) static void warn(void)
{
    static const char text[] =
        "UNSAFE TESTING BUILD: not for use; defences can be switched off by UDS_WITHOUT\n";
    if (getpid() != 1 && !getenv("UDS_QUIET"))
        (void)!write(2, text, sizeof text - 1);
}

bool sbxi_without(const char *defence)
{
    const char *list = getenv("UDS_WITHOUT");
    size_t length = strlen(defence);
    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == length && strncmp(list, defence, length) == 0)
            return true;
    return false;
}

/* "init-environment" is the launcher's own: what init should never have held. */
char *const *sbxi_without_environment(void)
{
    static char quiet[] = "UDS_QUIET=1", *ours[4];
    size_t n = 0;
    memset(ours, 0, sizeof ours);
    if (sbxi_without("init-environment"))
        return environ;
    for (char **e = environ; *e && n < 2; e++)
        if (strncmp(*e, without, sizeof without - 1) == 0 ||
            strncmp(*e, stop_at, sizeof stop_at - 1) == 0)
            ours[n++] = *e;
    ours[n] = quiet;
    return ours;
}

void sbxi_boundary(const char *process)
{
    static unsigned passed[4];
    static const char *const processes[] = {"launcher", "init", "payload", "cleaner"};
    const char *where = getenv("UDS_STOP_AT");
    size_t length = strlen(process), i = 0;
    char text[64], c;
    while (i < 3 && strcmp(processes[i], process) != 0)
        i++;
    passed[i]++;
    if (!where || strncmp(where, process, length) != 0 || where[length] != ':' ||
        strtoul(where + length + 1, NULL, 10) != passed[i])
        return;
    int n = snprintf(text, sizeof text, "stopped at %s:%u\n", process, passed[i]);
    (void)!write(2, text, (size_t)n);
    if (strcmp(process, "init") == 0) /* PID 1 of a namespace does not hear its own signals */
        (void)!read(0, &c, 1);
    else
        syscall(SYS_kill, getpid(), SIGSTOP);
}
