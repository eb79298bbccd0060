/* SPDX-License-Identifier: MIT */
/*
 * A root of layers: directories one above the other, the highest seen first, and what is written in an upper directory, a
 * tmpfs, or nowhere.
 *
 * Started by root the layers arrive with their ids: each is a mount of the launcher's with the sandbox's id map, so that a
 * file of host id N is one of id N inside. The upper directory is never mapped; what is in it belongs to the range that
 * the sandbox has, and nobody else on the host can use it.
 */

#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"

enum {
    MOST = 200
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool sbxi_layers_contains(const struct stat *outer, const char *path)
{
    char parent[PATH_MAX];
    struct stat st, above;
    snprintf(parent, sizeof parent, "%s", path);
    for (char *slash = strrchr(parent, '/'); slash && stat(parent, &st) < 0;
         slash = strrchr(parent, '/'))
        *(slash == parent ? slash + 1 : slash) = '\0';
    _cleanup_close_ int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && fstat(fd, &st) == 0 && !is_same(&st, outer)) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || fstat(up, &above) < 0 || is_same(&st, &above) || above.st_dev != st.st_dev) {
            sbxi_closep(&up);
            return false;
        }
        close(fd);
        fd = up;
    }
    return fd >= 0;
}

static int overlaps(const sbx_plan *plan,
                    const char *what,
                    const char *inner,
                    const char *layer,
                    struct sbx_error *error)
{
    return sbxi_error(error, ELOOP,
                      "sandbox %s: %s: %s: it lies in layer %s, and the kernel stacks no directory "
                      "on itself; put it %s%s",
                      plan->name, what, inner, layer,
                      strcmp(layer, "/") == 0 ? "on another file system" : "outside of that",
                      strcmp(what, "upper") == 0 ? ", or use tmpfs" : "");
}

static int check_layer(const sbx_plan *plan,
                       const char *const *layers,
                       size_t at,
                       const char *upper,
                       struct sbx_error *error)
{
    const char *layer = layers[at];
    struct stat st;
    if (layer[0] != '/')
        return sbxi_error(error, EINVAL, "sandbox %s: layer: %s: use an absolute path", plan->name,
                          layer);
    if (stat(layer, &st) < 0)
        return sbxi_error(error, errno, "sandbox %s: layer: %s: %s; name an existing directory",
                          plan->name, layer, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return sbxi_error(error, ENOTDIR, "sandbox %s: layer: %s: it is no directory", plan->name,
                          layer);
    if (upper && *upper && sbxi_layers_contains(&st, upper))
        return overlaps(plan, "upper", upper, layer, error);
    for (size_t i = 0; layers[i]; i++)
        if (i != at && layers[i][0] == '/' && sbxi_layers_contains(&st, layers[i]))
            return overlaps(plan, "layer", layers[i], layer, error);
    return 0;
}

int sbxi_layers_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    size_t n = 0;
    int r = 0;
    if (spec->chroot && (plan->style & SBXI_S_BWRAP))
        return sbxi_error(error, EINVAL, "sandbox %s: chroot: bubblewrap has no such mode",
                          plan->name);
    if (spec->root != SBX_ROOT_LAYERS)
        return spec->upper || spec->layers
                   ? sbxi_error(error, EINVAL,
                                "sandbox %s: layers: the root is another; leave them out",
                                plan->name)
                   : 0;
    for (; r == 0 && spec->layers && spec->layers[n]; n++)
        r = check_layer(plan, spec->layers, n, spec->upper, error);
    if (r == 0 && (n == 0 || n > MOST))
        return sbxi_error(error, EINVAL, "sandbox %s: layers: name 1 to %d", plan->name, MOST);
    if (r == 0 && spec->upper && *spec->upper && spec->upper[0] != '/')
        return sbxi_error(error, EINVAL, "sandbox %s: upper: %s: use an absolute path", plan->name,
                          spec->upper);
    return r;
}

static int32_t add_part(sbx_plan *plan, enum sbxi_upper_part part, const char *upper)
{
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_UPPER, upper);
    step->args[0] = part;
    return step->slot;
}

/* The slot of the mount that holds the two others behind it; -1 where init finds them by their paths. */
static int32_t add_upper(sbx_plan *plan, const struct sbx_spec *spec)
{
    plan->upper_lock = add_part(plan, SBXI_UPPER_LOCK, spec->upper);
    if (!plan->privileged)
        return -1;
    int32_t slot = add_part(plan, SBXI_UPPER_MOUNT, spec->upper);
    add_part(plan, SBXI_UPPER_DIR, spec->upper);
    add_part(plan, SBXI_UPPER_WORK, spec->upper);
    return slot;
}

static int32_t open_layer(sbx_plan *plan, const char *layer)
{
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_OPEN, layer);
    step->flags = SBXI_F_RDONLY | SBXI_F_NODEV | (plan->privileged ? (uint32_t)SBXI_F_LAYER : 0);
    return step->slot;
}

int32_t sbxi_plan_layers(sbx_plan *plan, sbx_plan *made, const struct sbx_spec *spec)
{
    struct sbxi_block layers = {0}, upper = {0};
    int32_t first = -1, pair = -1;
    size_t n = 0;
    while (spec->layers[n])
        n++;
    if (n == 1 && !spec->upper)
        return open_layer(plan, spec->layers[0]);
    for (size_t i = n; i-- > 0;) {
        int32_t slot = plan->privileged ? open_layer(plan, spec->layers[i]) : -1;
        first = i == n - 1 ? slot : first;
        sbxi_block_add(&layers, "", spec->layers[i]);
    }
    if (spec->upper && *spec->upper) {
        char path[PATH_MAX];
        size_t length = strlen(spec->upper);
        while (length > 1 && spec->upper[length - 1] == '/')
            length--;
        snprintf(path, sizeof path, "%.*s.uds/work", (int)length, spec->upper);
        pair = add_upper(plan, spec);
        sbxi_block_add(&upper, "", spec->upper);
        sbxi_block_add(&upper, "", path);
    }
    struct sbxi_plan_step *step = sbxi_plan_add_blocks(made, SBXI_OVERLAY, &layers, &upper);
    step->slot = plan->ntrees++;
    step->flags = spec->upper ? 0 : (uint32_t)SBXI_F_RDONLY;
    step->args[1] = (uint64_t)(first + 1);
    step->args[2] = (uint64_t)(pair + 1);
    return step->slot;
}
