/* SPDX-License-Identifier: MIT */

/* What this process holds: descriptors and memory. */

#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include <sys/resource.h>

#include "soak.h"

/* That a process may grow by after the first tenth: heaps are never quite flat. */
#define MEMORY_KB 8192
/* Descriptors are counted at every so many looks. */
#define EVERY 256

static struct {
    const char *who;
    size_t fds, most_fds, kb;
    unsigned looks;
} level;

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n - 3; /* ".", ".." and the directory's own */
}

static size_t resident_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size = 0, resident = 0;

    CHECK(file && fscanf(file, "%lu %lu", &size, &resident) == 2);
    (void)fclose(file);
    return resident * (size_t)getpagesize() / 1024;
}

void level_begin(const char *who)
{
    level.who = who;
    level.fds = count_fds();
}

void level_look(void)
{
    if (level.looks++ % EVERY == 0) {
        size_t fds = count_fds();

        if (fds > level.most_fds)
            level.most_fds = fds;
    }
}

void level_settle(void)
{
    if (level.kb == 0)
        level.kb = resident_kb();
}

bool level_is_kept(void)
{
    size_t fds = count_fds(), kb = resident_kb();
    struct rusage usage;

    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    printf("soak: %s: checked %" PRIu64 " messages, %" PRIu64 " MiB, %" PRIu64
           " descriptors; %" PRIu64 " bodies lay in arenas\n",
           level.who, seen.messages, seen.bytes >> 20, seen.fds, seen.in_arenas);
    printf("soak: %s: %zu descriptors (before %zu, at most %zu), %zu KiB (after a tenth %zu, at "
           "most %ld)\n",
           level.who, fds, level.fds, level.most_fds, kb, level.kb, usage.ru_maxrss);
    return fds == level.fds && kb <= level.kb + MEMORY_KB;
}
