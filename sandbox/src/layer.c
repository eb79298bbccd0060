/* SPDX-License-Identifier: MIT */
/*
 * sbx/layer.h. Whoever calls opens directories, by names of the caller's; what is in them only the worker sees
 * (layer-worker.h). Started by root these are mounts that are attached nowhere: read-only where nothing is written, and those
 * whose files have ids of the host's with the ids of the worker.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/layer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "layer-freeze.h"
#include "layer-worker.h"
#include "layers.h"
#include "steps.h"
#include "tree.h"
#include "upper.h"
#include "walk.h"

/* One job: what is open for it. */
struct job {
    struct sbxi_upper upper;
    struct sbxi_layer_hold hold;
    struct sbxi_worker_ids ids;
    int from;
    int below[SBXI_WALK_LAYERS];
    size_t nbelow;
    int map[SBXI_WALK_LAYERS + 1]; /* borrowed */
};

static bool has_range(const struct job *job)
{
    return job->upper.has_ids && job->upper.first != SBXI_UPPER_OWN_IDS;
}

static void map(struct job *job, int fd)
{
    if (has_range(job))
        job->map[job->ids.nmap++] = fd;
}

/* A directory by its name; a mount of our own where we may make one. */
static int open_directory(const char *path, uint32_t flags)
{
    if (geteuid() == 0) {
        int fd = sbxi_tree_open(AT_FDCWD, path, SBXI_F_LAYER | SBXI_F_NODEV | flags, 0);
        if (fd != -EPERM) /* root of a container */
            return fd;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The same of one that is open. */
static int open_again(int dir, uint32_t flags)
{
    if (geteuid() == 0) {
        int fd = sbxi_tree_open(dir, "", SBXI_F_LAYER | SBXI_F_NODEV | flags, 0);
        if (fd != -EPERM)
            return fd;
    }
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? -errno : fd;
}

static int open_below(struct job *job, struct sbx_error *error)
{
    const char *layer = NULL;
    while ((layer = sbxi_upper_get(&job->upper, "layer", layer)) &&
           job->nbelow < SBXI_WALK_LAYERS) {
        int fd = open_directory(layer, SBXI_F_RDONLY);
        if (fd < 0)
            return sbxi_error(error, -fd, "layer: %s: %s; it was below when a sandbox last started",
                              layer, strerror(-fd));
        job->below[job->nbelow++] = fd;
        map(job, fd);
    }
    return 0;
}

static void end(struct job *job)
{
    sbxi_layer_release(&job->hold, &job->upper);
    while (job->nbelow > 0)
        close(job->below[--job->nbelow]);
    sbxi_closep(&job->from);
    sbxi_upper_close(&job->upper);
    free(job);
}

static void endp(struct job **job)
{
    if (*job)
        end(*job);
}
#define _cleanup_job_ __attribute__((cleanup(endp)))

/* @alone: no sandbox may run on it, and it is written. */
static int
begin(struct job **ret, const struct sbx_layer *layer, bool alone, struct sbx_error *error)
{
    if (layer->size != sizeof *layer)
        return sbxi_error(error, EINVAL,
                          "layer: it is of another version; begin with SBX_LAYER_INIT");
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return sbxi_error(error, ENOMEM, "layer: out of memory");
    *ret = job;
    job->hold = (struct sbxi_layer_hold)SBXI_LAYER_HOLD_INIT;
    job->from = -1;
    job->ids.map = job->map;
    int r = sbxi_upper_open(&job->upper, layer->upper, false, error);
    if (r < 0)
        return r;
    if (has_range(job)) {
        if (geteuid() != 0)
            return sbxi_error(error, EPERM,
                              "upper: %s: it was written by a sandbox of root's; do it as root",
                              layer->upper);
        job->ids.first[0] = job->upper.first;
        job->ids.count = 1;
    }
    r = sbxi_layer_hold(&job->hold, &job->upper, layer->run_dir, layer->live, alone, error);
    if (r < 0)
        return r;
    job->from = open_again(job->upper.dir, alone ? 0 : SBXI_F_RDONLY);
    if (job->from < 0)
        return sbxi_error(error, -job->from, "upper: %s: %s", layer->upper, strerror(-job->from));
    return 0;
}

static int run(struct job *job,
               const struct sbx_layer *layer,
               enum sbxi_work_kind kind,
               int to,
               uint32_t keep,
               struct sbx_error *error)
{
    struct sbxi_work work = {.kind = kind,
                             .from = job->from,
                             .to = to,
                             .below = job->below,
                             .nbelow = job->nbelow,
                             .keep = keep,
                             .fn = layer->fn,
                             .userdata = layer->userdata};
    return sbxi_worker_run(&work, &job->ids, layer->upper, error);
}

int sbx_layer_diff(const struct sbx_layer *layer, struct sbx_error *error)
{
    _cleanup_job_ struct job *job = NULL;
    int r = begin(&job, layer, false, error);
    if (r == 0)
        r = open_below(job, error);
    return r < 0 ? r : run(job, layer, SBXI_WORK_DIFF, -1, 0, error);
}

/* OverlayFS's own directory goes with it: what is in there can be nobody's any more. */
int sbx_layer_reset(const struct sbx_layer *layer, struct sbx_error *error)
{
    _cleanup_job_ struct job *job = NULL;
    int r = begin(&job, layer, true, error);
    if (r == 0)
        r = run(job, layer, SBXI_WORK_CLEAR, -1, 0, error);
    if (r != 0)
        return r;
    int work = sbxi_walk_open(job->upper.home, "work");
    if (work < 0)
        return 0;
    close(job->from);
    job->from = work;
    return run(job, layer, SBXI_WORK_CLEAR, -1, 0, error);
}

/* ---- copies ---- */

static int check_target(const struct job *job, const char *target, struct sbx_error *error)
{
    struct stat st;
    if (fstat(job->upper.dir, &st) == 0 && !sbxi_layers_contains(&st, target))
        return 0;
    return sbxi_error(error, ELOOP, "layer: %s: it lies in the upper directory; name another place",
                      target);
}

static int split(const char *path, char parent[PATH_MAX], char name[NAME_MAX + 1])
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t slash = length;
    while (slash > 0 && path[slash - 1] != '/')
        slash--;
    if (path[0] != '/' || slash == length || length - slash > NAME_MAX - 8 || slash >= PATH_MAX)
        return -EINVAL;
    snprintf(parent, PATH_MAX, "%.*s", (int)slash, path);
    snprintf(name, NAME_MAX + 1, "%.*s", (int)(length - slash), path + slash);
    return 0;
}

static int
clear_old(const struct job *job, const struct sbx_layer *layer, int to, struct sbx_error *error)
{
    struct sbxi_work work = {.kind = SBXI_WORK_CLEAR, .from = to, .to = -1};
    return sbxi_worker_run(&work, &job->ids, layer->upper, error);
}

/* What @name is in a directory that others may be able to write: ours, and no way to somewhere else; or -errno. */
static int open_aside(int dir, const char *name)
{
    struct stat st;
    _cleanup_close_ int fd = sbxi_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0,
                                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return -EPERM;
    return sbxi_take_fd(&fd);
}

/* Made beside it under another name, and what a killed commit has left there is cleared first. */
static int commit_new(struct job *job,
                      const struct sbx_layer *layer,
                      const char *target,
                      uint32_t keep,
                      struct sbx_error *error)
{
    char parent[PATH_MAX], name[NAME_MAX + 1], aside[NAME_MAX + 8], path[PATH_MAX + NAME_MAX + 8];
    struct stat st;
    if (split(target, parent, name) < 0)
        return sbxi_error(error, EINVAL, "layer: %s: name it by its absolute path", target);
    snprintf(aside, sizeof aside, ".%s.new", name);
    snprintf(path, sizeof path, "%s%s", parent, aside);
    _cleanup_close_ int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return sbxi_error(error, errno, "layer: %s: %s", parent, strerror(errno));
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return sbxi_error(error, EEXIST,
                          "layer: %s: it exists; name a new one, or change that by --into", target);
    bool old = mkdirat(dir, aside, 0700) < 0;
    if (old && errno != EEXIST)
        return sbxi_error(error, errno, "layer: %s: %s", target, strerror(errno));
    _cleanup_close_ int made = open_aside(dir, aside);
    if (made < 0)
        return sbxi_error(error, -made,
                          "layer: %s: %s; remove it, it is not what a commit has left", path,
                          strerror(-made));
    _cleanup_close_ int to = open_again(made, 0);
    if (to < 0)
        return sbxi_error(error, -to, "layer: %s: %s", path, strerror(-to));
    map(job, to);
    int r = old ? clear_old(job, layer, to, error) : 0;
    /* A mount is mapped once: a second worker needs the same mount to be another. */
    if (old && r == 0) {
        job->ids.nmap--;
        close(to);
        to = open_again(made, 0);
        if (to < 0)
            return sbxi_error(error, -to, "layer: %s: %s", path, strerror(-to));
        map(job, to);
    }
    if (r == 0)
        r = run(job, layer, SBXI_WORK_COMMIT, to, keep, error);
    if (r == 0 && renameat2(dir, aside, dir, name, RENAME_NOREPLACE) < 0)
        r = sbxi_error(error, errno, "layer: %s: %s", target, strerror(errno));
    if (r == 0)
        return 0;
    sbxi_closep(&to);
    job->ids.nmap = 0;
    to = open_again(made, 0);
    map(job, to);
    if (to >= 0 && clear_old(job, layer, to, NULL) == 0)
        unlinkat(dir, aside, AT_REMOVEDIR);
    return r;
}

static int commit_into(struct job *job,
                       const struct sbx_layer *layer,
                       const char *target,
                       uint32_t keep,
                       struct sbx_error *error)
{
    _cleanup_close_ int dir = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return sbxi_error(error, errno, "layer: %s: %s", target,
                          errno == ENOTDIR ? "it is no directory, or a link to one"
                                           : strerror(errno));
    _cleanup_close_ int to = open_again(dir, 0);
    if (to < 0)
        return sbxi_error(error, -to, "layer: %s: %s", target, strerror(-to));
    map(job, to);
    return run(job, layer, SBXI_WORK_MERGE, to, keep, error);
}

int sbx_layer_commit(const struct sbx_layer *layer,
                     const char *target,
                     bool into,
                     uint32_t keep,
                     struct sbx_error *error)
{
    _cleanup_job_ struct job *job = NULL;
    int r = begin(&job, layer, false, error);
    if (r == 0)
        r = check_target(job, target, error);
    if (r < 0)
        return r;
    return into ? commit_into(job, layer, target, keep, error)
                : commit_new(job, layer, target, keep, error);
}

static int note_copy(const struct job *job, struct sbxi_upper *copy)
{
    char *layers = NULL;
    size_t length = 0, n = 0;
    FILE *out = open_memstream(&layers, &length);
    const char *layer = NULL;
    if (!out)
        return -ENOMEM;
    for (; (layer = sbxi_upper_get(&job->upper, "layer", layer)); n++)
        fwrite(layer, 1, strlen(layer) + 1, out);
    fclose(out);
    copy->first = job->upper.first;
    int r = sbxi_upper_note(copy, layers ? layers : "", n, "", "");
    free(layers);
    return r;
}

int sbx_layer_fork(const struct sbx_layer *layer, const char *target, struct sbx_error *error)
{
    _cleanup_job_ struct job *job = NULL;
    struct sbxi_upper copy = SBXI_UPPER_INIT;
    int r = begin(&job, layer, false, error), to = -1;
    if (r == 0)
        r = check_target(job, target, error);
    if (r < 0)
        return r;
    r = sbxi_upper_open(&copy, target, true, error);
    if (r == 0 && !copy.empty)
        r = sbxi_error(error, EEXIST, "upper: %s: it is not empty; name another", target);
    if (r == 0)
        r = sbxi_upper_lock(&copy, error);
    if (r == 0)
        r = sbxi_upper_claim(&copy, job->upper.has_ids ? job->upper.first : SBXI_UPPER_OWN_IDS,
                             error);
    if (r == 0 && (r = note_copy(job, &copy)) < 0)
        sbxi_error(error, -r, "upper: %s: %s", target, strerror(-r));
    if (r == 0)
        r = to = fcntl(copy.dir, F_DUPFD_CLOEXEC, 3);
    if (r >= 0)
        r = run(job, layer, SBXI_WORK_FORK, to, 0, error);
    sbxi_closep(&to);
    sbxi_upper_close(&copy);
    return r;
}
