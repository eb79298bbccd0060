/* SPDX-License-Identifier: MIT */
/* See subids.h. */

#include "subids.h"

#include <errno.h>
#include <fcntl.h>
#include <sbx/sandbox.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "cleanup.h"
#include "error.h"
#include "ids.h"
#include "user.h"

enum {
    FILE_MAX_BYTES = 1 << 20
};

static const char *const programs[] = {"/usr/bin/newuidmap", "/usr/bin/newgidmap"};

/* "name:first:count" a line; what is not is somebody else's. */
uint32_t sbxi_subids_parse(char *text, const char *name, uint32_t id, uint32_t *ret_first)
{
    uint32_t best = 0;
    char number[16], *next;
    snprintf(number, sizeof number, "%u", id);
    for (char *line = text; line; line = next) {
        unsigned long first, count;
        int end = -1;
        if ((next = strchr(line, '\n')))
            *next++ = '\0';
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        if ((strcmp(line, name) != 0 && strcmp(line, number) != 0) ||
            sscanf(colon + 1, "%10lu:%10lu%n", &first, &count, &end) != 2 || colon[1 + end])
            continue;
        if (first == 0 || first > UINT32_MAX - 1 || count > UINT32_MAX - 1 - first || count <= best)
            continue;
        best = (uint32_t)count;
        *ret_first = (uint32_t)first;
    }
    return best;
}

static uint32_t find_in(const char *path, const char *name, uint32_t *ret_first)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *text = malloc(FILE_MAX_BYTES + 1);
    ssize_t n = fd < 0 || !text ? -1 : read(fd, text, FILE_MAX_BYTES);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sbxi_subids_parse(text, name, getuid(), ret_first);
}

int sbxi_subids_find(struct sbxi_subids *ret, const char *sandbox, struct sbx_error *error)
{
    struct sbxi_subids found = {0};
    char name[SBXI_USER_NAME];
    sbxi_user_name(getuid(), name);
    for (size_t i = 0; i < 2; i++)
        if (access(programs[i], X_OK) < 0)
            return sbxi_error(error, ENOENT,
                              "sandbox %s: ids: %s: %s; have it installed (Debian: uidmap), or do "
                              "with one id (--degrade=id-range)",
                              sandbox, programs[i], strerror(errno));
    uint32_t uids = find_in("/etc/subuid", name, &found.uid);
    uint32_t gids = find_in("/etc/subgid", name, &found.gid);
    if (!uids || !gids)
        return sbxi_error(error, ENOENT,
                          "sandbox %s: ids: %s has no ids for %s; have root add some (usermod "
                          "--add-subuids 100000-165535 --add-subgids 100000-165535 %s), or do with "
                          "one id (--degrade=id-range)",
                          sandbox, uids ? "/etc/subgid" : "/etc/subuid", name, name);
    found.count = uids < gids ? uids : gids;
    if (found.count > SBXI_IDS_COUNT - 1)
        found.count = SBXI_IDS_COUNT - 1;
    *ret = found;
    return 0;
}

/* What it says on standard error into @ret, one line. Its exit status, or -errno. */
static int run(const char *program, char *const argv[], char *ret, size_t size)
{
    char *const env[] = {NULL};
    int pipe[2], status;
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_close_ int ours = pipe[0];
    int r = posix_spawn_file_actions_init(&actions);
    if (r == 0) {
        r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
        if (r == 0)
            r = posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
        if (r == 0)
            r = posix_spawn_file_actions_adddup2(&actions, 0, 1);
        if (r == 0)
            r = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        if (r == 0)
            r = posix_spawn(&pid, program, &actions, NULL, argv, env);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(pipe[1]);
    if (r != 0)
        return -r;
    ssize_t n;
    size_t length = 0;
    while (length < size - 1 && (n = read(ours, ret + length, size - 1 - length)) > 0)
        length += (size_t)n;
    ret[length] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    /* ECHILD: who ignores SIGCHLD, or has waited for any child of his, has left us its words alone. It has some for each failure. */
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno == ECHILD ? ret[0] != 0 : -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

int sbxi_subids_map(const struct sbxi_subids *subids,
                    pid_t pid,
                    const char *sandbox,
                    struct sbx_error *error)
{
    const uint32_t own[] = {geteuid(), getegid()}, first[] = {subids->uid, subids->gid};
    char process[16], mine[16], start[16], count[16], zero[] = "0", one[] = "1", said[256] = "";
    snprintf(process, sizeof process, "%d", (int)pid);
    snprintf(count, sizeof count, "%u", subids->count);
    for (size_t i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s", strrchr(programs[i], '/') + 1);
        snprintf(mine, sizeof mine, "%u", own[i]);
        snprintf(start, sizeof start, "%u", first[i]);
        char *const argv[] = {name, process, zero, mine, one, one, start, count, NULL};
        int r = run(programs[i], argv, said, sizeof said);
        if (r != 0)
            return sbxi_error(error, r < 0 ? -r : EPERM,
                              "sandbox %s: ids: %s: %s; it must be setuid root or have "
                              "capabilities, and no_new_privs must not be set here",
                              sandbox, programs[i], said[0] ? said : strerror(r < 0 ? -r : EPERM));
    }
    return 0;
}
