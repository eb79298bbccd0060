/* SPDX-License-Identifier: MIT */
/* See mount-options.h. Sources are resolved here, by who the caller is; where they lead inside is looked up inside. */
#include "mount-options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Overflow in the kernel's tmpfs begins above. */
#define TMPFS_MOST (SIZE_MAX >> 1)

enum { /* of a kind */
    TRY = 1,
    READONLY = 2,
    DEVICES = 4,
    BY_FD = 8,  /* the first value is a descriptor */
    PERMS = 16, /* --perms may come before */
};

static const struct kind {
    const char *name;
    int values;
    enum sbx_mount_type type; /* 0: a modifier */
    unsigned flags;
} kinds[] = {
    {"bind", 2, SBX_MOUNT_BIND, 0},
    {"bind-try", 2, SBX_MOUNT_BIND, TRY},
    {"ro-bind", 2, SBX_MOUNT_BIND, READONLY},
    {"ro-bind-try", 2, SBX_MOUNT_BIND, READONLY | TRY},
    {"dev-bind", 2, SBX_MOUNT_BIND, DEVICES},
    {"dev-bind-try", 2, SBX_MOUNT_BIND, DEVICES | TRY},
    {"bind-fd", 2, SBX_MOUNT_BIND, BY_FD},
    {"ro-bind-fd", 2, SBX_MOUNT_BIND, BY_FD | READONLY},
    {"remount-ro", 1, SBX_MOUNT_REMOUNT_RO, 0},
    {"overlay-src", 1, (enum sbx_mount_type)0, 0},
    {"overlay", 3, SBX_MOUNT_OVERLAY, 0},
    {"tmp-overlay", 1, SBX_MOUNT_OVERLAY, 0},
    {"ro-overlay", 1, SBX_MOUNT_OVERLAY, READONLY},
    {"proc", 1, SBX_MOUNT_PROC, 0},
    {"dev", 1, SBX_MOUNT_DEV, 0},
    {"tmpfs", 1, SBX_MOUNT_TMPFS, PERMS},
    {"mqueue", 1, SBX_MOUNT_MQUEUE, 0},
    {"dir", 1, SBX_MOUNT_DIR, PERMS},
    {"file", 2, SBX_MOUNT_FILE, BY_FD | PERMS},
    {"bind-data", 2, SBX_MOUNT_BIND_DATA, BY_FD | PERMS},
    {"ro-bind-data", 2, SBX_MOUNT_BIND_DATA, BY_FD | PERMS | READONLY},
    {"symlink", 2, SBX_MOUNT_SYMLINK, 0},
    {"chmod", 2, SBX_MOUNT_CHMOD, 0},
    {"perms", 1, (enum sbx_mount_type)0, 0},
    {"size", 1, (enum sbx_mount_type)0, 0},
};

static const struct kind *find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

int mount_option_values(const char *name)
{
    const struct kind *kind = find(name);
    return kind ? kind->values : 0;
}

__attribute__((format(printf, 2, 3))) static bool
wrong(struct mount_options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(o->problem, sizeof o->problem, format, args);
    va_end(args);
    return false;
}

static bool no_memory(struct mount_options *o)
{
    return wrong(o, "out of memory");
}

static bool keep(struct mount_options *o, void *memory)
{
    return list_own(&o->owned, memory) || no_memory(o);
}

int mount_option_fd(struct mount_options *o, const char *text)
{
    char *end;
    errno = 0;
    long fd = strtol(text, &end, 10);
    if (text[0] == '\0' || *end || errno || fd < 0 || fd > INT32_MAX) {
        (void)wrong(o, "Invalid fd: %s", text);
        return -1;
    }
    return (int)fd;
}

static bool set_octal(struct mount_options *o, const char *name, const char *text, int *ret)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (!isdigit((unsigned char)text[0]) || *end || mode > 07777)
        return wrong(o, "--%s takes an octal argument <= 07777", name);
    *ret = (int)mode;
    return true;
}

static bool set_size(struct mount_options *o, const char *text)
{
    char *end;
    if (o->size != 0)
        return wrong(o, "--size given twice for the same action");
    errno = 0;
    uint64_t size = strtoull(text, &end, 0);
    bool number = !errno && isdigit((unsigned char)text[0]) && *end == '\0';
    if (!number && (o->bwrap || sbx_parse_bytes(text, &size) < 0))
        size = 0;
    if (size == 0)
        return wrong(o, o->bwrap ? "--size takes a non-zero number of bytes"
                                 : "--size takes a number of bytes above 0, as 65536 or 64M");
    if (size > TMPFS_MOST)
        return wrong(o, "--size (for tmpfs) is limited to %zu", TMPFS_MOST);
    o->size = size;
    return true;
}

