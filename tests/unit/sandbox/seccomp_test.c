/* SPDX-License-Identifier: MIT */
/*
 * The filters as programs: an interpreter of classic BPF asks them about one system call at a time, so that calls which
 * would end this process can be asked about too.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guard.h"
#include "plan.h"

#ifdef __x86_64__
#define NATIVE  AUDIT_ARCH_X86_64
#define FOREIGN AUDIT_ARCH_I386
#else
#define NATIVE  AUDIT_ARCH_AARCH64
#define FOREIGN AUDIT_ARCH_ARM
#endif

static uint32_t run(const struct sbxi_filter *filter, const struct seccomp_data *data)
{
    const struct sock_filter *code = filter->code;
    size_t n = filter->length / sizeof *code;
    uint32_t a = 0;
    for (size_t pc = 0; pc < n; pc++) {
        const struct sock_filter *i = &code[pc];
        bool jump = false;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            memcpy(&a, (const char *)data + i->k, sizeof a);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = a == i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jump = a >= i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            jump = a > i->k;
            break;
        default:
            cr_assert_fail("instruction %x", i->code);
        }
        pc += jump ? i->jt : i->jf;
    }
    cr_assert_fail("the program has no end");
    return 0;
}

/* As the kernel does: the stricter of both. 0 = allowed, an errno, or -1 = killed. */
static int
ask_as(const struct sbxi_filter filters[2], uint32_t arch, const struct seccomp_data *ask)
{
    struct seccomp_data data = *ask;
    int answer = 0;
    data.arch = arch;
    for (int i = 1; i >= 0; i--) {
        uint32_t r = run(&filters[i], &data);
        switch (r & SECCOMP_RET_ACTION_FULL) {
        case SECCOMP_RET_ALLOW:
            break;
        case SECCOMP_RET_ERRNO:
            answer = (int)(r & SECCOMP_RET_DATA);
            break;
        default:
            return -1;
        }
    }
    return answer;
}

#define ASK(filters, number, ...) \
    ask_as(filters, NATIVE, &(struct seccomp_data){.nr = (number), .args = {__VA_ARGS__}})

static void build(bool guarded, struct sbxi_filter ret[2])
{
    struct sbx_error error = {0};
    cr_assert_eq(sbxi_seccomp_build(guarded, ret, &error), 0, "%s", error.text);
}

static void discard(struct sbxi_filter filters[2])
{
    free(filters[0].code);
    free(filters[1].code);
}

Test(seccomp, allows_what_ordinary_programs_do)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    static const int calls[] = {SYS_read,    SYS_write,   SYS_openat,    SYS_mmap,  SYS_execve,
                                SYS_wait4,   SYS_futex,   SYS_socket,    SYS_ioctl, SYS_fchmod,
                                SYS_sendmsg, SYS_statx,   SYS_seccomp,   SYS_prctl, SYS_unshare,
                                SYS_clone,   SYS_mknodat, SYS_exit_group};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_eq(ASK(f, calls[i], 0), 0, "call %d", calls[i]);
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5401), 0, "TCGETS");
    cr_assert_eq(ASK(f, SYS_clone, 0x003d0f00), 0, "a thread");
    cr_assert_eq(ASK(f, SYS_mknodat, 0, 0, S_IFIFO | 0600), 0, "a FIFO");
    cr_assert_eq(ASK(f, SYS_prlimit64, 0, 7), 0, "its own limits");
    cr_assert_eq(ASK(f, SYS_setpriority, 0, 0, 5), 0, "its own priority");
    cr_assert_eq(ASK(f, SYS_personality, 0xffffffff), 0, "which personality");
    discard(f);
}

