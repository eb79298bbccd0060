/* SPDX-License-Identifier: MIT */
/* See layer-worker.h. fork(2) of glibc and not clone3: the child needs malloc, which only that leaves usable. */

#include "layer-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "child-process.h"
#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "subids.h"
#include "walk.h"

enum {
    DONE = 100, /* a "change": @size is -errno, path where it happened */
    MOST_ENTRIES = 50000000
};

struct message {
    uint32_t change, mode, dropped, length; /* of the path behind it, with its NUL */
    uint64_t size, device;
};

static int channel = -1; /* the child's */

int sbxi_worker_say(enum sbx_layer_change change,
                    uint32_t mode,
                    uint64_t size,
                    uint64_t device,
                    uint32_t dropped,
                    const char *path)
{
    char packet[sizeof(struct message) + PATH_MAX];
    struct message message = {.change = (uint32_t)change,
                              .mode = mode,
                              .dropped = dropped,
                              .length = (uint32_t)strlen(path) + 1,
                              .size = size,
                              .device = device};
    memcpy(packet, &message, sizeof message);
    memcpy(packet + sizeof message, path, message.length);
    size_t length = sizeof message + message.length;
    return send(channel, packet, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -EPIPE;
}

/* What the parent opened may be names of mounts only: O_PATH. */
static int reopen(int *fd)
{
    if (*fd >= 0)
        *fd = sbxi_walk_open(*fd, ".");
    return *fd < 0 ? *fd : 0;
}

static int work(struct sbxi_work *w, char path[PATH_MAX])
{
    int r = reopen(&w->from);
    if (r == 0 && w->to >= 0)
        r = reopen(&w->to);
    if (r < 0)
        return r;
    switch (w->kind) {
    case SBXI_WORK_DIFF:
        return sbxi_work_diff(w, path);
    case SBXI_WORK_COMMIT:
    case SBXI_WORK_MERGE:
    case SBXI_WORK_FORK:
        return sbxi_work_copy(w, path);
    case SBXI_WORK_SHIFT:
        return sbxi_work_shift(w, path);
    case SBXI_WORK_CLEAR:
    default:
        return sbxi_walk_clear(w->from);
    }
}

static int confine(const struct sbxi_work *w)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files); /* a directory of each level and layer is open */
    }
    umask(0);
    /* Who has no other id mapped may not, and need not, drop its groups. */
    if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
        return -errno;
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0 ||
        fchdir(w->from) < 0 || chroot(".") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* A tree's names and links could lead whoever walks it anywhere: so it holds what it walks, and nothing else of ours. */
static bool shed(const struct sbxi_work *w)
{
    int *keep = calloc(w->nbelow + 3, sizeof *keep), from = 0;
    size_t n = 0;
    if (!keep)
        return false;
    for (size_t i = 0; i < w->nbelow; i++)
        keep[n++] = w->below[i];
    keep[n++] = channel;
    keep[n++] = w->from;
    keep[n++] = w->to;
    qsort(keep, n, sizeof *keep, by_number);
    for (size_t i = 0; i < n; from = keep[i++] + 1)
        if (keep[i] > from && close_range((unsigned)from, (unsigned)keep[i] - 1, 0) < 0)
            return false;
    free(keep);
    return close_range((unsigned)from, ~0U, 0) == 0;
}

static _Noreturn void be_child(const struct sbxi_work *w, pid_t parent)
{
    char path[PATH_MAX] = "/", go;
    signal(SIGPIPE, SIG_IGN);
    if (!shed(w))
        _exit(1);
    int r = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
                    unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0
                ? -errno
                : 0;
    if (send(channel, &r, sizeof r, MSG_NOSIGNAL) < 0 || r < 0 || recv(channel, &go, 1, 0) != 1)
        _exit(1);
    r = confine(w);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* cleared with the ids */
    struct sbxi_work own = *w;
    if (r == 0)
        r = work(&own, path);
    sbxi_worker_say((enum sbx_layer_change)DONE, 0, (uint64_t)(unsigned)-r, 0, 0, path);
    _exit(0);
}

/* ---- the parent ---- */

static int write_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int write_maps(pid_t pid, const struct sbxi_worker_ids *ids)
{
    char text[2][192] = {"", ""};
    size_t used = 0;
    bool all = ids->count > 0 || geteuid() == 0;
    for (size_t i = 0; i < ids->count; i++)
        used += (size_t)snprintf(text[0] + used, sizeof text[0] - used, "%zu %u 65536\n", i * 65536,
                                 ids->first[i]);
    if (!ids->count && all) {
        snprintf(text[0], sizeof text[0], "0 0 4294967295\n");
    } else if (!all) {
        snprintf(text[0], sizeof text[0], "0 %u 1\n", geteuid());
        snprintf(text[1], sizeof text[1], "0 %u 1\n", getegid());
    }
    int r = all ? 0 : write_file(pid, "setgroups", "deny");
    if (r == 0)
        r = write_file(pid, "uid_map", text[0]);
    return r == 0 ? write_file(pid, "gid_map", text[all ? 0 : 1]) : r;
}

/* Of an ordinary user's sandboxes some have those of /etc/subuid too, and so must who looks at what they left. */
static int map_ids(pid_t pid, const struct sbxi_worker_ids *ids)
{
    struct sbxi_subids subids;
    struct sbx_error none;
    if (geteuid() != 0 && sbxi_subids_find(&subids, "", &none) == 0 &&
        sbxi_subids_map(&subids, pid, "", &none) == 0)
        return 0;
    return write_maps(pid, ids);
}

