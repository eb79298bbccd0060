/* SPDX-License-Identifier: MIT */
/*
 * Whose memory limit was it? An OOM kill is counted where the victim lived, the limit may be that of any cgroup above, or
 * the machine's memory. To blame is the nearest level that was hit. v2 counts at each level how often it was
 * (memory.events.local "oom"), so the one whose count has grown since the sandbox was made. v1 has failcnt, which newer
 * kernels leave at 0 (seen: 6.18), so the one whose highest use has reached its limit.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <sys/eventfd.h>

#include "cgroup-internal.h"
#include "cleanup.h"

static const struct sbxi_member *memory_member(const sbxi_cgroup *cg)
{
    for (size_t i = 0; i < cg->n; i++)
        if ((cg->members[i].h->controllers & SBXI_CTL_MEMORY) &&
            (!cg->members[i].h->v2 || cg->layout.backend == &sbxi_cgroup_v2))
            return &cg->members[i];
    return NULL;
}

enum {
    CHARGE_BYTES =
        512 << 10 /* the kernel charges in batches, so use ends somewhat below the limit */
};

static bool has_reached(int dirfd, const char *limit_file, const char *most_file)
{
    uint64_t limit = SBX_UNLIMITED, most = 0;
    sbxi_control_get(dirfd, limit_file, &limit);
    sbxi_control_get(dirfd, most_file, &most);
    return most && most + CHARGE_BYTES >= limit;
}

/* v1: 1 if it was, whenever. */
static uint64_t hits_of(int dirfd, bool v2)
{
    uint64_t hits = 0;
    if (v2)
        sbxi_control_get_key(dirfd, "memory.events.local", "oom", &hits);
    else
        hits = has_reached(dirfd, "memory.limit_in_bytes", "memory.max_usage_in_bytes") ||
               has_reached(dirfd, "memory.memsw.limit_in_bytes", "memory.memsw.max_usage_in_bytes");
    return hits;
}

/* Cuts off the last component, down to the mount point: false, when there is none left. */
static bool go_up(char *path, size_t base)
{
    char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) < base)
        return false;
    *slash = '\0';
    return true;
}

/* The hits of each cgroup above, the nearest first. Returns how many there are. */
static size_t
read_above(const struct sbxi_member *m, uint64_t hits[SBXI_OOM_LEVELS], char (*paths)[256])
{
    char path[SBXI_RECORD_PATH_MAX];
    size_t n = 0, base = strlen(m->h->mount);
    snprintf(path, sizeof path, "%s", m->path);
    while (n < SBXI_OOM_LEVELS && go_up(path, base)) {
        _cleanup_close_ int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        hits[n] = fd < 0 ? 0 : hits_of(fd, m->h->v2);
        if (paths)
            snprintf(paths[n], sizeof paths[n], "%.255s", path[base] ? path + base : "/");
        n++;
    }
    return n;
}

void sbxi_cgroup_note_oom(sbxi_cgroup *cg)
{
    const struct sbxi_member *m = memory_member(cg);
    if (m && m->h->v2)
        read_above(m, cg->hits_above, NULL);
}

bool sbxi_cgroup_get_oom_level(const sbxi_cgroup *cg, char *ret, size_t size)
{
    uint64_t hits[SBXI_OOM_LEVELS], own = 0;
    char paths[SBXI_OOM_LEVELS][256];
    const struct sbxi_member *m = memory_member(cg);
    snprintf(ret, size, "/");
    if (!m)
        return false;
    if (m->h->v2) /* also a limit that the payload has set below, if it may */
        sbxi_control_get_key(m->fd, "memory.events", "oom", &own);
    else
        own = hits_of(m->fd, false);
    if (own) {
        snprintf(ret, size, "%s", m->path + strlen(m->h->mount));
        return true;
    }
    size_t n = read_above(m, hits, paths);
    for (size_t i = 0; i < n; i++)
        if (hits[i] > cg->hits_above[i]) {
            snprintf(ret, size, "%s", paths[i]);
            return false;
        }
    return false;
}

int sbxi_cgroup_open_oom_event(const sbxi_cgroup *cg)
{
    char text[32];
    const struct sbxi_member *m = memory_member(cg);
    if (!m || m->h->v2)
        return -1;
    _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_close_ int control = openat(m->fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    if (event < 0 || control < 0)
        return -1;
    snprintf(text, sizeof text, "%d %d", event, control);
    return sbxi_control_write(m->fd, "cgroup.event_control", text) < 0 ? -1 : sbxi_take_fd(&event);
}
