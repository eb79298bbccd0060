/* SPDX-License-Identifier: MIT */
/*
 * Called as bwrap: bubblewrap's command line, defaults and exit codes. We stay beside the payload only to know its end,
 * and hold nothing of what was handed to it: not its descriptors, not its signals, and when we are killed nothing stops
 * (--die-with-parent is for that).
 */
#include "bwrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>

#include <uds/version.h>

#include "status.h"
#include "verbs.h"

static int run(int argc, char **argv);

#define OPTIONS                                                                                \
    "  --help, --version, --args FD, --argv0 VALUE, --level-prefix\n"                          \
    "namespaces:\n"                                                                            \
    "  --unshare-all, --unshare-user, --unshare-user-try, --unshare-ipc, --unshare-pid,\n"     \
    "  --unshare-net, --unshare-uts, --unshare-cgroup, --unshare-cgroup-try\n"                 \
    "  --share-net          keep the network after --unshare-all\n"                            \
    "  --userns FD, --userns2 FD, --pidns FD    enter existing ones\n"                         \
    "  --disable-userns, --assert-userns-disabled   no user namespaces inside\n"               \
    "  --uid UID, --gid GID, --hostname NAME\n"                                                \
    "environment:\n"                                                                           \
    "  --chdir DIR, --setenv VAR VALUE, --unsetenv VAR, --clearenv\n"                          \
    "root, empty at first, in the order of the options:\n" MOUNT_OPTIONS_HELP "confinement:\n" \
    "  --seccomp FD, --add-seccomp-fd FD, --cap-add CAP, --cap-drop CAP, --new-session\n"      \
    "  --exec-label LABEL, --file-label LABEL   refused: there is no SELinux here\n"           \
    "life:\n"                                                                                  \
    "  --die-with-parent, --as-pid-1, --lock-file DEST, --sync-fd FD, --block-fd FD\n"         \
    "  --userns-block-fd FD, --info-fd FD, --json-status-fd FD\n"

const struct verb verb_bwrap = {
    .name = "bwrap",
    .summary = "run a command as bubblewrap would",
    .help = "usage: uds bwrap [OPTIONS...] [--] COMMAND [ARGS...]\n"
            "\n"
            "bubblewrap's command line with bubblewrap's defaults; a link to uds that is called\n"
            "bwrap is the same. Nothing is confined but by an option: see `uds run` for that.\n"
            "\n" OPTIONS "\n"
            "examples:\n"
            "  uds bwrap --ro-bind / / --tmpfs /tmp --unshare-net sh -c 'touch /tmp/x; ls /tmp'\n"
            "  ln -s \"$(command -v uds)\" ~/bin/bwrap\n",
    .run = run,
};

static bool level_prefix;

void bwrap_set_level_prefix(void)
{
    level_prefix = true;
}

void bwrap_say(int level, const char *format, ...)
{
    va_list args;
    (void)fflush(stdout);
    if (level_prefix)
        (void)fprintf(stderr, "<%d>", level);
    (void)fputs("bwrap: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static int on_born(const struct sbx_report *report, void *userdata)
{
    struct bwrap_options *o = userdata;
    char byte;
    if (o->info >= 0 && !status_write_info(o->info, report, o->spec.isolate))
        return -errno;
    if (o->status >= 0 && !status_write_line(o->status, report, o->spec.isolate))
        return -errno;
    if (o->info >= 0 && o->info != o->status)
        (void)close(o->info);
    while (o->userns_block >= 0 && read(o->userns_block, &byte, 1) < 0 && errno == EINTR)
        continue;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Read, written or waited for by us or by init: not the payload's. */
static bool is_used(const struct bwrap_options *o, int fd)
{
    const struct sbx_spec *spec = &o->spec;
    const int used[] = {
        o->userns,       o->pidns,       o->info,       o->status,
        o->userns_block, spec->block_fd, spec->userns2, spec->as_pid1 ? -1 : spec->sync_fd};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        if (used[i] == fd)
            return true;
    for (size_t i = 0; i < spec->nmounts; i++)
        if (spec->mounts[i].fd == fd)
            return true;
    return false;
}

/* What would survive an execve is inherited, with its number. */
static bool find_inherited(struct bwrap_options *o)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        bwrap_say(3, "Can't open /proc: %s", strerror(errno));
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name), flags = fd > 2 ? fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && !(flags & FD_CLOEXEC) && !is_used(o, fd) &&
            !list_push(&o->keep, &fd, sizeof fd))
            break;
    }
    (void)closedir(dir);
    if (o->keep.count > 0)
        qsort(o->keep.items, o->keep.count, sizeof(int), compare);
    o->spec.keep_fds = o->keep.items;
    o->spec.nkeep_fds = o->keep.count;
    return true;
}

