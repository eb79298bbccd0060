/* SPDX-License-Identifier: MIT */
/*
 * The files of an upper directory have host ids of the range that its last sandbox had. If somebody else has that range now,
 * they get those of another. DIR.uds/shift says to which while that is being done: whoever comes after a crash finds files
 * of both.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "layer-worker.h"
#include "upper.h"

static bool read_pending(const struct sbxi_upper *upper, uint32_t *ret)
{
    char text[16] = "";
    _cleanup_close_ int fd = openat(upper->home, "shift", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        return false;
    *ret = (uint32_t)strtoul(text, NULL, 10);
    return *ret != 0;
}

static int write_pending(const struct sbxi_upper *upper, uint32_t first)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%u", first);
    _cleanup_close_ int fd = openat(upper->home, "shift.new",
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)length) != length ||
        renameat(upper->home, "shift.new", upper->home, "shift") < 0)
        return -errno;
    return 0;
}

int sbxi_upper_shift(struct sbxi_upper *upper, uint32_t first, struct sbx_error *error)
{
    struct sbxi_work work = {.kind = SBXI_WORK_SHIFT, .from = upper->dir, .to = -1};
    struct sbxi_worker_ids ids = {.first = {upper->first, first}, .count = 2};
    uint32_t pending = 0;
    bool unfinished = read_pending(upper, &pending);
    if (upper->empty || !upper->has_ids || first == SBXI_UPPER_OWN_IDS ||
        upper->first == SBXI_UPPER_OWN_IDS || (upper->first == first && !unfinished))
        return 0;
    if (upper->first == first)
        ids.first[0] = pending;
    else if (unfinished && pending != first)
        ids.first[ids.count++] = pending;
    int r = upper->first == first && pending == first ? 0 : write_pending(upper, first);
    if (r < 0)
        return sbxi_error(error, -r, "upper: %s.uds/shift: %s", upper->path, strerror(-r));
    if (ids.first[0] != first)
        r = sbxi_worker_run(&work, &ids, upper->path, error);
    if (r < 0)
        return r;
    upper->first = first;
    return 0;
}

void sbxi_upper_end_shift(const struct sbxi_upper *upper)
{
    unlinkat(upper->home, "shift", 0);
}
