/* SPDX-License-Identifier: MIT */
/* What musl 1.2 lacks of glibc's <spawn.h>. */
#ifndef SBXI_MUSL_SPAWN_H
#define SBXI_MUSL_SPAWN_H

#include <dirent.h>
#include <errno.h>
#include_next <spawn.h>
#include <stdlib.h>

/* Of what is open now. For a process of one thread, as ours that are linked with musl are: nothing is opened between. */
static inline int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions,
                                                           int first)
{
    struct dirent *entry;
    int r = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return errno;
    while (r == 0 && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd >= first)
            r = posix_spawn_file_actions_addclose(actions, fd);
    }
    closedir(dir);
    return r;
}

#endif