/* The payload has its own by now: of a pipe that it closes, no end may stay open here. */
static void close_inherited(const struct bwrap_options *o)
{
    const int *keep = o->keep.items;
    const struct sbx_spec *spec = &o->spec;
    for (size_t i = 0; i < o->keep.count; i++)
        (void)close(keep[i]);
    for (size_t i = 0; i < spec->nmounts; i++)
        if (spec->mounts[i].fd > 2)
            (void)close(spec->mounts[i].fd);
    if (spec->sync_fd > 2)
        (void)close(spec->sync_fd);
    if (spec->block_fd > 2)
        (void)close(spec->block_fd);
}

/* "sandbox bwrap: make directory /x: …" is "bwrap: Can't make directory /x: …". */
static void complain(const struct bwrap_options *o, const struct sbx_error *error, int r)
{
    static const char name[] = "sandbox bwrap: ";
    const char *text = error->text;
    if (error->exec) {
        bwrap_say(3, "execvp %s: %s", o->spec.argv[0], strerror(error->err));
        return;
    }
    if (strncmp(text, name, sizeof name - 1) == 0)
        text += sizeof name - 1;
    bwrap_say(3, "%s%s", error->step ? "Can't " : "", *text ? text : strerror(-r));
}

static int wait_for_end(const struct bwrap_options *o, sbx *s)
{
    struct sbx_result result = SBX_RESULT_INIT;
    char text[64];
    int r = sbx_wait(s, &result);
    if (r < 0) {
        bwrap_say(3, "cannot wait for it: %s", strerror(-r));
        return 1;
    }
    int code = result.outcome == SBX_EXITED ? (int)result.value : 128 + (int)result.value;
    (void)snprintf(text, sizeof text, "{ \"exit-code\": %d }\n", code);
    if (o->status >= 0)
        (void)status_write(o->status, text);
    return code;
}

static int start(struct bwrap_options *o)
{
    struct sbx_error error = {0};
    sbx_plan *plan;
    sbx *s = NULL;
    o->spec.on_born = on_born;
    o->spec.userdata = o;
    (void)signal(SIGCHLD, SIG_DFL); /* who ignores it cannot wait */
    if (o->spec.die_with_parent)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int r = sbx_plan_new(&plan, &o->spec, &error);
    if (r == 0) {
        r = sbx_start(&s, plan, NULL, &error);
        (void)sbx_plan_free(plan);
    }
    if (r < 0) {
        complain(o, &error, r);
        return 1;
    }
    close_inherited(o);
    int code = wait_for_end(o, s);
    (void)sbx_free(s);
    return code;
}

static int usage(const char *name, FILE *out, int code)
{
    (void)fprintf(out, "usage: %s [OPTIONS...] [--] COMMAND [ARGS...]\n\n" OPTIONS, name);
    return code;
}

static int run(int argc, char **argv)
{
    struct bwrap_options o;
    int code = 1;
    switch (bwrap_parse(&o, argc - 1, (const char **)(uintptr_t)(argv + 1))) {
    case BWRAP_RUN:
        if (find_inherited(&o))
            code = start(&o);
        break;
    case BWRAP_HELP:
        code = usage(argv[0], stdout, 0);
        break;
    case BWRAP_VERSION:
        (void)printf("bubblewrap 0.11.1 (uds %s)\n", UDS_VERSION_STRING);
        code = 0;
        break;
    case BWRAP_NO_COMMAND:
        code = usage(argv[0], stderr, 1);
        break;
    case BWRAP_BAD:
        break;
    }
    bwrap_options_free(&o);
    return code;
}
