/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CGROUP_INTERNAL_H
#define SBXI_CGROUP_INTERNAL_H

#include "cgroup.h"

/*
 * One vtable, one file a backend. A backend knows which hierarchies a sandbox needs a directory in, which files carry
 * a limit and where counters are; making, joining, killing and removing are the same for all (cgroup.c).
 */
struct sbxi_cgroup_backend {
    const char *name;
    /* Controllers that @limits need; the rest of what is made serves statistics and killing. */
    uint32_t (*needs)(const struct sbx_limits *limits);
    /* Does a sandbox get a directory in @h at all? */
    bool (*wants)(const struct sbxi_cgroup_layout *layout,
                  const struct sbxi_hierarchy *h,
                  const struct sbx_limits *limits);
    /* Before the directory is made: hand controllers down to it. @cleaner may be NULL. */
    int (*prepare)(const struct sbxi_cgroup_layout *layout,
                   const struct sbxi_hierarchy *h,
                   uint32_t controllers,
                   sbx_cleaner *cleaner,
                   struct sbx_error *error);
    /* Write what of @limits belongs into directory @fd, which is of hierarchy @h. */
    int (*limit)(const struct sbxi_hierarchy *h,
                 int fd,
                 const struct sbx_limits *limits,
                 struct sbx_error *error);
    void (*stats)(const struct sbxi_hierarchy *h, int fd, struct sbx_stats *stats);
};

extern const struct sbxi_cgroup_backend sbxi_cgroup_v2;
extern const struct sbxi_cgroup_backend sbxi_cgroup_hybrid;
extern const struct sbxi_cgroup_backend sbxi_cgroup_v1; /* hybrid's files, killed by the freezer */

/* Where strangers live in h->own: the next cgroup above that can be used, if any, becomes it. */
void sbxi_cgroup_v2_settle(struct sbxi_hierarchy *h, bool fake);
/* Moves this process and its descendants, as far as they live in the v2 cgroup @fd, to the cgroup @leaf below it. */
int sbxi_cgroup_v2_move_ours(int fd, const char *leaf);

/* ---- control files, relative to a cgroup's directory ---- */

/* 0 or -errno; -ENOENT: this kernel has no such control. */
int sbxi_control_write(int dirfd, const char *file, const char *text);
int sbxi_control_write_u64(int dirfd, const char *file, uint64_t value);
/* At most @size - 1 bytes, terminated. */
int sbxi_control_read(int dirfd, const char *file, char *ret, size_t size);
/* The file's one number; "max" is UINT64_MAX. */
int sbxi_control_read_u64(int dirfd, const char *file, uint64_t *ret);
/* The number after "@key " at the start of a line of @text. -ENOENT. */
int sbxi_control_key(const char *text, const char *key, uint64_t *ret);
/* Does the list of words @text hold @word? */
bool sbxi_control_has_word(const char *text, const char *word);
/* What is said when control @file of @h could not be written: names control, backend, cause and knob. */
int sbxi_control_error(struct sbx_error *error,
                       int err,
                       const char *backend,
                       const struct sbxi_hierarchy *h,
                       const char *file,
                       const char *value);

#endif
