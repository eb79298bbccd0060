/* SPDX-License-Identifier: MIT */
/*
 * A policy as two programs, of which the stricter answer counts. The kernel would combine them so; they are merged into one
 * (decision.c), which costs less.
 *
 *   numbers     the policy: ours (seccomp-policy.c) or a file's (seccomp-file.c, seccomp-oci.c).
 *   arguments   passes everything but certain values, whatever the policy says of the call. Commands of ioctl are compared
 *               in their low 32 bits: the kernel looks at no more, and a filter that does has been walked around
 *               (CVE-2019-7303, CVE-2019-10063).
 *
 * A process that comes by another ABI (int 0x80, x32) is killed. `guarded` goes with Landlock against re-opening: a
 * passed descriptor's file may be read, and nothing about it changed, by descriptor or by /proc/self/fd/N.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <uds/fdset.h>

#include "calls.h"
#include "cleanup.h"
#include "error.h"

#define EQ32(arg, value)      SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)(value))
#define HAS(arg, mask, value) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)
#define NOT(arg, value)       SCMP_CMP(arg, SCMP_CMP_NE, value, 0)
#define COUNT(array)          (sizeof(array) / sizeof(array)[0])
#define BIT(cap)              (UINT64_C(1) << (cap))

enum {
    TIOCSTI_ = 0x5412,
    TIOCLINUX_ = 0x541c,
    TIOCSETD_ = 0x5423,
    FS_IOC_SETFLAGS_ = 0x40086602,
    FS_IOC32_SETFLAGS_ = 0x40046602,
    FS_IOC_FSSETXATTR_ = 0x401c5820,
    AF_ALG_ = 38,
    AF_VSOCK_ = 40,
    AF_MAX_ = 64, /* there are 46 */
};

struct rule {
    int number;
    struct scmp_arg_cmp compare;
    uint64_t unless; /* one of these capabilities brings it */
};

static int refuse(scmp_filter_ctx filter, int err, int number, struct scmp_arg_cmp compare)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint16_t)err), number, 1, compare);
}

/* Others load modules that nobody has looked at in years; a library that asks for one does without. */
static int add_families(scmp_filter_ctx filter, uint64_t caps)
{
    int r = refuse(filter, EPERM, SCMP_SYS(socket), EQ32(0, AF_ALG_));
    if (r == 0)
        r = refuse(filter, EPERM, SCMP_SYS(socket), EQ32(0, AF_VSOCK_));
    if (caps & (BIT(CAP_NET_RAW) | BIT(CAP_NET_ADMIN)))
        return r;
    for (int family = 0; family < AF_MAX_ && r == 0; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK &&
            family != AF_ALG_ && family != AF_VSOCK_)
            r = refuse(filter, EAFNOSUPPORT, SCMP_SYS(socket), EQ32(0, family));
    return r;
}

/*
 * Data in a SYN passes the filter that seals a passed listener (decision 0009), which sees answers only; programs that would
 * like it do without where the kernel has none, and that is what they are told.
 */
static int add_fastopen(scmp_filter_ctx filter)
{
    static const int options[] = {TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE};
    int r = refuse(filter, EOPNOTSUPP, SCMP_SYS(sendto), HAS(3, MSG_FASTOPEN, MSG_FASTOPEN));
    if (r == 0)
        r = refuse(filter, EOPNOTSUPP, SCMP_SYS(sendmsg), HAS(2, MSG_FASTOPEN, MSG_FASTOPEN));
    if (r == 0)
        r = refuse(filter, EOPNOTSUPP, SCMP_SYS(sendmmsg), HAS(3, MSG_FASTOPEN, MSG_FASTOPEN));
    for (size_t i = 0; i < COUNT(options) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOPROTOOPT), SCMP_SYS(setsockopt), 2,
                             EQ32(1, IPPROTO_TCP), EQ32(2, options[i]));
    return r;
}

static int add_namespaces(scmp_filter_ctx filter)
{
    static const uint64_t flags[] = {0x00000080, 0x00020000, 0x02000000, 0x04000000,
                                     0x08000000, 0x10000000, 0x20000000, 0x40000000};
    int r = 0;
    for (size_t i = 0; i < COUNT(flags) && r == 0; i++) {
        struct scmp_arg_cmp flag = HAS(0, flags[i], flags[i]);
        r = refuse(filter, EPERM, SCMP_SYS(unshare), flag);
        /* 0x80 is CLONE_NEWTIME in unshare, and part of the exit signal in clone. */
        if (r == 0 && flags[i] != 0x80)
            r = refuse(filter, EPERM, SCMP_SYS(clone), flag);
    }
    return r;
}

