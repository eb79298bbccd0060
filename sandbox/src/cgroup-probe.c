/* SPDX-License-Identifier: MIT */
/*
 * Where cgroups can be made: /proc/self/mountinfo says which hierarchies are mounted and which part of each,
 * /proc/self/cgroup says where we are in them. A hierarchy whose mounted part does not contain us (a container without
 * a cgroup namespace and without our subtree) cannot be used and is left out.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cleanup.h"
#include "error.h"

enum {
    MAX_LINES = 4096
};

static const struct {
    uint32_t bit;
    const char *v1, *v2;
} names[] = {
    {SBXI_CTL_CPU, "cpu", "cpu"},          {SBXI_CTL_CPUACCT, "cpuacct", NULL},
    {SBXI_CTL_MEMORY, "memory", "memory"}, {SBXI_CTL_PIDS, "pids", "pids"},
    {SBXI_CTL_IO, "blkio", "io"},          {SBXI_CTL_FREEZER, "freezer", NULL},
    {SBXI_CTL_CPUSET, "cpuset", "cpuset"},
};
enum {
    NNAMES = sizeof names / sizeof names[0]
};

struct mount {
    bool v2;
    uint32_t controllers; /* v1 */
    char root[512];       /* which part of the hierarchy is mounted */
    char point[256];
};

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static bool unescape(char *ret, size_t size, const char *text)
{
    size_t n = 0;
    while (*text) {
        if (n + 1 >= size)
            return false;
        unsigned c;
        if (text[0] == '\\' && sscanf(text + 1, "%3o", &c) == 1 && strlen(text) >= 4) {
            ret[n++] = (char)c;
            text += 4;
        } else {
            ret[n++] = *text++;
        }
    }
    ret[n] = '\0';
    return true;
}

static uint32_t v1_controllers(const char *list)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < NNAMES; i++)
        if (sbxi_control_has_word(list, names[i].v1))
            bits |= names[i].bit;
    return bits;
}

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS" */
static bool parse_mount(const char *line, struct mount *ret)
{
    char root[1024], point[1024], type[64], super[512];
    const char *dash = strstr(line, " - ");
    if (!dash || strncmp(dash, " - cgroup", 9) != 0 ||
        sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
        sscanf(dash, " - %63s %*s %511s", type, super) != 2)
        return false;
    struct mount m = {.v2 = strcmp(type, "cgroup2") == 0};
    if (!m.v2 && strcmp(type, "cgroup") != 0)
        return false;
    if (!m.v2 && !(m.controllers = v1_controllers(super)))
        return false;
    if (!unescape(m.root, sizeof m.root, root) || !unescape(m.point, sizeof m.point, point))
        return false;
    *ret = m;
    return true;
}

static FILE *open_proc(const char *root, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/%s", root ? root : "", name);
    return fopen(path, "re");
}

/* /proc/self/cgroup, which the kernel makes anew for every reader: once for all hierarchies. NULL: it cannot be read. */
static char *read_own(const char *root)
{
    _cleanup_fclose_ FILE *file = open_proc(root, "cgroup");
    char *text = NULL;
    size_t cap = 0;
    return file && getdelim(&text, &cap, '\0', file) > 0 ? text : ((void)free(text), NULL);
}

/* Our path in the hierarchy of @m, of @text: "N:controllers:/path" in each line. */
static int own_path(const char *text, const struct mount *m, char *ret, size_t size)
{
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        char list[256];
        end = line + strcspn(line, "\n");
        const char *colon = memchr(line, ':', (size_t)(end - line));
        const char *path = colon ? memchr(colon + 1, ':', (size_t)(end - colon - 1)) : NULL;
        if (!path || (size_t)(path - colon) > sizeof list)
            continue;
        snprintf(list, sizeof list, "%.*s", (int)(path - colon - 1), colon + 1);
        bool match = m->v2 ? !list[0] && strncmp(line, "0:", 2) == 0
                           : (v1_controllers(list) & m->controllers) != 0;
        if (!match)
            continue;
        int n = snprintf(ret, size, "%.*s", (int)(end - path - 1), path + 1);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
    }
    return -ENOENT;
}

/* Below the mount: what /proc/self/cgroup says without the part that is above the mount. */
static bool below_mount(const struct mount *m, char *path)
{
    size_t len = strcmp(m->root, "/") ? strlen(m->root) : 0;
    if (strncmp(path, m->root, len) != 0 || (path[len] && path[len] != '/'))
        return false;
    memmove(path, path + len, strlen(path + len) + 1);
    if (!path[0])
        strcpy(path, "/");
    return strstr(path, "/..") == NULL;
}

