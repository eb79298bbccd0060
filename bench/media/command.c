/* SPDX-License-Identifier: MIT */
/*
 * Starting a program, waiting for its end, and all of it gone again: by clone3 and execve, which is the floor, and by the
 * commands that put it into a sandbox. The program is /bin/true, which every machine has.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/cleaner.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "media.h"

#define PROGRAM "/bin/true"

struct command {
    char uds[PATH_MAX]; /* or another program of ours */
    char bundle[64];    /* runc: where its files are; "" none */
    const char *argv[24];
    posix_spawn_file_actions_t quiet; /* after the first: what it has to say it says once */
    bool spoken;
};

static int serve_nothing(struct link *link)
{
    (void)link;
    return 0;
}

static int attach_nothing(struct link *link)
{
    (void)link;
    return 0;
}

/* ---- the floor ---- */

static int open_exec(struct link *link)
{
    (void)link;
    return 0;
}

static void close_exec(struct link *link)
{
    (void)link;
}

static int wait_for(struct link *link, pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return link_fail(link, -errno, "waitpid");
    return status == 0 ? 0 : link_fail(link, -EPROTO, "a command failed and said why");
}

static int exec_once(struct link *link)
{
    static char name[] = PROGRAM;
    struct clone_args args = {.flags = CLONE_VFORK, .exit_signal = SIGCHLD};
    char *const argv[] = {name, NULL}, *const env[] = {NULL};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid < 0)
        return link_fail(link, -errno, "clone3");
    if (pid == 0) {
        (void)execve(PROGRAM, argv, env);
        _exit(127);
    }
    return wait_for(link, (pid_t)pid);
}

static int drive_exec(struct link *link, struct meter *meter)
{
    int r = exec_once(link) < 0 ? -ENODEV : 0; /* what does not even begin is left out */

    meter_start(meter);
    while (r == 0) {
        r = exec_once(link);
        if (r == 0 && !meter_tick(meter, 1))
            break;
    }
    return r;
}

const struct medium medium_exec = {
    .name = "exec",
    .summary = "clone3 and execve of " PROGRAM ", without a sandbox: the floor",
    .traits = MEDIUM_STARTS,
    .open = open_exec,
    .attach = attach_nothing,
    .close = close_exec,
    .drive = drive_exec,
    .serve = serve_nothing,
};

/* ---- commands ---- */

static int spawn_once(struct link *link)
{
    struct command *command = link->state;
    char *env[] = {(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                   NULL};
    char *argv[24];
    pid_t pid;
    int r;

    for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]); i++)
        argv[i] = (char *)(uintptr_t)command->argv[i];
    r = posix_spawnp(&pid, argv[0], command->spoken ? &command->quiet : NULL, NULL, argv, env);
    command->spoken = true;
    return r ? link_fail(link, -r, argv[0]) : wait_for(link, pid);
}

static int drive_command(struct link *link, struct meter *meter)
{
    int r = spawn_once(link) < 0 ? -ENODEV : 0;

    meter_start(meter);
    while (r == 0) {
        r = spawn_once(link);
        if (r == 0 && !meter_tick(meter, 1))
            break;
    }
    return r;
}

static int new_command(struct link *link, const char *const *argv)
{
    struct command *command = calloc(1, sizeof(*command));

    if (!command)
        return link_fail(link, -ENOMEM, "memory");
    for (size_t i = 0; argv[i]; i++)
        command->argv[i] = argv[i];
    (void)posix_spawn_file_actions_init(&command->quiet);
    (void)posix_spawn_file_actions_addopen(&command->quiet, 2, "/dev/null", O_WRONLY, 0);
    link->state = command;
    return 0;
}

