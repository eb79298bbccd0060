/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CGROUP_INTERNAL_H
#define SBXI_CGROUP_INTERNAL_H

#include "cgroup.h"
#include "record.h"

/*
 * One vtable, one backend an entry. A backend knows which hierarchies a sandbox needs a directory in, which files carry
 * a limit and where counters are; making, joining, freezing, killing and removing are the same for all (cgroup.c).
 */
struct sbxi_cgroup_backend {
    const char *name;
    /* Which of @demand (enum sbxi_demand) cannot be had although the controller is there; *@why tells of the lowest bit. */
    uint32_t (*lacks)(const struct sbxi_cgroup_layout *layout,
                      const struct sbx_limits *limits,
                      uint32_t demand,
                      const char **why);
    /* Does a sandbox with these controllers (enum sbxi_controller) get a directory in @h at all? */
    bool (*wants)(const struct sbxi_cgroup_layout *layout,
                  const struct sbxi_hierarchy *h,
                  uint32_t controllers);
    /* Before the directory is made: hand controllers down to it. @cleaner may be NULL. */
    int (*prepare)(const struct sbxi_cgroup_layout *layout,
                   const struct sbxi_hierarchy *h,
                   uint32_t controllers,
                   sbx_cleaner *cleaner,
                   struct sbx_error *error);
    /* Write what of @limits belongs into directory @fd of hierarchy @h. @fresh: nobody lives in it, and nothing was written. */
    int (*limit)(const struct sbxi_cgroup_layout *layout,
                 const struct sbxi_hierarchy *h,
                 int fd,
                 bool fresh,
                 const struct sbx_limits *limits,
                 struct sbx_error *error);
    /* Read it back: what is in force in @fd. */
    void (*read)(const struct sbxi_hierarchy *h, int fd, struct sbx_limits *limits);
    /* @brief: of CPU time, memory's peak and OOM kills, nothing else is read. */
    void (*stats)(const struct sbxi_hierarchy *h, int fd, bool brief, struct sbx_stats *stats);
};

/* One directory of a cgroup. */
struct sbxi_member {
    const struct sbxi_hierarchy *h; /* in the layout of the cgroup that it belongs to */
    int fd;
    char path[SBXI_RECORD_PATH_MAX];
};

#define SBXI_OOM_LEVELS 16

struct sbxi_cgroup {
    struct sbxi_cgroup_layout layout;
    sbx_cleaner *cleaner;
    bool opened; /* made by somebody else */
    bool apart;  /* who is in it is limited in memory or CPUs where we are not */
    size_t n;
    struct sbxi_member members[SBXI_CGROUP_HIERARCHIES];
    uint64_t hits_above
        [SBXI_OOM_LEVELS]; /* of the memory limits of the cgroups above, when it was made */
};

/*
 * The weights of @limits for the scope of systemd's in which @cg is alone, as after sbxi_cgroup_ask_for_scope(): there is
 * nobody in it to be weighed against. 0 also where it is not in one, or has others beside it. @error names the manager.
 */
int sbxi_cgroup_weigh_scope(const sbxi_cgroup *cg,
                            const struct sbx_limits *limits,
                            struct sbx_error *error);

extern const struct sbxi_cgroup_backend sbxi_cgroup_v2;
extern const struct sbxi_cgroup_backend sbxi_cgroup_hybrid;
extern const struct sbxi_cgroup_backend sbxi_cgroup_v1; /* hybrid's files, killed by the freezer */

/*
 * cgroup-decide.c. 1: make one with what remains of @limits; 0: go without, @degraded says why that is right; -errno.
 * @look: at whether we may make directories there.
 */
int sbxi_cgroup_decide(const struct sbxi_cgroup_layout *layout,
                       struct sbx_limits *limits,
                       bool look,
                       uint32_t degrade,
                       uint32_t *degraded,
                       struct sbx_error *error);
/* What error @r becomes where an omission is permitted: 0 with its bits in @degraded, otherwise the error. */
int sbxi_cgroup_omit(int r, const struct sbx_limits *limits, uint32_t degrade, uint32_t *degraded);
/* Does the backend have what @limits name? Those that are lacking and in @degrade are dropped and noted in @degraded. */
int sbxi_cgroup_check_demand(const struct sbxi_cgroup_layout *layout,
                             struct sbx_limits *limits,
                             uint32_t degrade,
                             uint32_t *degraded,
                             struct sbx_error *error);
/* cgroup.c: one more directory, in @h, called like the others; the cleaner knows of it. */
int sbxi_cgroup_add_member(sbxi_cgroup *cg,
                           const struct sbxi_hierarchy *h,
                           struct sbx_error *error);
/* Removes the last one again. */
void sbxi_cgroup_drop_member(sbxi_cgroup *cg);
/* The member that freezes and kills all at once, NULL: there is none. */
const struct sbxi_member *sbxi_cgroup_switch(const sbxi_cgroup *cg);
/* cgroup-oom.c: notes where the memory limits above stand. */
void sbxi_cgroup_note_oom(sbxi_cgroup *cg);