static int open_below(const struct sbxi_hierarchy *h, const char *path)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s%s", h->mount, path);
    int fd = open(whole, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* What own hands down, and what the top could hand down to it if we may write there. */
static uint32_t v2_controllers(const struct sbxi_hierarchy *h)
{
    char text[512];
    uint32_t bits = 0;
    const char *places[] = {h->own, "/"};
    for (size_t p = 0; p < (strcmp(h->own, "/") ? 2 : 1); p++) {
        _cleanup_close_ int fd = open_below(h, places[p]);
        if (fd < 0 || sbxi_control_read(fd, "cgroup.controllers", text, sizeof text) < 0)
            continue;
        if (p == 1 && faccessat(fd, "cgroup.subtree_control", W_OK, AT_EACCESS) < 0)
            continue;
        for (size_t i = 0; i < NNAMES; i++)
            if (names[i].v2 && sbxi_control_has_word(text, names[i].v2))
                bits |= names[i].bit;
    }
    return bits;
}

/* We may already be in the leaf that we made: sandboxes belong beside it. */
static void out_of_leaf(char *own)
{
    char *slash = strrchr(own, '/');
    if (slash && strncmp(slash, "/uds-self-", 10) == 0)
        slash[slash == own] = '\0';
}

static int add_mount(struct sbxi_cgroup_layout *layout,
                     const struct mount *m,
                     const char *root,
                     const char *own,
                     const char *parent,
                     struct sbx_error *error)
{
    for (size_t i = 0; i < layout->n; i++)
        if (layout->hierarchies[i].v2 == m->v2 &&
            (m->v2 || layout->hierarchies[i].controllers == m->controllers))
            return 0; /* mounted a second time */
    if (layout->n == SBXI_CGROUP_HIERARCHIES)
        return 0;
    struct sbxi_hierarchy h = {.controllers = m->controllers, .v2 = m->v2};
    int n = snprintf(h.mount, sizeof h.mount, "%s%s", root ? root : "", m->point);
    if (n < 0 || (size_t)n >= sizeof h.mount)
        return 0;
    if (parent) {
        snprintf(h.own, sizeof h.own, "%s", parent);
        _cleanup_close_ int fd = open_below(&h, h.own);
        if (fd < 0)
            return sbxi_error(error, -fd,
                              "cgroup: parent %s: not in %s: %s; make it in every hierarchy first",
                              parent, h.mount, strerror(-fd));
    } else {
        int r = own ? own_path(own, m, h.own, sizeof h.own) : -ENOENT;
        if (r < 0 || !below_mount(m, h.own))
            return 0;
        if (h.v2)
            out_of_leaf(h.own);
    }
    layout->hierarchies[layout->n++] = h;
    return 0;
}

static const struct sbxi_cgroup_backend *choose(const struct sbxi_cgroup_layout *layout)
{
    bool v1 = false, v2 = false;
    for (size_t i = 0; i < layout->n; i++) {
        v1 |= !layout->hierarchies[i].v2 &&
              (layout->hierarchies[i].controllers & ~(uint32_t)SBXI_CTL_FREEZER);
        v2 |= layout->hierarchies[i].v2;
    }
    return v1 ? (v2 ? &sbxi_cgroup_hybrid : &sbxi_cgroup_v1) : v2 ? &sbxi_cgroup_v2 : NULL;
}

static bool parent_is_plain(const char *parent)
{
    return parent[0] == '/' && parent[1] && strlen(parent) < 400 && !strstr(parent, "/..") &&
           !strstr(parent, "//") && parent[strlen(parent) - 1] != '/';
}

int sbxi_cgroup_probe(struct sbxi_cgroup_layout *ret,
                      const char *root,
                      const char *parent,
                      struct sbx_error *error)
{
    struct sbxi_cgroup_layout layout = {.fake = root != NULL, .below = parent != NULL};
    snprintf(layout.root, sizeof layout.root, "%s", root ? root : "");
    if (parent && !parent_is_plain(parent))
        return sbxi_error(error, EINVAL,
                          "cgroup: parent %s: must be an absolute path below the cgroup mounts, "
                          "without \"..\"",
                          parent);
    _cleanup_fclose_ FILE *file = open_proc(root, "mountinfo");
    if (!file)
        return sbxi_error(error, errno, "cgroup: /proc/self/mountinfo: %s; mount /proc",
                          strerror(errno));
    _cleanup_free_ char *line = NULL, *own = parent ? NULL : read_own(root);
    size_t cap = 0;
    for (int i = 0; i < MAX_LINES && getline(&line, &cap, file) > 0; i++) {
        struct mount m;
        if (!parse_mount(line, &m))
            continue;
        int r = add_mount(&layout, &m, root, own, parent, error);
        if (r < 0)
            return r;
    }
    layout.backend = choose(&layout);
    for (size_t i = 0; i < layout.n && layout.backend == &sbxi_cgroup_v2; i++) {
        if (!parent)
            sbxi_cgroup_v2_settle(&layout.hierarchies[i], layout.fake);
        layout.hierarchies[i].controllers = v2_controllers(&layout.hierarchies[i]);
    }
    *ret = layout;
    return 0;
}