/* What is only looked at may be out of the child's reach then; what is written must not get others' ids. */
static int map_mounts(pid_t pid, const struct sbxi_worker_ids *ids, int written)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    _cleanup_close_ int userns = ids->nmap ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    for (size_t i = 0; i < ids->nmap; i++) {
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns};
        if (userns < 0 || (mount_setattr(ids->map[i], "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 &&
                           (errno != EINVAL || ids->map[i] == written)))
            return -errno;
    }
    return 0;
}

/* The way to the directory of @path was made by the child, of plain directories; nothing else is followed. */
static int make_device(const struct sbxi_work *w, const struct message *message, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", slash > path ? (int)(slash - path - 1) : 1,
             slash > path ? path + 1 : ".");
    if (!S_ISCHR(message->mode) && !S_ISBLK(message->mode))
        return -EPROTO;
    _cleanup_close_ int dir = sbxi_walk_open(w->to, parent);
    if (dir < 0)
        return dir;
    return mknodat(dir, slash + 1, message->mode & (S_IFMT | 0777), (dev_t)message->device) < 0
               ? -errno
               : 0;
}

/* 1: there is more; 0: done; else the end of it. */
static int take_message(const struct sbxi_work *w,
                        int fd,
                        struct sbx_layer_entry *entry,
                        char path[PATH_MAX + 1])
{
    char packet[sizeof(struct message) + PATH_MAX];
    struct message message;
    ssize_t n = recv(fd, packet, sizeof packet, 0);
    if (n < 0 && errno == EINTR)
        return 1;
    if (n < (ssize_t)sizeof message)
        return -ECHILD;
    memcpy(&message, packet, sizeof message);
    size_t length = (size_t)n - sizeof message;
    const char *text = packet + sizeof message;
    if (length != message.length || length < 2 || text[0] != '/' ||
        memchr(text, 0, length) != text + length - 1)
        return -EPROTO;
    memcpy(path, text, length);
    if (message.change == DONE)
        return message.size > 0 && message.size < 4096 ? -(int)message.size : 0;
    if (message.change < SBX_LAYER_ADDED || message.change > SBX_LAYER_DROPPED)
        return -EPROTO;
    *entry = (struct sbx_layer_entry){.change = (enum sbx_layer_change)message.change,
                                      .mode = message.mode,
                                      .dropped = message.dropped,
                                      .size_bytes = message.size,
                                      .path = path};
    bool kept = message.change == SBX_LAYER_DROPPED && message.dropped == SBX_LAYER_DEVICES &&
                (w->keep & SBX_LAYER_DEVICES);
    if (kept && geteuid() == 0 && make_device(w, &message, path) == 0)
        return 1;
    int r = w->fn ? w->fn(entry, w->userdata) : 0;
    return r == 0 ? 1 : r;
}

static int listen_to(const struct sbxi_work *w, int fd, const char *what, struct sbx_error *error)
{
    char path[PATH_MAX + 1] = "/";
    struct sbx_layer_entry entry;
    int r = 1;
    for (size_t i = 0; r == 1 && i < MOST_ENTRIES; i++)
        r = take_message(w, fd, &entry, path);
    if (r == 1)
        r = -E2BIG;
    if (r < 0)
        return sbxi_error(error, -r, "layer: %s%s: %s", what, path,
                          r == -ELOOP    ? "deeper than 256 directories"
                          : r == -ECHILD ? "who walks it has died"
                                         : strerror(-r));
    return r;
}

static int prepare(pid_t pid,
                   int fd,
                   const struct sbxi_worker_ids *ids,
                   int written,
                   const char *what,
                   struct sbx_error *error)
{
    int r;
    if (recv(fd, &r, sizeof r, 0) != (ssize_t)sizeof r)
        r = -ECHILD;
    if (r < 0)
        return sbxi_error(
            error, -r,
            "layer: %s: no user namespace to walk it in: %s; see sysctl user.max_user_namespaces",
            what, strerror(-r));
    if ((r = map_ids(pid, ids)) < 0)
        return sbxi_error(error, -r, "layer: %s: ids of the user namespace: %s", what,
                          strerror(-r));
    if ((r = map_mounts(pid, ids, written)) < 0)
        return sbxi_error(error, -r,
                          "layer: %s: ids cannot be translated: %s; put it on a file system with "
                          "id-mapped mounts",
                          what, strerror(-r));
    return send(fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int sbxi_worker_run(const struct sbxi_work *w,
                    const struct sbxi_worker_ids *ids,
                    const char *what,
                    struct sbx_error *error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return sbxi_error(error, errno, "layer: %s: %s", what, strerror(errno));
    int written = w->to >= 0 ? w->to : w->kind == SBXI_WORK_CLEAR ? w->from : -1;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        channel = pair[1];
        be_child(w, parent);
    }
    close(pair[1]);
    _cleanup_close_ int pidfd = pid < 0 ? -1 : pidfd_open(pid, 0); /* it waits for us */
    int r = pid < 0 ? sbxi_error(error, errno, "layer: %s: %s", what, strerror(errno))
                    : prepare(pid, pair[0], ids, written, what, error);
    if (r == 0)
        r = listen_to(w, pair[0], what, error);
    close(pair[0]);
    if (pidfd >= 0 && r != 0)
        sbxi_kill_and_reap(pidfd);
    else if (pidfd >= 0)
        (void)sbxi_reap(pidfd, NULL);
    return r;
}
