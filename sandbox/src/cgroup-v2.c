/* SPDX-License-Identifier: MIT */
/*
 * The unified hierarchy. A sandbox's cgroup is a child of our own, and a cgroup may hand controllers down only while no
 * process lives in it ("no internal processes"), the root excepted. The kernel says EBUSY to that for memory and io only:
 * cpu and pids it takes, and from then on no process can enter any child ("domain invalid", EOPNOTSUPP). So before the first controller is handed
 * down we move ourselves, and our descendants that live there too (the cleaner, a broker's router), into a leaf beside
 * the sandboxes, "uds-self-leaf". The leaf is shared by all owners that live in the same cgroup; the cleaner of the last
 * one moves them back and removes it (sweep.c). Other people's processes are never moved: if some live in our cgroup,
 * as in every login session, systemd is asked for a scope of our own (scope.c), and where there is none, sandboxes are
 * made in the next one above that is ours to write and has none; if there is none the error says so.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "cgroup-internal.h"
#include "cgtree.h"
#include "cleaner.h"
#include "cleanup.h"
#include "demand.h"
#include "error.h"
#include "scope.h"

enum {
    MAX_GENERATIONS = 64,
    MOVE_ROUNDS = 16
};
#define LEAF "uds-self-leaf"

static const struct {
    uint32_t bit;
    const char *name;
} controllers_of[] = {
    {SBXI_CTL_MEMORY, "memory"}, /* first: the one that says EBUSY */
    {SBXI_CTL_IO, "io"},         {SBXI_CTL_CPU, "cpu"},
    {SBXI_CTL_PIDS, "pids"},     {SBXI_CTL_CPUSET, "cpuset"},
};
enum {
    NCONTROLLERS = sizeof controllers_of / sizeof controllers_of[0]
};

static bool v2_wants(const struct sbxi_cgroup_layout *layout,
                     const struct sbxi_hierarchy *h,
                     uint32_t controllers)
{
    (void)layout, (void)controllers;
    return h->v2;
}

