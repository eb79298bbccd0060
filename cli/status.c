/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool status_write(int fd, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno != EINTR)
            return false;
        text += n > 0 ? n : 0;
        length -= (size_t)(n > 0 ? n : 0);
    }
    return true;
}

bool status_write_born(int fd,
                       const struct sbx_report *report,
                       uint32_t isolate,
                       const char *begin,
                       const char *between,
                       const char *end)
{
    static const struct {
        const char *name;
        int index; /* of the report */
    } spaces[] = {{"cgroup", 6}, {"ipc", 4}, {"mnt", 1}, {"net", 3}, {"pid", 2}, {"uts", 5}};
    char text[512];
    int n = snprintf(text, sizeof text, "%s\"child-pid\": %d", begin, (int)report->init_pid);
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        if ((isolate >> spaces[i].index & 1) && report->ns_inode[spaces[i].index])
            n += snprintf(text + n, sizeof text - (size_t)n, ",%s\"%s-namespace\": %llu", between,
                          spaces[i].name, (unsigned long long)report->ns_inode[spaces[i].index]);
    (void)snprintf(text + n, sizeof text - (size_t)n, "%s", end);
    return status_write(fd, text);
}