/* cgroup-v1-cpuset.c: directory @fd gets the CPUs of @list; "max", or "" where it has none yet: all that are above. */
int sbxi_cgroup_v1_cpuset(const struct sbxi_hierarchy *h,
                          int fd,
                          const char *list,
                          struct sbx_error *error);
/* cgroup-v1-limits.c, cgroup-v1-stats.c */
int sbxi_cgroup_v1_limit(const struct sbxi_cgroup_layout *layout,
                         const struct sbxi_hierarchy *h,
                         int fd,
                         bool fresh,
                         const struct sbx_limits *limits,
                         struct sbx_error *error);
void sbxi_cgroup_v1_read(const struct sbxi_hierarchy *h, int fd, struct sbx_limits *limits);
void sbxi_cgroup_hybrid_stats(const struct sbxi_hierarchy *h,
                              int fd,
                              bool brief,
                              struct sbx_stats *stats);
void sbxi_cgroup_v1_stats(const struct sbxi_hierarchy *h,
                          int fd,
                          bool brief,
                          struct sbx_stats *stats);
/* cgroup-v2-limits.c, cgroup-v2-stats.c */
uint32_t sbxi_cgroup_v2_lacks(const struct sbxi_cgroup_layout *layout,
                              const struct sbx_limits *limits,
                              uint32_t demand,
                              const char **why);
int sbxi_cgroup_v2_limit(const struct sbxi_cgroup_layout *layout,
                         const struct sbxi_hierarchy *h,
                         int fd,
                         bool fresh,
                         const struct sbx_limits *limits,
                         struct sbx_error *error);
void sbxi_cgroup_v2_read(const struct sbxi_hierarchy *h, int fd, struct sbx_limits *limits);
void sbxi_cgroup_v2_stats(const struct sbxi_hierarchy *h,
                          int fd,
                          bool brief,
                          struct sbx_stats *stats);
/* CPU time of the v2 directory @fd, which has it with or without a controller. */
void sbxi_cgroup_v2_cpu_stats(int fd, struct sbx_stats *stats);
/* cgroup-stats.c: pressure of the v2 directory @fd, on whatever backend it is to be had; a sum over devices. */
void sbxi_cgroup_read_pressure(int fd, struct sbx_stats *stats);
struct sbx_io_stats *sbxi_cgroup_io_of(struct sbx_stats *stats, uint32_t major, uint32_t minor);
/* cgroup-io.c: does BFQ look after each disk whose weight @limits names, or any, if they name one for all? */
bool sbxi_cgroup_has_bfq(const struct sbxi_cgroup_layout *layout, const struct sbx_limits *limits);
/* BFQ's weights go from 1 to 1000, ours to 10000; 100 is the same. */
uint64_t sbxi_weight_to_bfq(uint32_t weight);
uint32_t sbxi_weight_from_bfq(uint64_t weight);
/* The entry of a device in @limits, made if there is room; NULL. */
struct sbx_io_limit *sbxi_limits_io(struct sbx_limits *limits, uint32_t major, uint32_t minor);
/* Are the CPUs of @list among @available, those that the cgroup above may use? 0, -EINVAL with words about @h. */
int sbxi_cgroup_check_cpus(const struct sbxi_hierarchy *h,
                           const char *list,
                           const char *available,
                           const char *backend,
                           struct sbx_error *error);
/*
 * Is there a reason for which this process, or a child of it, cannot enter @cg? The kernel says no more than EINVAL, and to the
 * child. 0, or -errno with @error.
 */
int sbxi_cgroup_may_enter(const sbxi_cgroup *cg, bool child, struct sbx_error *error);
/* More memory is in use than a new limit permits, and it cannot be had back. Returns -EBUSY. */
int sbxi_cgroup_memory_busy(struct sbx_error *error, uint64_t limit, uint64_t used);

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
/* Writes, and says on failure which control of which backend it was. */
int sbxi_control_put(const struct sbxi_hierarchy *h,
                     const char *backend,
                     int dirfd,
                     const char *file,
                     const char *text,
                     struct sbx_error *error);
int sbxi_control_put_u64(const struct sbxi_hierarchy *h,
                         const char *backend,
                         int dirfd,
                         const char *file,
                         uint64_t value,
                         struct sbx_error *error);
/* *@ret becomes the file's number, or the number after @key in it; it stays where there is none. */
void sbxi_control_get(int dirfd, const char *file, uint64_t *ret);
struct sbxi_counter {
    const char *key;
    uint64_t *value;
};
/* All of them out of one look at the file, which the kernel makes up anew each time. */
void sbxi_control_get_keys(int dirfd,
                           const char *file,
                           const struct sbxi_counter *counters,
                           size_t n);
void sbxi_control_get_key(int dirfd, const char *file, const char *key, uint64_t *ret);
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
