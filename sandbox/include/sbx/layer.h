/* SPDX-License-Identifier: MIT */
#ifndef SBX_LAYER_H
#define SBX_LAYER_H

#include <sbx/sandbox.h>

/*
 * What sandboxes have written into an upper directory (spec.upper): looked at, made a layer, copied, thrown away.
 *
 *   sbx_layer_diff()    each thing that differs from the layers below
 *   sbx_layer_commit()  a layer of it, or into the layer below
 *   sbx_layer_fork()    another upper directory with the same in it
 *   sbx_layer_reset()   empty again
 *
 * A sandbox that runs on it is frozen meanwhile, and thawed whatever happens to us (but not for a reset: -EBUSY). The tree is
 * hostile: it is walked, copied and removed by a child in a user namespace with the ids that the sandbox had, without a
 * link ever followed, a mount crossed, or a FIFO or device opened. Names in what is told are as they are, any bytes but NUL.
 *
 * Errors come as -errno with @error (may be NULL): -ENOENT no such upper directory, or none that a sandbox has used; -EBUSY in
 * use, and no cgroup to freeze, or somebody else is at work on it; -EXDEV, -ELOOP as of a start; -ELOOP a target in the
 * upper directory, or deeper than 256 directories; -ECHILD the child died; -errno of the kernel, of the file that @error names.
 * Blocking: until it is done. Threads: any, one at a time for one upper directory. Since 0.2, all of it.
 */

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
    const char *upper;   /* absolute host path */
    const char *run_dir; /* where its sandbox is written down; NULL = as noted at its start */
    bool live;       /* do not freeze a sandbox that runs on it: what is seen may be half done */
    sbx_layer_fn fn; /* NULL = nobody asks */
    void *userdata;
};

int sbx_layer_diff(const struct sbx_layer *layer, struct sbx_error *error);
/*
 * @target: absolute host path: of a new layer, which must not exist (-EEXIST); with @into of an existing directory, where
 * what was deleted is deleted and the rest replaced. A new layer is there as a whole or not at all; @into ends halfway if we do.
 * @keep: enum sbx_layer_part of what is dropped otherwise. Ids become those of the host that the sandbox's stand for.
 */
int sbx_layer_commit(const struct sbx_layer *layer,
                     const char *target,
                     bool into,
                     uint32_t keep,
                     struct sbx_error *error);
/* @target: absolute host path of another upper directory, made, or empty. File data are shared where the file system can. */
int sbx_layer_fork(const struct sbx_layer *layer, const char *target, struct sbx_error *error);
int sbx_layer_reset(const struct sbx_layer *layer, struct sbx_error *error);

#endif
