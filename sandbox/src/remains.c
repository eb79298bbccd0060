/* SPDX-License-Identifier: MIT */
#include "remains.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleaner.h"
#include "cleanup.h"
#include "running.h"

void sbxi_shells_open(struct sbx *s)
{
    static const struct {
        uint32_t ns;
        const char *file;
    } kinds[SBXI_SHELLS] = {{SBX_NS_MOUNT, "mnt"}, {SBX_NS_NET, "net"}, {SBX_NS_IPC, "ipc"}};
    char path[64];
    for (size_t i = 0; i < SBXI_SHELLS; i++) {
        if (!(s->plan->isolate & kinds[i].ns))
            continue;
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)s->init_pid, kinds[i].file);
        s->shells.fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    }
}

void sbxi_shells_close(struct sbxi_shells *shells, sbx_cleaner *cleaner)
{
    int fds[SBXI_SHELLS];
    size_t n = 0;
    for (size_t i = 0; i < SBXI_SHELLS; i++)
        if (shells->fds[i] >= 0)
            fds[n++] = sbxi_take_fd(&shells->fds[i]);
    if (n > 0)
        sbxi_cleaner_close(cleaner, fds, n);
}

struct sbxi_remains *sbxi_remains_new(sbx_cleaner *cleaner)
{
    struct sbxi_remains *remains = calloc(1, sizeof *remains);
    if (remains)
        *remains = (struct sbxi_remains){.refs = 1, .is_open = true, .cleaner = cleaner};
    return remains;
}

struct sbxi_remains *sbxi_remains_ref(struct sbxi_remains *remains)
{
    remains->refs++;
    return remains;
}

struct sbxi_remains *sbxi_remains_unref(struct sbxi_remains *remains)
{
    if (remains && --remains->refs == 0)
        free(remains);
    return NULL;
}

static void remove_one(const struct sbxi_remains *remains, struct sbxi_corpse *corpse)
{
    sbxi_shells_close(&corpse->shells, remains->cleaner);
    sbxi_cgroup_free(corpse->cgroup);
    if (corpse->ids)
        sbx_cleaner_release_ids(remains->cleaner, corpse->first);
}

void sbxi_remains_put(struct sbxi_remains *remains, struct sbxi_corpse corpse)
{
    const size_t most = sizeof remains->corpses / sizeof remains->corpses[0];
    if (!remains->is_open) {
        remove_one(remains, &corpse);
        return;
    }
    if (remains->n == most) {
        remove_one(remains, &remains->corpses[0]);
        remains->n--;
        memmove(remains->corpses, remains->corpses + 1, remains->n * sizeof corpse);
    }
    remains->corpses[remains->n++] = corpse;
}

bool sbxi_remains_clear_one(struct sbxi_remains *remains)
{
    if (remains->n == 0)
        return false;
    remove_one(remains, &remains->corpses[--remains->n]);
    return true;
}

void sbxi_remains_clear(struct sbxi_remains *remains)
{
    while (sbxi_remains_clear_one(remains))
        ;
}

void sbxi_remains_close(struct sbxi_remains *remains)
{
    sbxi_remains_clear(remains);
    remains->is_open = false;
}
