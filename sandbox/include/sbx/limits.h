/* SPDX-License-Identifier: MIT */
#ifndef SBX_LIMITS_H
#define SBX_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/version.h>

/*
 * The vocabulary of resource control, one for all cgroup backends: what is asked for (struct sbx_limits) and what is
 * counted (struct sbx_stats). Which file of which hierarchy carries what is the library's business.
 *
 * What a program has and a later version may add to begins with its size, as its SBX_…_INIT sets it, whichever side fills
 * it. One of another size is -EINVAL, and nothing else of it is read or written.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: any, since: 0.1.
 */

UDS_BEGIN_DECLS

#define SBX_MEMORY_MIN    (1u << 20) /* of a memory limit: below that nothing starts */
#define SBX_UNLIMITED     UINT64_MAX /* "max": lifted, or not there */
#define SBX_CPU_UNLIMITED UINT32_MAX /* the same of cpu_percent */
#define SBX_IO_DEVICES    8
#define SBX_CPUS_MAX      256 /* bytes of a list of CPUs, with its NUL */

/* Of one block device; rates per second. 0 = not named, SBX_UNLIMITED = lifted. */
struct sbx_io_limit {
    uint32_t major, minor; /* of a whole disk */
    uint32_t weight;       /* 1–10000 */
    uint64_t rbps, wbps, riops, wiops;
};

/* 0, "" and false say "not named": none at a start, as it is at a change. */
struct sbx_limits {
    size_t
        size; /* sizeof(struct sbx_limits), as SBX_LIMITS_INIT sets it; anything else is -EINVAL */
    uint32_t cpu_percent;       /* of one CPU */
    uint32_t cpu_weight;        /* 1–10000, 100 is usual */
    uint64_t memory_bytes;      /* at the limit processes are killed */
    uint64_t memory_high_bytes; /* above it they are slowed down and their memory reclaimed */
    uint64_t swap_bytes;        /* beside memory; if not named, a memory limit permits none */
    bool swap_named;
    uint64_t pids;      /* processes and threads */
    uint32_t io_weight; /* 1–10000, 100 is usual */
    uint32_t nio;
    struct sbx_io_limit io[SBX_IO_DEVICES];
    char cpus[SBX_CPUS_MAX]; /* CPUs to run on, "0-1,3" */
};
#define SBX_LIMITS_INIT UDS_INIT_0(sbx_limits)

/* Pressure stall information: the share of time in which some, or all, processes waited for a resource. */
struct sbx_pressure {
    bool known;
    float some_avg10, some_avg60, full_avg10, full_avg60; /* percent */
    uint64_t some_usec, full_usec;                        /* since the beginning */
};

struct sbx_io_stats {
    uint32_t major, minor;
    uint64_t read_bytes, write_bytes, reads, writes;
};

/* What a backend lacks is 0. */
struct sbx_stats {
    size_t size; /* sizeof(struct sbx_stats), as SBX_STATS_INIT sets it; anything else is -EINVAL */
    bool known;  /* false: no cgroup (rootless); then only what wait4 gave is filled in */
    uint64_t cpu_usec, cpu_user_usec, cpu_system_usec;
    uint64_t throttled_usec;
    uint64_t periods, periods_throttled; /* of the cpu limit: all, and those in which it was hit */
    uint64_t memory_bytes, memory_peak_bytes;
    uint64_t swap_bytes;
    uint64_t memory_high_hits;  /* times it was slowed down above memory-high */
    uint64_t memory_limit_hits; /* times the limit was hit and memory had to be reclaimed */
    uint64_t oom_kills;         /* processes killed for memory, whoever's limit it was */
    /* Peak: 0 where the kernel has none; 2 may be one and a thread of ours that is gone before the command begins. */
    uint64_t pids, pids_peak;
    uint64_t pids_refused;                                       /* forks refused by the limit */
    uint64_t io_read_bytes, io_write_bytes, io_reads, io_writes; /* of all devices */
    uint32_t nio; /* the first SBX_IO_DEVICES of them */
    struct sbx_io_stats io[SBX_IO_DEVICES];
    struct sbx_pressure cpu_pressure, memory_pressure, io_pressure;
};
#define SBX_STATS_INIT UDS_INIT_0(sbx_stats)

/**
 * sbx_limits_set() - one setting as people write it, into @limits, where it replaces what was said before of the
 * same control
 * @control: "cpu" (50%), "cpu-weight" (100), "cpuset" (0-1,3), "memory", "memory-high", "swap" (64M), "pids" (8),
 *   "io-max" (DEVICE:rbps=1M,wbps=…,riops=…,wiops=…), "io-weight" (100, or DEVICE:100). All but weights take "max".
 *   DEVICE is a block device, MAJOR:MINOR, or any file on a file system that lies on one; a partition means its disk.
 * @ret_why: why it was refused, static; may be NULL
 *
 * Errors: -EINVAL malformed or no such control; -ERANGE; -E2BIG too many devices; -ENODEV, -ENOENT, … of a device.
 * Blocking: file system look-ups for a DEVICE.
 */
UDS_EXPORT int sbx_limits_set(struct sbx_limits *limits,
                              const char *control,
                              const char *value,
                              const char **ret_why);
/**
 * sbx_limits_get() - the other way round: the @index-th setting that @limits names, as a control and a value that
 * sbx_limits_set() takes
 * @value: 256 bytes suffice
 *
 * Returns false past the last one, and if @limits is of another size.
 */
UDS_EXPORT bool sbx_limits_get(const struct sbx_limits *limits,
                               size_t index,
                               const char **ret_control,
                               char *value,
                               size_t size);
/** sbx_parse_percent() - "50%" is 50, of 1 to 1000000. Errors: -EINVAL malformed; -ERANGE out of range. */
UDS_EXPORT int sbx_parse_percent(const char *text, uint32_t *ret);
/** sbx_parse_bytes() - "64M" in bytes (K, M, G, T of base 1024). Errors: -EINVAL malformed; -ERANGE out of range. */
UDS_EXPORT int sbx_parse_bytes(const char *text, uint64_t *ret);

UDS_END_DECLS

#endif
