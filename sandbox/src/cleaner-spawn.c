/* SPDX-License-Identifier: MIT */
/*
 * The process that becomes uds-cleaner has our memory until its execve, as a sandbox's first one has (birth.h); where that
 * cannot be, a copy, and we wait. Only system calls, on a stack of its own, of what lies in struct sbxi_spawned.
 */
#include "cleaner-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/close_range.h>
#include <sys/mman.h>

#include "birth.h"
#include "control.h"
#include "kernel.h"
#include "raw.h"
#include "without.h"

enum {
    STACK_BYTES = 8192,
    STDERR = 2,
    ABOVE = 10 /* the numbers that it gets are lower */
};

struct sbxi_spawned {
    atomic_uint tid; /* the kernel makes it 0 when the process has its own memory, or none */
    int err;         /* by then: why it could not become uds-cleaner */
    int program, control, record;
    char name[16], run_dir[PATH_MAX], record_name[64];
    char *argv[4];
    _Alignas(16) char stack[STACK_BYTES];
};

static long become(const struct sbxi_spawned *s)
{
    static const uint64_t none = 0; /* no signal is blocked */
    char *const *env = SBXI_NO_ENVIRONMENT;
    long control = sbxi_raw(SYS_fcntl, s->control, F_DUPFD_CLOEXEC, ABOVE, 0, 0);
    long record = sbxi_raw(SYS_fcntl, s->record, F_DUPFD_CLOEXEC, ABOVE, 0, 0);
    long program = sbxi_raw(SYS_fcntl, s->program, F_DUPFD_CLOEXEC, ABOVE, 0, 0);
    long null = sbxi_raw(SYS_openat, AT_FDCWD, SBXI_POINTER("/dev/null"), O_RDWR | O_CLOEXEC, 0, 0),
         r;
    if (control < 0 || record < 0 || program < 0 || null < 0)
        return control < 0 ? control : record < 0 ? record : program < 0 ? program : null;
    /* Closed, or by chance a descriptor of ours, which goes with the execve: it must not become one of the cleaner's. */
    bool lacks = sbxi_raw(SYS_fcntl, STDERR, F_GETFD, 0, 0, 0) != 0;
    /* A null that is one of them itself would not stay open. */
    for (long fd = 0; fd < STDERR + lacks; fd++)
        if ((r = sbxi_raw(null == fd ? SYS_fcntl : SYS_dup3, null, null == fd ? F_SETFD : fd, 0, 0,
                          0)) < 0)
            return r;
    if ((r = sbxi_raw(SYS_dup3, control, SBXI_CONTROL_FD, 0, 0, 0)) < 0 ||
        (r = sbxi_raw(SYS_dup3, record, SBXI_CONTROL_RECORD, 0, 0, 0)) < 0 ||
        (r = sbxi_raw(SYS_close_range, SBXI_CONTROL_RECORD + 1, (long)UINT32_MAX,
                      CLOSE_RANGE_CLOEXEC, 0, 0)) < 0)
        return r;
    sbxi_raw(SYS_setsid, 0, 0, 0, 0, 0); /* first: the terminal's signals are not for it */
    sbxi_raw(SYS_rt_sigprocmask, SIG_SETMASK, SBXI_POINTER(&none), 0, sizeof none, 0);
    return sbxi_raw(SYS_execveat, program, SBXI_POINTER(""), SBXI_POINTER(s->argv),
                    SBXI_POINTER(env), AT_EMPTY_PATH);
}

static _Noreturn void run(void *spawned)
{
    struct sbxi_spawned *s = spawned;
    s->err = (int)-become(s);
    for (;;)
        sbxi_raw(SYS_exit_group, 1, 0, 0, 0, 0);
}

static void fill(struct sbxi_spawned *s, const char *run_dir, const char *record_name)
{
    snprintf(s->name, sizeof s->name, "uds-cleaner");
    snprintf(s->run_dir, sizeof s->run_dir, "%s", run_dir);
    snprintf(s->record_name, sizeof s->record_name, "%s", record_name);
    s->argv[0] = s->name;
    s->argv[1] = s->run_dir;
    s->argv[2] = s->record_name;
    s->argv[3] = NULL;
}

int sbxi_cleaner_spawn(struct sbxi_spawned **ret,
                       int program,
                       const char *run_dir,
                       const char *record_name,
                       int control,
                       int record,
                       pid_t *ret_pid,
                       int *ret_pidfd)
{
    bool share = sbxi_birth_can_share();
    int pidfd = -1;
    struct sbxi_spawned *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
                                  MAP_ANONYMOUS | (share ? MAP_PRIVATE : MAP_SHARED), -1, 0);
    if (s == MAP_FAILED)
        return -ENOMEM;
    s->program = program;
    s->control = control;
    s->record = record;
    fill(s, run_dir, record_name);
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid;
    if (share) {
        args.flags |= CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
        args.parent_tid = args.child_tid = (uint64_t)(uintptr_t)&s->tid;
        args.stack = (uint64_t)(uintptr_t)s->stack;
        args.stack_size = sizeof s->stack;
        pid = sbxi_raw_clone(&args, sizeof args, run, s);
    } else {
        args.flags |= CLONE_VFORK;
        pid = sbxi_clone3(&args);
        if (pid == 0)
            run(s);
        pid = pid < 0 ? -errno : pid;
    }
    if (pid < 0) {
        sbxi_spawned_free(s);
        return (int)pid;
    }
    *ret = s;
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}

int sbxi_spawned_wait(struct sbxi_spawned *s)
{
    sbxi_raw_await(&s->tid);
    return -s->err;
}

struct sbxi_spawned *sbxi_spawned_free(struct sbxi_spawned *s)
{
    if (s)
        munmap(s, sizeof *s);
    return NULL;
}
