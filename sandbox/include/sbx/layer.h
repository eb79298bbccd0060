/* SPDX-License-Identifier: MIT */
#ifndef SBX_LAYER_H
#define SBX_LAYER_H

#include <sbx/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What sandboxes have written into an upper directory (spec.upper): looked at, made a layer, copied, thrown away.
 *
 *   sbx_layer_diff()    each thing that differs from the layers below
 *   sbx_layer_commit()  a layer of it, or into the layer below
 *   sbx_layer_fork()    another upper directory with the same in it
 *   sbx_layer_reset()   empty again
 *
 * A sandbox that runs on it is frozen meanwhile, and thawed whatever happens to us (but not for a reset: -EBUSY).
 * The tree is hostile: it is walked, copied and removed by a child in a user namespace with the ids that the sandbox
 * had, without a link ever followed, a mount crossed, or a FIFO or device opened. Names in what is told are as they
 * are, any bytes but NUL.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, errors: -ENOENT no such upper
 * directory, or none that a sandbox has used; -EINVAL no SBX_LAYER_INIT; -EBUSY in use, and no cgroup to freeze, or
 * somebody else is at work on it; -EXDEV, -ELOOP as of a start; -ELOOP a target in the upper directory, or deeper
 * than 256 directories; -ECHILD the child died; -errno of the kernel, of the file that @error names, blocking: until
 * it is done, threads: any, one at a time for one upper directory, since: 0.1.
 */

UDS_BEGIN_DECLS

enum sbx_layer_change {
    SBX_LAYER_ADDED = 1,
    SBX_LAYER_MODIFIED,
    SBX_LAYER_DELETED,
    SBX_LAYER_OPAQUE,  /* a directory that hides what is below it in the layers */
    SBX_LAYER_DROPPED, /* not, or not all of it, in the result: see @dropped */
};

enum sbx_layer_part {              /* bits */
    SBX_LAYER_SETUID = 1u << 0,    /* set-user-ID and set-group-ID bits of files */
    SBX_LAYER_FILE_CAPS = 1u << 1, /* capabilities of files */
    SBX_LAYER_DEVICES = 1u << 2,   /* device nodes */
    SBX_LAYER_SOCKETS = 1u << 3,   /* always dropped: nobody listens on a copy */
    SBX_LAYER_XATTRS = 1u << 4,    /* an attribute that the target's file system does not take */
};

struct sbx_layer_entry {
    enum sbx_layer_change change;
    uint32_t
        mode; /* type and permissions; of what was deleted that of the layer below, 0 = unknown */
    uint32_t dropped;    /* enum sbx_layer_part, of SBX_LAYER_DROPPED */
    uint64_t size_bytes; /* of files */
    const char *path;    /* inside, from "/"; until the function returns */
};
/* Something else than 0 ends it all and is returned. */
typedef int (*sbx_layer_fn)(const struct sbx_layer_entry *entry, void *userdata);

struct sbx_layer {
    size_t size; /* sizeof(struct sbx_layer), as SBX_LAYER_INIT sets it; anything else is -EINVAL */
    const char *upper;   /* absolute host path */
    const char *run_dir; /* where its sandbox is written down; NULL = as noted at its start */
    bool live;       /* do not freeze a sandbox that runs on it: what is seen may be half done */
    sbx_layer_fn fn; /* NULL = nobody asks */
    void *userdata;
};
#define SBX_LAYER_INIT UDS_INIT_0(sbx_layer)

/**
 * sbx_layer_diff() - each thing that differs from the layers below, told to @layer->fn
 * @error: may be NULL
 *
 * Returns 0, or what @layer->fn returned to end it.
 *
 * Errors: as above.
 */
UDS_EXPORT int sbx_layer_diff(const struct sbx_layer *layer, struct sbx_error *error);
/**
 * sbx_layer_commit() - a layer of it, or into the layer below
 * @target: absolute host path: of a new layer, which must not exist; with @into of an existing directory, where what
 *   was deleted is deleted and the rest replaced. A new layer is there as a whole or not at all; @into ends halfway
 *   if we do.
 * @keep:   enum sbx_layer_part of what is dropped otherwise
 * @error:  may be NULL
 *
 * Ids become those of the host that the sandbox's stand for.
 *
 * Errors: as sbx_layer_diff(); -EEXIST @target is there.
 */
UDS_EXPORT int sbx_layer_commit(const struct sbx_layer *layer,
                                const char *target,
                                bool into,
                                uint32_t keep,
                                struct sbx_error *error);
/**
 * sbx_layer_fork() - another upper directory with the same in it
 * @target: absolute host path, made, or empty
 * @error:  may be NULL
 *
 * File data are shared where the file system can.
 *
 * Errors: as sbx_layer_diff(); -ENOTEMPTY @target has something in it.
 */
UDS_EXPORT int
sbx_layer_fork(const struct sbx_layer *layer, const char *target, struct sbx_error *error);
/**
 * sbx_layer_reset() - empty again; not while a sandbox runs on it
 * @error: may be NULL
 *
 * Errors: as sbx_layer_diff().
 */
UDS_EXPORT int sbx_layer_reset(const struct sbx_layer *layer, struct sbx_error *error);

UDS_END_DECLS

#endif
