/* SPDX-License-Identifier: MIT */

/* What a process has open, its children and its leaks. */

#include "guard.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/lsan_interface.h>
#endif

static bool is_set(const struct uds_test_guard *guard, int fd)
{
    return guard->open[fd / 8] & (1u << (fd % 8));
}

struct uds_test_guard uds_test_guard_begin(void)
{
    struct uds_test_guard guard = {{0}};
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < UDS_TEST_GUARD_FDS)
            guard.open[fd / 8] = (unsigned char)(guard.open[fd / 8] | (1u << (fd % 8)));
    }
    if (dir)
        (void)closedir(dir);
    return guard;
}

const char *uds_test_guard_find(const struct uds_test_guard *guard, char *buf, size_t size)
{
    struct uds_test_guard now = uds_test_guard_begin();
    siginfo_t info;

    for (int fd = 0; fd < UDS_TEST_GUARD_FDS; fd++) {
        char path[64], target[256];
        ssize_t n;

        if (!is_set(&now, fd) || is_set(guard, fd))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        (void)snprintf(buf, size, "descriptor %d (%s)", fd, target);
        return buf;
    }
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
        return "a child process";
#ifdef HAS_ASAN
    if (__lsan_do_recoverable_leak_check())
        return "memory (see the report of LeakSanitizer)";
#endif
    return NULL;
}
