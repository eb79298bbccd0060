/* SPDX-License-Identifier: MIT */
/* The profiles of ours, asked call by call. */

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

#include "ask.h"
#include "guard.h"
#include "ready.h"

static void build(bool guarded, struct sbxi_filter ret[2])
{
    const struct sbxi_seccomp asked = {.guarded = guarded};
    struct sbx_error error = {0};
    cr_assert_eq(sbxi_seccomp_build(&asked, ret, &error), 0, "%s", error.text);
}

Test(seccomp, allows_what_ordinary_programs_do)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    static const int calls[] = {SYS_read,    SYS_write,   SYS_openat,    SYS_mmap,  SYS_execve,
                                SYS_wait4,   SYS_futex,   SYS_io_setup,  SYS_ioctl, SYS_fchmod,
                                SYS_sendmsg, SYS_statx,   SYS_seccomp,   SYS_prctl, SYS_unshare,
                                SYS_clone,   SYS_mknodat, SYS_exit_group};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_eq(ASK(f, calls[i], 0), 0, "call %d", calls[i]);
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5401), 0, "TCGETS");
    cr_assert_eq(ASK(f, SYS_socket, 1), 0, "AF_UNIX");
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
    cr_assert_eq(ASK(f, SYS_sendto, 3, 0, 0, 0x20000000), EOPNOTSUPP, "MSG_FASTOPEN");
    cr_assert_eq(ASK(f, SYS_sendmsg, 3, 0, 0x20004000), EOPNOTSUPP);
    cr_assert_eq(ASK(f, SYS_sendmmsg, 3, 0, 1, 0x20000000), EOPNOTSUPP);
    cr_assert_eq(ASK(f, SYS_sendto, 3, 0, 0, 0x4000), 0, "MSG_NOSIGNAL");
    cr_assert_eq(ASK(f, SYS_setsockopt, 3, 6, 30), ENOPROTOOPT, "TCP_FASTOPEN_CONNECT");
    cr_assert_eq(ASK(f, SYS_setsockopt, 3, 6, 34), ENOPROTOOPT, "TCP_FASTOPEN_NO_COOKIE");
    cr_assert_eq(ASK(f, SYS_setsockopt, 3, 6, 1), 0, "TCP_NODELAY");
    cr_assert_eq(ASK(f, SYS_setsockopt, 3, 1, 30), 0, "of another level");
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

static void build_for(enum sbx_seccomp profile, uint64_t caps, bool host, struct sbxi_filter ret[2])
{
    const struct sbxi_seccomp asked = {.profile = profile, .caps = caps, .host_caps = host};
    struct sbx_error error = {0};
    cr_assert_eq(sbxi_seccomp_build(&asked, ret, &error), 0, "%s", error.text);
}

Test(seccomp, has_the_families_of_sockets_that_programs_use)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build(false, f);
    static const unsigned long long families[] = {1, 2, 10, 16};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        cr_assert_eq(ASK(f, SYS_socket, families[i]), 0, "family %llu", families[i]);
    for (unsigned long long family = 0; family < 64; family++)
        if (family != 1 && family != 2 && family != 10 && family != 16)
            cr_assert_neq(ASK(f, SYS_socket, family), 0, "family %llu", family);
    cr_assert_eq(ASK(f, SYS_socket, 17), EAFNOSUPPORT, "packets");
    cr_assert_eq(ASK(f, SYS_socket, 0x100000011), EAFNOSUPPORT, "with high bits");
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5423), EPERM, "TIOCSETD");
    discard(f);
    build_for(SBX_SECCOMP_DEFAULT, 1u << 13, false, f);
    cr_assert_eq(ASK(f, SYS_socket, 17), 0, "packets, with net_raw");
    cr_assert_eq(ASK(f, SYS_socket, 40), EPERM, "the hypervisor, never");
    discard(f);
}