static bool is_installed(const char *name)
{
    static const char *const places[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                         "/usr/bin",        "/sbin",          "/bin"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", places[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static int open_bare_command(struct link *link)
{
    static const char *const argv[] = {"uds-bench-floor", PROGRAM, NULL};
    int r = new_command(link, argv);
    struct command *command = link->state;

    if (r < 0)
        return r;
    if (sbx_find_program(argv[0], command->uds, NULL) < 0)
        return link_fail(link, -ENODEV, "uds-bench-floor beside our other programs");
    command->argv[0] = command->uds;
    return 0;
}

/* Ours lies beside us, in a build tree and where it is installed. */
static int find_uds(struct link *link)
{
    struct command *command = link->state;
    ssize_t n = readlink("/proc/self/exe", command->uds, sizeof(command->uds) - 8);
    char *slash;

    command->uds[n > 0 ? n : 0] = '\0';
    slash = strrchr(command->uds, '/');
    if (!slash)
        return link_fail(link, -ENOENT, "/proc/self/exe");
    (void)strcpy(slash + 1, "uds");
    command->argv[0] = command->uds;
    return access(command->uds, X_OK) == 0 ? 0 : link_fail(link, -ENODEV, "uds beside uds-bench");
}

static int open_uds_run(struct link *link)
{
    static const char *const argv[] = {"uds", "run", "--", PROGRAM, NULL};
    int r = new_command(link, argv);

    return r < 0 ? r : find_uds(link);
}

static int open_uds_bare(struct link *link)
{
    static const char *const argv[] = {"uds", "run", "--no-cgroup", "--", PROGRAM, NULL};
    int r = new_command(link, argv);

    return r < 0 ? r : find_uds(link);
}

static int open_uds_limits(struct link *link)
{
    static const char *const argv[] = {"uds",   "run", "--memory", "64M",   "--pids", "8",
                                       "--cpu", "50%", "--",       PROGRAM, NULL};
    int r = new_command(link, argv);

    return r < 0 ? r : find_uds(link);
}

static int open_bwrap(struct link *link)
{
    static const char *const argv[] = {"bwrap", "--unshare-all", "--ro-bind", "/",
                                       "/",     "--proc",        "/proc",     "--dev",
                                       "/dev",  PROGRAM,         NULL};

    if (!is_installed("bwrap"))
        return link_fail(link, -ENODEV, "bwrap (package bubblewrap)");
    return new_command(link, argv);
}

/* The usual namespaces, the same limits as those of uds-run-limits, and the host's programs read-only. */
static const char config[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"" PROGRAM
    "\"],"
    "\"env\":[\"PATH=/usr/bin:/bin\"],\"cwd\":\"/\",\"noNewPrivileges\":true},"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"bench\",\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/"
    "dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"mode=755\"]},"
    "{\"destination\":\"/usr\",\"type\":\"bind\",\"source\":\"/"
    "usr\",\"options\":[\"bind\",\"ro\"]},"
    "{\"destination\":\"/bin\",\"type\":\"bind\",\"source\":\"/"
    "bin\",\"options\":[\"bind\",\"ro\"]},"
    "{\"destination\":\"/lib\",\"type\":\"bind\",\"source\":\"/"
    "lib\",\"options\":[\"bind\",\"ro\"]},"
    "{\"destination\":\"/lib64\",\"type\":\"bind\",\"source\":\"/"
    "lib64\",\"options\":[\"bind\",\"ro\"]}],"
    "\"linux\":{\"resources\":{\"memory\":{\"limit\":67108864},\"pids\":{\"limit\":8},"
    "\"cpu\":{\"quota\":50000,\"period\":100000}},\"namespaces\":[{\"type\":\"pid\"},{\"type\":"
    "\"network\"},"
    "{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]}}\n";

static int write_bundle(struct link *link)
{
    static const char *const directories[] = {"rootfs",      "rootfs/proc", "rootfs/dev",
                                              "rootfs/usr",  "rootfs/bin",  "rootfs/lib",
                                              "rootfs/lib64"};
    struct command *command = link->state;
    char path[PATH_MAX];
    ssize_t n;
    int fd;

    (void)strcpy(command->bundle, "/tmp/uds-bench.XXXXXX");
    if (!mkdtemp(command->bundle)) {
        command->bundle[0] = '\0';
        return link_fail(link, -errno, "mkdtemp");
    }
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", command->bundle, directories[i]);
        if (mkdir(path, 0755) < 0)
            return link_fail(link, -errno, "mkdir");
    }
    (void)snprintf(path, sizeof(path), "%s/config.json", command->bundle);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return link_fail(link, -errno, "config.json");
    n = write(fd, config, sizeof(config) - 1);
    (void)close(fd);
    return n == (ssize_t)sizeof(config) - 1 ? 0 : link_fail(link, -EIO, "config.json");
}

static int open_runc(struct link *link)
{
    static const char *const argv[] = {"runc", "run", "--bundle", NULL};

    if (!is_installed("runc"))
        return link_fail(link, -ENODEV, "runc (package runc)");
    if (geteuid() != 0)
        return link_fail(link, -ENODEV, "runc with limits as an ordinary user");
    return new_command(link, argv);
}

/* In the driver, which removes it again. */
static int attach_runc(struct link *link)
{
    struct command *command = link->state;
    int r = link->side == SIDE_DRIVER ? write_bundle(link) : 0;

    if (r == 0 && command->bundle[0]) {
        command->argv[3] = command->bundle;
        command->argv[4] = strrchr(command->bundle, '/') + 1;
    }
    return r;
}

static void remove_bundle(const struct command *command)
{
    static const char *const names[] = {"config.json",  "rootfs/proc", "rootfs/dev",
                                        "rootfs/usr",   "rootfs/bin",  "rootfs/lib",
                                        "rootfs/lib64", "rootfs",      ""};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", command->bundle, names[i]);
        (void)remove(path);
    }
}

static void close_command(struct link *link)
{
    struct command *command = link->state;

    if (command && command->bundle[0])
        remove_bundle(command);
    if (command)
        (void)posix_spawn_file_actions_destroy(&command->quiet);
    free(command);
    link->state = NULL;
}

#define COMMAND(variable, title, words, opener, attacher) \
    const struct medium variable = {                      \
        .name = (title),                                  \
        .summary = (words),                               \
        .traits = MEDIUM_STARTS,                          \
        .open = (opener),                                 \
        .attach = (attacher),                             \
        .close = close_command,                           \
        .drive = drive_command,                           \
        .serve = serve_nothing,                           \
    }

COMMAND(medium_bare_command,
        "bare-command",
        "a static program that makes the namespaces and mounts of bwrap, and keeps nobody in: the "
        "floor of commands",
        open_bare_command,
        attach_nothing);
COMMAND(
    medium_uds_run, "uds-run", "uds run, as it is without options", open_uds_run, attach_nothing);
COMMAND(medium_uds_run_bare,
        "uds-run-bare",
        "uds run --no-cgroup: what bwrap --unshare-all gives, too",
        open_uds_bare,
        attach_nothing);
COMMAND(medium_uds_run_limits,
        "uds-run-limits",
        "uds run with limits of memory, processes and CPU",
        open_uds_limits,
        attach_nothing);
COMMAND(medium_bwrap,
        "bwrap",
        "bwrap --unshare-all, the host's root read-only, its own /proc and /dev",
        open_bwrap,
        attach_nothing);
COMMAND(
    medium_runc, "runc", "runc run with the same limits as uds-run-limits", open_runc, attach_runc);