/* @ret: an absolute path without links; with @optional the path itself where there is nothing. */
static bool resolve(struct mount_options *o, const char *path, bool optional, const char **ret)
{
    char *real = realpath(path, NULL);
    if (real == NULL && errno == ENOENT && optional)
        real = path[0] == '/' ? strdup(path) : NULL;
    if (real == NULL && optional &&
        errno == ENOENT) /* a relative one: any name that is not there will do */
        real = strdup("/proc/self/fd/-1");
    if (real == NULL)
        return wrong(o, "Can't find source path %s: %s", path, strerror(errno));
    *ret = real;
    return keep(o, real);
}

static bool
set_target(struct mount_options *o, const char *name, const char *path, const char **ret)
{
    char *whole;
    *ret = path;
    if (path[0] == '/')
        return true;
    if (!o->bwrap)
        return wrong(o, "--%s: %s: where it goes must be an absolute path", name, path);
    if (asprintf(&whole, "/%s", path) < 0)
        return no_memory(o);
    *ret = whole;
    return keep(o, whole);
}

/* The layers that wait become the overlay's. */
static bool add_overlay(struct mount_options *o,
                        const struct kind *kind,
                        struct sbx_mount *m,
                        const char *const *v)
{
    size_t need = kind->flags & READONLY ? 2 : 1;
    if (o->layers.count < need)
        return wrong(o, "--%s requires at least %s --overlay-src", kind->name,
                     need == 2 ? "two" : "one");
    if (kind->values == 3 &&
        (!resolve(o, v[0], false, &m->source) || !resolve(o, v[1], false, &m->work)))
        return false;
    m->layers = o->layers.items;
    void *items = o->layers.items;
    o->layers = (struct run_list){0};
    return keep(o, items);
}

static bool
fill(struct mount_options *o, const struct kind *kind, struct sbx_mount *m, const char *const *v)
{
    if (kind->flags & BY_FD)
        return (m->fd = mount_option_fd(o, v[0])) >= 0;
    switch (kind->type) {
    case SBX_MOUNT_BIND:
        return resolve(o, v[0], kind->flags & TRY, &m->source);
    case SBX_MOUNT_SYMLINK:
        m->source = v[0];
        return true;
    case SBX_MOUNT_CHMOD:
        return set_octal(o, "chmod", v[0], &m->mode);
    case SBX_MOUNT_OVERLAY:
        return add_overlay(o, kind, m, v);
    case SBX_MOUNT_REMOUNT_RO:
    case SBX_MOUNT_PROC:
    case SBX_MOUNT_DEV:
    case SBX_MOUNT_TMPFS:
    case SBX_MOUNT_MQUEUE:
    case SBX_MOUNT_DIR:
    case SBX_MOUNT_FILE:
    case SBX_MOUNT_BIND_DATA:
    default:
        return true;
    }
}

static bool add(struct mount_options *o, const struct kind *kind, const char *const *v)
{
    struct sbx_mount m = SBX_MOUNT_INIT;
    m.type = kind->type;
    m.readonly = kind->flags & READONLY;
    m.devices = kind->flags & DEVICES;
    m.optional = kind->flags & TRY;
    if (kind->flags & PERMS) {
        m.mode = o->mode;
        o->mode = -1;
    }
    if (kind->type == SBX_MOUNT_TMPFS) {
        m.size_bytes = o->size;
        o->size = 0;
    }
    if (!fill(o, kind, &m, v) || !set_target(o, kind->name, v[kind->values - 1], &m.target))
        return false;
    return list_push(&o->mounts, &m, sizeof m) || no_memory(o);
}

static bool modify(struct mount_options *o, const char *name, const char *value)
{
    const char *path;
    if (strcmp(name, "size") == 0)
        return set_size(o, value);
    if (strcmp(name, "perms") == 0)
        return o->mode >= 0 ? wrong(o, "--perms given twice for the same action")
                            : set_octal(o, name, value, &o->mode);
    if (!resolve(o, value, false, &path))
        return false;
    return list_push_text(&o->layers, path) || no_memory(o);
}

/* What still waits was no good before this option. */
static bool settle(struct mount_options *o, bool modifier, bool layer)
{
    if (!modifier && o->mode >= 0)
        return wrong(o, "--perms must be followed by an option that creates a file");
    if (!modifier && o->size != 0)
        return wrong(o, "--size must be followed by --tmpfs");
    if (!layer && o->layers.count > 0)
        return wrong(o, "--overlay-src must be followed by another --overlay-src or one of "
                        "--overlay, --tmp-overlay, or --ro-overlay");
    return true;
}

bool mount_option(struct mount_options *o, const char *name, const char *const *values)
{
    const struct kind *kind = values ? find(name) : NULL;
    bool layer = strcmp(name, "overlay-src") == 0;
    bool modifier = kind && kind->type == 0 && !layer;
    if (kind && kind->type == 0 && !modify(o, name, values[0]))
        return false;
    if (kind && kind->type != 0 && !add(o, kind, values))
        return false;
    return settle(o, modifier, layer);
}

bool mount_options_end(struct mount_options *o)
{
    return settle(o, false, false);
}

void mount_options_free(struct mount_options *o)
{
    list_free_owned(&o->owned);
    free(o->mounts.items);
    free(o->layers.items);
}