Test(seccomp, strict_computes_and_does_nothing_else)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build_for(SBX_SECCOMP_STRICT, 0, false, f);
    static const int calls[] = {SYS_read,    SYS_write,   SYS_mmap,   SYS_execve,       SYS_futex,
                                SYS_recvmsg, SYS_sendmsg, SYS_fstat,  SYS_memfd_create, SYS_prctl,
                                SYS_lseek,   SYS_ppoll,   SYS_exit,   SYS_rt_sigaction, SYS_brk,
                                SYS_tgkill,  SYS_madvise, SYS_getuid, SYS_exit_group,   SYS_munmap};
    static const int others[] = {
        SYS_socket,   SYS_connect,   SYS_bind,      SYS_kill,     SYS_mkdirat,
        SYS_unlinkat, SYS_renameat2, SYS_fchmodat,  SYS_ptrace,   SYS_mount,
        SYS_unshare,  SYS_setns,     SYS_bpf,       SYS_keyctl,   SYS_setuid,
        SYS_chroot,   SYS_symlinkat, SYS_setpgid,   SYS_setsid,   SYS_linkat,
        SYS_mknodat,  SYS_fchmod,    SYS_utimensat, SYS_truncate, SYS_pidfd_open};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_eq(ASK(f, calls[i], 0), 0, "call %d", calls[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_eq(ASK(f, others[i], 0), EPERM, "call %d", others[i]);
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 02000000), 0, "to read");
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 01), EPERM, "to write");
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 01000), EPERM, "to truncate");
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 0100), EPERM, "to create");
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 020200000), EPERM, "to create without a name");
    cr_assert_eq(ASK(f, SYS_clone, 0x003d0f00), 0, "a thread");
    cr_assert_eq(ASK(f, SYS_clone, 17), EPERM, "a process");
    cr_assert_eq(ASK(f, SYS_clone3, 0), ENOSYS);
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5401), 0, "is it a terminal?");
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5412), EPERM, "TIOCSTI");
    cr_assert_eq(ask_as(f, FOREIGN, &(struct seccomp_data){.nr = 20}), -1);
    discard(f);
}

Test(seccomp, a_capability_brings_its_calls)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    build_for(SBX_SECCOMP_DEFAULT, UINT64_C(1) << 21, false, f); /* sys_admin */
    cr_assert_eq(ASK(f, SYS_mount, 0), 0);
    cr_assert_eq(ASK(f, SYS_unshare, 0x10000000), 0);
    cr_assert_eq(ASK(f, SYS_clone3, 0), 0);
    cr_assert_eq(ASK(f, SYS_ptrace, 0), EPERM);
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5412), EPERM, "TIOCSTI, never");
    discard(f);
    build_for(SBX_SECCOMP_DEFAULT, UINT64_C(1) << 19, false, f); /* sys_ptrace */
    cr_assert_eq(ASK(f, SYS_ptrace, 0), 0);
    cr_assert_eq(ASK(f, SYS_mount, 0), EPERM);
    discard(f);
    build_for(SBX_SECCOMP_DEFAULT, UINT64_C(1) << 23, false, f); /* sys_nice */
    cr_assert_eq(ASK(f, SYS_sched_setaffinity, 7, 8), 0);
    cr_assert_eq(ASK(f, SYS_prlimit64, 1, 7), EPERM);
    discard(f);
    build_for(SBX_SECCOMP_DEFAULT, UINT64_C(1) << 16 | UINT64_C(1) << 39, false, f);
    cr_assert_eq(ASK(f, SYS_init_module, 0), EPERM, "worth nothing in a user namespace");
    cr_assert_eq(ASK(f, SYS_bpf, 0), EPERM);
    discard(f);
    build_for(SBX_SECCOMP_DEFAULT, UINT64_C(1) << 16 | UINT64_C(1) << 39, true, f);
    cr_assert_eq(ASK(f, SYS_init_module, 0), 0, "the host's");
    cr_assert_eq(ASK(f, SYS_bpf, 0), 0);
    discard(f);
}

Test(seccomp, what_was_made_with_the_library_is_what_would_be_made_now)
{
    UDS_TEST_GUARD;
    size_t n = 0;
    for (const struct sbxi_ready *ready = sbxi_ready; ready->profile >= 0; ready++, n++) {
        const struct sbxi_seccomp asked = {.profile = (enum sbx_seccomp)ready->profile,
                                           .guarded = ready->guarded};
        struct sbxi_filter filters[2];
        struct sbx_error error = {0};
        cr_assert_eq(sbxi_seccomp_build(&asked, filters, &error), 0, "%s", error.text);
        cr_assert_eq(filters[0].length, ready->length);
        cr_assert_arr_eq(filters[0].code, ready->code, filters[0].length);
        cr_assert_null(filters[1].code);
        discard(filters);
    }
    cr_assert_eq(n, 4);
}