static int add_arguments(scmp_filter_ctx filter, const struct sbxi_seccomp *asked)
{
    const uint64_t nice = BIT(CAP_SYS_NICE);
    const struct rule rules[] = {
        {SCMP_SYS(ioctl), EQ32(1, TIOCSTI_), 0},
        {SCMP_SYS(ioctl), EQ32(1, TIOCLINUX_), 0},
        {SCMP_SYS(ioctl), EQ32(1, TIOCSETD_), 0}, /* loads a line discipline */
        /* Device nodes; FIFOs, sockets and files stay possible. */
        {SCMP_SYS(mknod), HAS(1, S_IFMT, S_IFCHR), BIT(CAP_MKNOD)},
        {SCMP_SYS(mknod), HAS(1, S_IFMT, S_IFBLK), BIT(CAP_MKNOD)},
        {SCMP_SYS(mknodat), HAS(2, S_IFMT, S_IFCHR), BIT(CAP_MKNOD)},
        {SCMP_SYS(mknodat), HAS(2, S_IFMT, S_IFBLK), BIT(CAP_MKNOD)},
        /* Itself is 0; PID 1 and the siblings are other processes. */
        {SCMP_SYS(prlimit64), NOT(0, 0), BIT(CAP_SYS_RESOURCE)},
        {SCMP_SYS(sched_setaffinity), NOT(0, 0), nice},
        {SCMP_SYS(sched_setattr), NOT(0, 0), nice},
        {SCMP_SYS(sched_setparam), NOT(0, 0), nice},
        {SCMP_SYS(sched_setscheduler), NOT(0, 0), nice},
        {SCMP_SYS(setpriority), NOT(0, 0), nice},
        {SCMP_SYS(setpriority), NOT(1, 0), nice},
        {SCMP_SYS(ioprio_set), NOT(0, 1), nice},
        {SCMP_SYS(ioprio_set), NOT(1, 0), nice},
    };
    const struct rule guards[] = {
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC_SETFLAGS_), 0},
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC32_SETFLAGS_), 0},
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC_FSSETXATTR_), 0},
    };
    int r = 0;
    for (size_t i = 0; i < COUNT(rules) && r == 0; i++)
        if (!(rules[i].unless & asked->caps))
            r = refuse(filter, EPERM, rules[i].number, rules[i].compare);
    for (size_t i = 0; asked->guarded && i < COUNT(guards) && r == 0; i++)
        r = refuse(filter, EPERM, guards[i].number, guards[i].compare);
    if (r == 0)
        r = add_families(filter, asked->caps);
    if (r == 0)
        r = add_fastopen(filter);
    return r == 0 && !(asked->caps & BIT(CAP_SYS_ADMIN)) ? add_namespaces(filter) : r;
}

static int add_numbers(scmp_filter_ctx filter, const struct sbxi_policy *policy)
{
    for (size_t i = 0; i < policy->ncalls; i++) {
        const struct sbxi_call *call = &policy->calls[i];
        if (call->action == policy->otherwise)
            continue; /* for libseccomp such a rule is an error */
        int r = seccomp_rule_add_array(filter, call->action, call->number, call->ncompare,
                                       call->compare);
        if (r < 0)
            return r;
    }
    return 0;
}

/* libseccomp writes programs to descriptors only. */
static int export_program(scmp_filter_ctx filter, struct sbxi_filter *ret)
{
    _cleanup_close_ int fd = -1;
    int r = uds_memfd_create("filter", &fd);
    if (r == 0)
        r = seccomp_export_bpf(filter, fd);
    if (r < 0)
        return r;
    off_t length = lseek(fd, 0, SEEK_END);
    void *code = length > 0 ? malloc((size_t)length) : NULL;
    if (!code)
        return -ENOMEM;
    if (pread(fd, code, (size_t)length, 0) != length) {
        free(code);
        return -EIO;
    }
    *ret = (struct sbxi_filter){code, (size_t)length};
    return 0;
}

static int begin(scmp_filter_ctx *ret, uint32_t otherwise)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (!filter)
        return -ENOMEM;
    *ret = filter;
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    return r < 0 ? r
                 : seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a chain */
}

static int build_arguments(const struct sbxi_seccomp *asked, struct sbxi_filter *ret)
{
    scmp_filter_ctx filter = NULL;
    int r = begin(&filter, SCMP_ACT_ALLOW);
    if (r == 0)
        r = add_arguments(filter, asked);
    if (r == 0)
        r = export_program(filter, ret);
    if (filter)
        seccomp_release(filter);
    return r;
}

static int build_numbers(const struct sbxi_policy *policy, struct sbxi_filter *ret)
{
    scmp_filter_ctx filter = NULL;
    int r = policy->failed ? -ENOMEM : begin(&filter, policy->otherwise);
    if (r == 0)
        r = add_numbers(filter, policy);
    if (r == 0)
        r = export_program(filter, ret);
    if (filter)
        seccomp_release(filter);
    return r;
}

static int
make_policy(struct sbxi_policy *policy, const struct sbxi_seccomp *asked, struct sbx_error *error)
{
    int r = 0;
    if (asked->profile == SBX_SECCOMP_FILE)
        r = sbxi_policy_read(policy, asked, error);
    else if (asked->profile == SBX_SECCOMP_STRICT)
        sbxi_policy_strict(policy);
    else
        sbxi_policy_default(policy, asked);
    if (r == 0 && asked->guarded)
        sbxi_policy_guard(policy);
    return r;
}

int sbxi_seccomp_pair(const struct sbxi_seccomp *asked,
                      struct sbxi_filter ret[2],
                      struct sbx_error *error)
{
    struct sbxi_filter built[2] = {{NULL, 0}, {NULL, 0}};
    struct sbxi_policy policy = {0};
    int r = make_policy(&policy, asked, error);
    bool said = r < 0;
    if (r == 0)
        r = build_arguments(asked, &built[0]);
    if (r == 0)
        r = build_numbers(&policy, &built[1]);
    sbxi_policy_free(&policy);
    if (r < 0) {
        free(built[0].code);
        return said ? r : sbxi_error(error, -r, "sandbox: seccomp filter: %s", strerror(-r));
    }
    ret[0] = built[0];
    ret[1] = built[1];
    return 0;
}

int sbxi_seccomp_build(const struct sbxi_seccomp *asked,
                       struct sbxi_filter ret[2],
                       struct sbx_error *error)
{
    struct sbxi_filter pair[2], one;
    int r = sbxi_seccomp_pair(asked, pair, error);
    if (r < 0)
        return r;
    if (sbxi_filter_merge(pair, &one) < 0) {
        ret[0] = pair[0];
        ret[1] = pair[1];
        return 0;
    }
    free(pair[0].code);
    free(pair[1].code);
    ret[0] = one;
    ret[1] = (struct sbxi_filter){NULL, 0};
    return 0;
}