Test(seccomp, refuses_what_opens_the_kernel_or_other_processes)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    static const int calls[] = {
        SYS_mount,       SYS_umount2,          SYS_pivot_root,        SYS_ptrace,
        SYS_setns,       SYS_process_vm_readv, SYS_process_vm_writev, SYS_kexec_load,
        SYS_bpf,         SYS_perf_event_open,  SYS_userfaultfd,       SYS_keyctl,
        SYS_add_key,     SYS_request_key,      SYS_open_by_handle_at, SYS_io_uring_setup,
        SYS_init_module, SYS_finit_module,     SYS_move_mount,        SYS_fsopen,
        SYS_open_tree,   SYS_mount_setattr,    SYS_pidfd_getfd,       SYS_sethostname};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_eq(ASK(f, calls[i], 0), EPERM, "call %d", calls[i]);
    cr_assert_eq(ASK(f, SYS_clone3, 0), ENOSYS);
    cr_assert_eq(ASK(f, SYS_personality, 0x0040000), ENOSYS);
    cr_assert_eq(ASK(f, 5000, 0), ENOSYS, "a call nobody knows yet");
    discard(f);
}

Test(seccomp, looks_at_arguments)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    static const uint64_t flags[] = {0x00020000, 0x02000000, 0x04000000, 0x08000000,
                                     0x10000000, 0x20000000, 0x40000000};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        cr_assert_eq(ASK(f, SYS_clone, flags[i] | 17), EPERM, "clone %lx", flags[i]);
        cr_assert_eq(ASK(f, SYS_unshare, flags[i]), EPERM, "unshare %lx", flags[i]);
    }
    cr_assert_eq(ASK(f, SYS_unshare, 0x80), EPERM, "time namespace");
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5412), EPERM, "TIOCSTI");
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0xdead00005412), EPERM, "TIOCSTI with high bits");
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x10000541c), EPERM, "TIOCLINUX with high bits");
    cr_assert_eq(ASK(f, SYS_prlimit64, 1, 7), EPERM);
    cr_assert_eq(ASK(f, SYS_sched_setaffinity, 1, 8), EPERM);
    cr_assert_eq(ASK(f, SYS_setpriority, 1, 0, 5), EPERM);
    cr_assert_eq(ASK(f, SYS_setpriority, 0, 1, 5), EPERM);
    cr_assert_eq(ASK(f, SYS_mknodat, 0, 0, S_IFBLK | 0600), EPERM);
    cr_assert_eq(ASK(f, SYS_mknodat, 0, 0, S_IFCHR | 0600), EPERM);
    cr_assert_eq(ASK(f, SYS_socket, 38, 5), EPERM, "AF_ALG");
    discard(f);
}

Test(seccomp, kills_other_doors_into_the_kernel)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    cr_assert_eq(ask_as(f, FOREIGN, &(struct seccomp_data){.nr = 20}), -1);
#ifdef __x86_64__
    cr_assert_eq(ASK(f, 0x40000000 | SYS_getpid, 0), -1, "x32");
#endif
    discard(f);
}

Test(seccomp, guarded_changes_no_file_that_it_was_given)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(true, f);
    static const int calls[] = {SYS_fchmod,      SYS_fchown,       SYS_fsetxattr, SYS_utimensat,
                                SYS_fchmodat,    SYS_fchownat,     SYS_setxattr,  SYS_lsetxattr,
                                SYS_removexattr, SYS_fremovexattr, SYS_truncate};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_eq(ASK(f, calls[i], 0), EPERM, "call %d", calls[i]);
    cr_assert_eq(ASK(f, SYS_ioctl, 3, 0x40086602), EPERM, "FS_IOC_SETFLAGS");
    cr_assert_eq(ASK(f, SYS_ioctl, 3, 0x140086602), EPERM, "with high bits");
    cr_assert_eq(ASK(f, SYS_read, 3), 0);
    cr_assert_eq(ASK(f, SYS_fgetxattr, 3), 0);
    cr_assert_eq(ASK(f, SYS_ftruncate, 3), 0);
    discard(f);
}

Test(seccomp, fits_what_init_can_load)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(true, f);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(f[i].length % sizeof(struct sock_filter), 0);
        cr_assert_leq(f[i].length / sizeof(struct sock_filter), BPF_MAXINSNS);
    }
    discard(f);
}
