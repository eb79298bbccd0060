/* SPDX-License-Identifier: MIT */
/*
 * Without a cgroup the memory limit is RLIMIT_DATA, and of what that refuses the kernel keeps no count: a program is told
 * ENOMEM and ends in a way of its own. So we are asked first. A filter of our own, which every process of the sandbox has from
 * us, tells of requests for a mebibyte and more (to a smaller one the C library falls back to one of that size), and we see
 * what the process has by then. All are let go on: it is the kernel that decides.
 *
 * We have the filter too: who allocates so much in PID 1 waits for himself. A payload with rights over mounts may put a FIFO, or
 * a file system that answers nobody, where we look: so procfs is held since before it ran, and no mount in it is entered.
 */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "init.h"
#include "kernel.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define OUR_ARCH 0u /* none: nothing is told of */
#endif

enum {
    TOLD_FROM = 1 << 20,
    ANSWER_SIZE = 512 /* of whichever kernel: checked */
};

static struct {
    int fd;   /* -1: nobody asks */
    int proc; /* -1: there is none */
    uint64_t limit, refused, first;
} memory = {.fd = -1, .proc = -1};

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* Both machines begin a number with its lower half. */
#define LOAD_LOW(i)                 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))
#define LOAD_HIGH(i)                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]) + 4)
#define IF(how, k, then, otherwise) BPF_JUMP(BPF_JMP | BPF_K | (how), k, then, otherwise)

enum { /* where they lie in it */
    AT_MMAP = 6,
    AT_PROTECTION = 9,
    AT_MREMAP = 15,
    AT_TELL = 19,
    AT_ALLOW = 20
};

/* Only private memory that can be written counts as data. The length is the second argument, of mremap the third. */
static const struct sock_filter filter[] = {
    LOAD(arch),
    IF(BPF_JEQ, OUR_ARCH, 0, AT_ALLOW - 2),
    LOAD(nr),
    IF(BPF_JEQ, SYS_mmap, AT_MMAP - 4, 0),
    IF(BPF_JEQ, SYS_mprotect, AT_PROTECTION - 5, 0),
    IF(BPF_JEQ, SYS_mremap, AT_MREMAP - 6, AT_ALLOW - 6),
    [AT_MMAP] = LOAD_LOW(3),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, MAP_TYPE),
    IF(BPF_JEQ, MAP_PRIVATE, 0, AT_ALLOW - 9),
    [AT_PROTECTION] = LOAD_LOW(2),
    IF(BPF_JSET, PROT_WRITE, 0, AT_ALLOW - 11),
    LOAD_HIGH(1),
    IF(BPF_JGT, 0, AT_TELL - 13, 0),
    LOAD_LOW(1),
    IF(BPF_JGE, TOLD_FROM, AT_TELL - 15, AT_ALLOW - 15),
    [AT_MREMAP] = LOAD_HIGH(2),
    IF(BPF_JGT, 0, AT_TELL - 17, 0),
    LOAD_LOW(2),
    IF(BPF_JGE, TOLD_FROM, AT_TELL - 19, AT_ALLOW - 19),
    [AT_TELL] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    [AT_ALLOW] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int load(void)
{
    struct sock_fprog program = {sizeof filter / sizeof filter[0],
                                 (struct sock_filter *)(uintptr_t)filter};
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0 ||
        sizes.seccomp_notif > ANSWER_SIZE || sizes.seccomp_notif_resp > ANSWER_SIZE)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static int open_proc(void)
{
    struct statfs fs;
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC))
        return fd;
    close(fd);
    return -1;
}

/* An old kernel, or a container that has such a listener already: then nothing is told of. */
int init_memory_begin(const struct sbxi_step *step)
{
    memory.limit = step->args[0];
    memory.fd = OUR_ARCH ? load() : -1;
    if (memory.fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        memory.fd = load();
    if (memory.fd >= 0)
        memory.proc = open_proc();
    return 0;
}

int init_memory_keep(int fds[2])
{
    fds[0] = memory.fd;
    fds[1] = memory.proc;
    return memory.fd < 0 ? 0 : memory.proc < 0 ? 1 : 2;
}

void init_memory_moved(int first)
{
    memory.fd = first;
    if (memory.proc >= 0)
        memory.proc = first + 1;
}

struct pollfd init_memory_poll(void)
{
    return (struct pollfd){.fd = memory.fd, .events = POLLIN};
}

/* What a process has of what RLIMIT_DATA counts, in bytes; 0 where there is no /proc. */
static uint64_t data_of(uint32_t pid)
{
    char path[48], text[4096];
    snprintf(path, sizeof path, "%u/status", pid);
    int fd = sbxi_openat2(memory.proc, path, O_RDONLY | O_CLOEXEC, 0,
                          RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\nVmData:");
    return line ? strtoull(line + strlen("\nVmData:"), NULL, 10) * 1024 : 0;
}

static uint64_t grows_by(const struct seccomp_data *call)
{
    if (call->nr != SYS_mremap)
        return call->args[1];
    return call->args[2] > call->args[1] ? call->args[2] - call->args[1] : 0;
}

void init_memory_serve(const struct pollfd *poll)
{
    union {
        struct seccomp_notif told;
        char space[ANSWER_SIZE];
    } in = {0};
    union {
        struct seccomp_notif_resp answer;
        char space[ANSWER_SIZE];
    } out = {0};
    if (!poll->revents || syscall(SYS_ioctl, memory.fd, SECCOMP_IOCTL_NOTIF_RECV, &in) < 0)
        return;
    uint64_t more = grows_by(&in.told.data), have = data_of(in.told.pid);
    if (more > memory.limit || have > memory.limit - more) {
        if (memory.refused++ == 0)
            memory.first = more;
    }
    out.answer.id = in.told.id;
    out.answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    syscall(SYS_ioctl, memory.fd, SECCOMP_IOCTL_NOTIF_SEND, &out);
}

void init_memory_tell(struct sbxi_event *event)
{
    event->refused = memory.refused;
    event->refused_bytes = memory.first;
}
