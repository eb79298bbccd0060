/* SPDX-License-Identifier: MIT */
/* What differs from the layers below. */

#include <string.h>

#include "layer-worker.h"
#include "walk.h"

static bool is_changed(const struct sbxi_walk_entry *e)
{
    return e->st.st_mode != e->below_st.st_mode || e->st.st_uid != e->below_st.st_uid ||
           e->st.st_gid != e->below_st.st_gid;
}

static int tell(const struct sbxi_walk_entry *e, void *userdata)
{
    (void)userdata;
    bool dirs = S_ISDIR(e->st.st_mode) && e->below && S_ISDIR(e->below_st.st_mode);
    enum sbx_layer_change change = e->whiteout         ? SBX_LAYER_DELETED
                                   : !e->below         ? SBX_LAYER_ADDED
                                   : dirs && e->opaque ? SBX_LAYER_OPAQUE
                                                       : SBX_LAYER_MODIFIED;
    if (dirs && !e->opaque && !is_changed(e))
        return 0; /* it only holds what differs */
    uint32_t mode =
        e->whiteout ? e->below ? (uint32_t)e->below_st.st_mode : 0 : (uint32_t)e->st.st_mode;
    uint64_t size = S_ISREG(mode) && !e->whiteout ? (uint64_t)e->st.st_size : 0;
    return sbxi_worker_say(change, mode, size, 0, 0, e->path);
}

int sbxi_work_diff(const struct sbxi_work *work, char path[PATH_MAX])
{
    struct sbxi_walk walk = {.enter = tell};
    int r = sbxi_walk(&walk, work->from, work->below, work->nbelow);
    strcpy(path, walk.path);
    return r;
}