/* 0: none, or none that we may know of. */
static pid_t parent_of(pid_t pid)
{
    char path[32], text[512];
    int parent;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (sbxi_control_read(AT_FDCWD, path, text, sizeof text) < 0)
        return 0;
    const char *p = strrchr(text, ')'); /* a command's name may hold anything, also ") " */
    return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static bool is_ours(pid_t pid)
{
    for (int i = 0; i < MAX_GENERATIONS && pid > 0; i++, pid = parent_of(pid))
        if (pid == getpid())
            return true;
    return false;
}

static FILE *open_procs(int fd)
{
    _cleanup_close_ int procs = openat(fd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *file = procs < 0 ? NULL : fdopen(procs, "re");
    if (file)
        sbxi_take_fd(&procs);
    return file;
}

/* Do processes live in the cgroup at @fd that keep it from handing controllers down? The root may have them. */
static bool is_inhabited(int fd, bool by_strangers)
{
    char line[32];
    if (faccessat(fd, "cgroup.type", F_OK, 0) < 0) /* every cgroup has it but the root */
        return false;
    _cleanup_fclose_ FILE *file = open_procs(fd);
    while (file && fgets(line, sizeof line, file))
        if (!by_strangers || !is_ours((pid_t)strtol(line, NULL, 10)))
            return true;
    return false;
}

/* May sandboxes be made in the cgroup at @path, and we then put processes from below it there? */
static bool is_usable(const char *path, bool fake)
{
    static const char *const files[] = {".", "cgroup.procs", "cgroup.subtree_control"};
    _cleanup_close_ int fd = sbxi_cgtree_open(path, fake);
    if (fd < 0 || is_inhabited(fd, false))
        return false;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (faccessat(fd, files[i], W_OK, AT_EACCESS) < 0)
            return false;
    return true;
}

void sbxi_cgroup_v2_settle(struct sbxi_hierarchy *h, bool fake)
{
    char path[SBXI_RECORD_PATH_MAX];
    size_t base = strlen(h->mount);
    snprintf(path, sizeof path, "%s%s", h->mount, h->own);
    _cleanup_close_ int own = sbxi_cgtree_open(path, fake);
    if (own < 0 || !is_inhabited(own, true))
        return;
    h->shared = true;
    for (char *slash = strrchr(path, '/'); slash > path + base; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (is_usable(path, fake)) {
            snprintf(h->own, sizeof h->own, "%s", path + base);
            return;
        }
    }
    path[base] = '\0';
    if (strcmp(h->own, "/") != 0 && is_usable(path, fake))
        snprintf(h->own, sizeof h->own, "/");
}

/* Going above would do as well, for a while: what is systemd's, it rearranges when it likes. */
void sbxi_cgroup_ask_for_scope(struct sbxi_cgroup_layout *layout,
                               const char *name,
                               const struct sbx_limits *limits,
                               const sbx_cleaner *cleaner)
{
    pid_t pids[2] = {getpid(), cleaner ? sbx_cleaner_get_pid(cleaner) : -1};
    char path[SBXI_RECORD_PATH_MAX];
    struct sbxi_cgroup_layout probed;
    bool asked = layout->backend == &sbxi_cgroup_v2 && layout->hierarchies[0].shared &&
                 sbxi_demand_of(limits) && sbxi_scope_is_possible();
    if (asked && sbxi_scope_enter(name, pids, pids[1] > 0 ? 2 : 1, path, sizeof path, NULL) >= 0 &&
        sbxi_cgroup_probe(&probed, NULL, NULL, NULL) >= 0)
        *layout = probed;
}

/* Does anything lie in the cgroup at @path beside @name and our leaf? */
static bool is_alone(const char *path, const char *name)
{
    int fd = sbxi_cgtree_open(path, false);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool alone = dir != NULL;
    if (!dir && fd >= 0)
        close(fd);
    for (struct dirent *e; alone && (e = readdir(dir));)
        alone = e->d_type != DT_DIR || e->d_name[0] == '.' || strcmp(e->d_name, name) == 0 ||
                strcmp(e->d_name, LEAF) == 0;
    if (dir)
        closedir(dir);
    return alone;
}

int sbxi_cgroup_weigh_scope(const sbxi_cgroup *cg,
                            const struct sbx_limits *limits,
                            struct sbx_error *error)
{
    char path[SBXI_RECORD_PATH_MAX];
    if (cg->layout.fake || (!limits->cpu_weight && !limits->io_weight))
        return 0;
    snprintf(path, sizeof path, "%s", cg->members[0].path);
    char *name = strrchr(path, '/');
    *name++ = '\0';
    const char *unit = strrchr(path, '/') + 1;
    size_t length = strlen(unit), tail = strlen(".scope");
    bool scope = strncmp(unit, "uds-", 4) == 0 && length > tail &&
                 strcmp(unit + length - tail, ".scope") == 0;
    return scope && is_alone(path, name)
               ? sbxi_scope_weigh(unit, limits->cpu_weight, limits->io_weight, error)
               : 0;
}

int sbxi_cgroup_v2_move_ours(int fd, const char *leaf)
{
    char to[128], line[32];
    snprintf(to, sizeof to, "%s/cgroup.procs", leaf);
    /* Again while there is somebody: a child that forked meanwhile has left one behind. */
    for (int round = 0, moved = 1; moved && round < MOVE_ROUNDS; round++) {
        _cleanup_fclose_ FILE *file = open_procs(fd);
        if (!file)
            return -errno;
        moved = 0;
        while (fgets(line, sizeof line, file)) {
            pid_t pid = (pid_t)strtol(line, NULL, 10);
            if (!is_ours(pid))
                continue;
            int r = sbxi_control_write_u64(fd, to, (uint64_t)pid);
            if (r < 0 && r != -ESRCH) /* ended meanwhile: as well */
                return r;
            moved++;
        }
    }
    return 0;
}

static int move_to_leaf(const struct sbxi_hierarchy *h, int fd, sbx_cleaner *cleaner)
{
    char path[SBXI_RECORD_PATH_MAX];
    snprintf(path, sizeof path, "%s%s/" LEAF, h->mount, strcmp(h->own, "/") ? h->own : "");
    if (cleaner) {
        struct sbxi_record record;
        int r = sbxi_record_set_path(&record, SBXI_RECORD_LEAF, path);
        if (r >= 0)
            r = sbxi_cleaner_add(cleaner, &record, 1);
        if (r < 0)
            return r;
    }
    if (mkdirat(fd, LEAF, 0755) < 0 && errno != EEXIST)
        return -errno;
    return sbxi_cgroup_v2_move_ours(fd, LEAF);
}

/* Which of @wanted are not yet handed down by the cgroup at @fd. */
static uint32_t not_yet(int fd, uint32_t wanted)
{
    char text[512];
    if (sbxi_control_read(fd, "cgroup.subtree_control", text, sizeof text) < 0)
        return wanted;
    for (size_t i = 0; i < NCONTROLLERS; i++)
        if (sbxi_control_has_word(text, controllers_of[i].name))
            wanted &= ~controllers_of[i].bit;
    return wanted;
}

static int hand_down(int fd, uint32_t controllers)
{
    for (size_t i = 0; i < NCONTROLLERS; i++) {
        if (!(controllers & controllers_of[i].bit))
            continue;
        char text[16];
        snprintf(text, sizeof text, "+%s", controllers_of[i].name);
        int r = sbxi_control_write(fd, "cgroup.subtree_control", text);
        if (r < 0)
            return r;
    }
    return 0;
}

static int busy_error(const char *path, struct sbx_error *error)
{
    return sbxi_error(
        error, EBUSY,
        "cgroup: %s/cgroup.subtree_control (v2): other processes live in this cgroup, so it cannot "
        "hand controllers down; start us in a cgroup of our own, for example by `systemd-run "
        "--scope -p Delegate=yes`",
        path);
}

static int handing_error(const struct sbxi_hierarchy *h, int r, struct sbx_error *error)
{
    if (r == -EINVAL) /* CONFIG_RT_GROUP_SCHED, which v2 has no control for */
        return sbxi_error(
            error, EINVAL,
            "cgroup: %s%s/cgroup.subtree_control (v2): Invalid argument; this kernel hands "
            "cpu down only where nobody has a real-time priority: `ps -eo pid,cls,cgroup` "
            "lists those, FF and RR, and `chrt --other --pid 0 PID` ends it",
            h->mount, h->own);
    return sbxi_control_error(error, -r, "v2", h, "cgroup.subtree_control", "+");
}

/* What serves statistics only: taken where it is to be had without moving anybody. */
static void hand_down_if_free(int fd, uint32_t controllers)
{
    if (is_inhabited(fd, false))
        return;
    for (size_t i = 0; i < NCONTROLLERS; i++)
        if (hand_down(fd, not_yet(fd, controllers & controllers_of[i].bit)) < 0)
            continue;
}

/* What the cgroup at @fd could hand down. */
static uint32_t offered(int fd)
{
    char text[512];
    uint32_t offers = 0;
    if (sbxi_control_read(fd, "cgroup.controllers", text, sizeof text) < 0)
        return 0;
    for (size_t i = 0; i < NCONTROLLERS; i++)
        if (sbxi_control_has_word(text, controllers_of[i].name))
            offers |= controllers_of[i].bit;
    return offers;
}

/* Top down: a cgroup offers only what its parent hands down. */
static int hand_down_from_top(const struct sbxi_cgroup_layout *layout,
                              const struct sbxi_hierarchy *h,
                              uint32_t missing,
                              struct sbx_error *error)
{
    if (!missing)
        return 0;
    char path[SBXI_RECORD_PATH_MAX];
    size_t base = strlen(h->mount);
    snprintf(path, sizeof path, "%s%s", h->mount, h->own);
    for (char *p = path + base; *p; p++) {
        if (*p != '/' || !p[1])
            continue;
        *p = '\0';
        _cleanup_close_ int fd = sbxi_cgtree_open(path, layout->fake);
        uint32_t here = fd < 0 ? 0 : not_yet(fd, missing);
        int r = fd < 0 ? fd : here && is_inhabited(fd, false) ? -EBUSY : hand_down(fd, here);
        if (r == -EBUSY)
            return busy_error(path, error);
        *p = '/';
        if (r < 0)
            return handing_error(h, r, error);
    }
    return 0;
}

static int hand_down_needed(const struct sbxi_cgroup_layout *layout,
                            const struct sbxi_hierarchy *h,
                            int fd,
                            uint32_t missing,
                            sbx_cleaner *cleaner,
                            struct sbx_error *error)
{
    char path[SBXI_RECORD_PATH_MAX];
    snprintf(path, sizeof path, "%s%s", h->mount, strcmp(h->own, "/") ? h->own : "");
    if (!missing)
        return 0;
    if (is_inhabited(fd, true))
        return busy_error(path, error);
    int r = hand_down_from_top(layout, h, missing & ~offered(fd), error);
    if (r < 0)
        return r;
    if (is_inhabited(fd, false)) {
        r = move_to_leaf(h, fd, cleaner);
        if (r < 0)
            return sbxi_control_error(error, -r, "v2", h, LEAF "/cgroup.procs", "our pid");
    }
    r = is_inhabited(fd, false) ? -EBUSY : hand_down(fd, missing);
    if (r == -EBUSY)
        return busy_error(path, error);
    return r < 0 ? handing_error(h, r, error) : 0;
}

static int v2_prepare(const struct sbxi_cgroup_layout *layout,
                      const struct sbxi_hierarchy *h,
                      uint32_t controllers,
                      sbx_cleaner *cleaner,
                      struct sbx_error *error)
{
    char path[SBXI_RECORD_PATH_MAX];
    snprintf(path, sizeof path, "%s%s", h->mount, h->own);
    _cleanup_close_ int fd = sbxi_cgtree_open(path, layout->fake);
    if (fd < 0)
        return sbxi_control_error(error, -fd, "v2", h, "", "");
    if (layout
            ->lasting) /* limits may come later; above us nothing is rearranged for what may never come */
        controllers |= offered(fd);
    if (controllers & SBXI_CTL_IO) /* without it buffered writes belong to nobody */
        controllers |= h->controllers & SBXI_CTL_MEMORY;
    int r = hand_down_needed(layout, h, fd, not_yet(fd, controllers), cleaner, error);
    if (r >= 0)
        hand_down_if_free(fd, h->controllers & ~(uint32_t)SBXI_CTL_CPUSET);
    return r;
}

const struct sbxi_cgroup_backend sbxi_cgroup_v2 = {.name = "v2",
                                                   .lacks = sbxi_cgroup_v2_lacks,
                                                   .wants = v2_wants,
                                                   .prepare = v2_prepare,
                                                   .limit = sbxi_cgroup_v2_limit,
                                                   .read = sbxi_cgroup_v2_read,
                                                   .stats = sbxi_cgroup_v2_stats};
