/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_KERNEL_H
#define UDSI_SOCKET_KERNEL_H

/* Kernel constants that Debian 12's headers lack, each with its origin. The values are ABI and never change. */

#include <stdint.h>

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 /* include/linux/socket.h, 6.5 */
#endif

#ifndef SCM_SECURITY
#define SCM_SECURITY 0x03 /* include/linux/socket.h, 2.6.18; not exported by glibc */
#endif

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* include/uapi/asm-generic/socket.h, 6.5 */
#endif

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* include/uapi/asm-generic/socket.h, 6.5 */
#endif

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* include/uapi/asm-generic/socket.h, 6.16 */
#endif

/* File system magics, include/uapi/linux/magic.h. */
#define UDSI_MAGIC_PIDFS      0x50494446UL /* 6.9; before, a pidfd was an anonymous inode */
#define UDSI_MAGIC_NSFS       0x6e736673UL
#define UDSI_MAGIC_TMPFS      0x01021994UL
#define UDSI_MAGIC_HUGETLBFS  0x958458f6UL
#define UDSI_MAGIC_ANON_INODE 0x09041934UL
#define UDSI_MAGIC_SECRETMEM  0x5345434dUL
#define UDSI_MAGIC_PROC       0x00009fa0UL
#define UDSI_MAGIC_SYSFS      0x62656572UL
#define UDSI_MAGIC_CGROUP     0x0027e0ebUL
#define UDSI_MAGIC_CGROUP2    0x63677270UL
#define UDSI_MAGIC_DEBUGFS    0x64626720UL
#define UDSI_MAGIC_TRACEFS    0x74726163UL
#define UDSI_MAGIC_SECURITYFS 0x73636673UL
#define UDSI_MAGIC_SELINUX    0xf97cff8cUL
#define UDSI_MAGIC_BPF        0xcafe4a11UL
#define UDSI_MAGIC_BINFMTFS   0x42494e4dUL
#define UDSI_MAGIC_EFIVARFS   0xde5e81e4UL
#define UDSI_MAGIC_CONFIGFS   0x62656570UL
#define UDSI_MAGIC_MQUEUE     0x19800202UL
#define UDSI_MAGIC_RESCTRL    0x07655821UL

/* include/uapi/linux/pidfd.h: PIDFD_GET_INFO 6.13, the namespaces 6.11. */
#define UDSI_PIDFD_INFO_PID      (1ULL << 0)
#define UDSI_PIDFD_INFO_CREDS    (1ULL << 1)
#define UDSI_PIDFD_INFO_CGROUPID (1ULL << 2)

struct udsi_pidfd_info {
    uint64_t mask; /* in: what is wanted; out: what is there */
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};

#define UDSI_PIDFD_GET_INFO             _IOWR(0xff, 11, struct udsi_pidfd_info)
#define UDSI_PIDFD_GET_CGROUP_NAMESPACE _IO(0xff, 1)
#define UDSI_PIDFD_GET_IPC_NAMESPACE    _IO(0xff, 2)
#define UDSI_PIDFD_GET_MNT_NAMESPACE    _IO(0xff, 3)
#define UDSI_PIDFD_GET_NET_NAMESPACE    _IO(0xff, 4)
#define UDSI_PIDFD_GET_PID_NAMESPACE    _IO(0xff, 5)
#define UDSI_PIDFD_GET_USER_NAMESPACE   _IO(0xff, 9)
#define UDSI_PIDFD_GET_UTS_NAMESPACE    _IO(0xff, 10)

#define UDSI_MFD_NOEXEC_SEAL            0x0008U /* include/uapi/linux/memfd.h, 6.3 */
#define UDSI_F_SEAL_EXEC                0x0020  /* include/uapi/linux/fcntl.h, 6.3 */
#define UDSI_MADV_POPULATE_WRITE        23      /* include/uapi/asm-generic/mman-common.h, 5.14 */

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* 6.6, the same number on every architecture */
#endif

#endif
