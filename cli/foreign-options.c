/* SPDX-License-Identifier: MIT */
/* Words of other tools for what `uds run` does, for who types them out of habit. docs/coming-from.md has all of it. */
#include "foreign-options.h"

#include <stddef.h>
#include <string.h>

#define DEFAULT "is the default here; leave it out"

static const struct {
    const char *word, *hint;
} hints[] = {
    {"--new-session", DEFAULT},
    {"--rm", DEFAULT},
    {"--init", DEFAULT},
    {"--read-only", DEFAULT},
    {"--env", "is --setenv NAME VALUE here"},
    {"-e", "is --setenv NAME VALUE here"},
    {"-E", "is --setenv NAME VALUE here"},
    {"--user", "is --uid NUMBER here, and --gid NUMBER"},
    {"-u", "is --uid NUMBER here"},
    {"--group", "is --gid NUMBER here"},
    {"-g", "is --gid NUMBER here"},
    {"--cwd", "is --chdir DIRECTORY here"},
    {"--workdir", "is --chdir DIRECTORY here"},
    {"--working-directory", "is --chdir DIRECTORY here"},
    {"-w", "is --chdir DIRECTORY here"},
    {"-D", "is --chdir DIRECTORY here"},
    {"--volume", "is --bind SOURCE TARGET here, or --ro-bind"},
    {"-v", "is --bind SOURCE TARGET here, or --ro-bind"},
    {"--bindmount", "is --bind SOURCE TARGET here"},
    {"-B", "is --bind SOURCE TARGET here"},
    {"--bindmount_ro", "is --ro-bind SOURCE TARGET here"},
    {"-R", "is --ro-bind SOURCE TARGET here"},
    {"--network", "is --net here"},
    {"--pids-limit", "is --pids here"},
    {"--ulimit", "is --rlimit NAME=SOFT:HARD here"},
    {"--cgroup_mem_max", "is --memory here: 64M"},
    {"--cgroup_pids_max", "is --pids here"},
    {"--cgroup_cpu_ms_per_sec", "is --cpu here, in percent of one CPU: 50%"},
    {"--property", "is an option for each here: --memory, --cpu, --pids, --timeout, --rlimit"},
    {"-p", "is an option for each here: --memory, --cpu, --pids, --timeout, --rlimit"},
    {"--slice", "is --cgroup-parent here"},
    {"--scope", "is `uds cgroup create` and `uds cgroup exec` here"},
    {"--time_limit", "is --timeout here: 10s"},
    {"--pass_fd", "is --fd NAME=NUMBER here"},
    {"--keep_env", "is --keep-env here"},
    {"--keep_caps", "is --cap-add here, by name"},
    {"--privileged", "is nothing that there is here; --cap-add names what it takes"},
    {"--tty", "is --pty here"},
};

const char *foreign_option_hint(const char *word)
{
    size_t length = strcspn(word, "=");
    if (strncmp(word, "--unshare-", 10) == 0)
        return DEFAULT ", as --share-… takes it back; `uds bwrap` takes bubblewrap's options";
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strlen(hints[i].word) == length && strncmp(hints[i].word, word, length) == 0)
            return hints[i].hint;
    return NULL;
}
