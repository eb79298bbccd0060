/* SPDX-License-Identifier: MIT */
/*
 * What the kernel takes long for and nobody needs at once is done by threads, while the first one makes the root:
 *
 *   - a network namespace with lo up: 0.45 ms;
 *   - the end of the old root: umount(2) takes it out of sight and then waits until every CPU has been seen idle or elsewhere
 *     (an RCU grace period), 0.1 ms, or till the other CPU is done with a network namespace.
 *
 * (Of a start of 4.3 ms, measured with two CPUs.) They are none of the C library's: they call the kernel alone (raw.h). All
 * share the directory that they are in; who changes it waits for them. They are gone before the steps that the kernel allows
 * only who is alone in its process. Where a limit of processes allows none, the first thread does it all.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init.h"
#include "kernel.h"
#include "raw.h"

#ifndef SIOCGSKNS /* <linux/sockios.h> */
#define SIOCGSKNS 0x894C
#endif

enum {
    STACK_BYTES = 8192,
    YIELDS = 8,
    CPU_WORDS = 128, /* 8192 CPUs, the most that kernels are made for */
    WORD_BITS = sizeof(unsigned long) * CHAR_BIT,
    PAUSE_US = 30,
    NETWORK_TID = 298, /* so that the payload is 2; whatever pid_max is, it is more */
    DETACH_TID
};

struct thread {
    atomic_uint tid; /* 0: it needs our memory no more, or never was */
    long number;     /* the same, and stays */
    long r;          /* -errno of what failed */
    const char *what;
    _Alignas(64) char stack[STACK_BYTES];
};

static struct {
    struct thread thread;
    bool begun, lo;
    long socket; /* in the namespace */
} network;

static struct {
    struct thread thread;
    int mounts; /* over the new root */
} old;

static bool alone;

/* It is new: what else can be set of its flags is not. */
static long lo_up(long socket)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    return sbxi_raw(SYS_ioctl, socket, SIOCSIFFLAGS, SBXI_POINTER(&request), 0, 0);
}

static long open_socket(void)
{
    return sbxi_raw(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0);
}

int init_loopback_up(void)
{
    long fd = open_socket(), r = fd < 0 ? fd : lo_up(fd);
    if (fd >= 0)
        close((int)fd);
    return (int)r;
}

static void make_network(struct thread *self)
{
    self->what = "new namespace";
    if ((self->r = sbxi_raw(SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0)) < 0)
        return;
    self->what = "a socket there";
    if ((self->r = network.socket = open_socket()) < 0)
        return;
    self->what = "lo";
    self->r = network.lo ? lo_up(network.socket) : 0;
}

static void detach(struct thread *self)
{
    for (int i = 0; i < old.mounts && self->r >= 0; i++)
        self->r = sbxi_raw(SYS_umount2, SBXI_POINTER("."), MNT_DETACH, 0, 0, 0);
}

static _Noreturn void leave(void)
{
    for (;;)
        sbxi_raw(SYS_exit, 0, 0, 0, 0, 0);
}

static _Noreturn void run_network(void *self)
{
    make_network(self);
    leave();
}

static _Noreturn void run_detach(void *self)
{
    detach(self);
    leave();
}

static bool begin(struct thread *thread, sbxi_raw_main *run, pid_t tid)
{
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
        .parent_tid = (uint64_t)(uintptr_t)&thread->tid,
        .child_tid = (uint64_t)(uintptr_t)&thread->tid,
        .stack = (uint64_t)(uintptr_t)thread->stack,
        .stack_size = sizeof thread->stack,
        .set_tid = (uint64_t)(uintptr_t)&tid,
        .set_tid_size = 1,
    };
    long r = alone ? -EAGAIN : sbxi_raw_clone(&args, sizeof args, run, thread);
    if (r < 0 && r != -EAGAIN) { /* in a pid namespace of others the number is not ours to say */
        args.set_tid = args.set_tid_size = 0;
        r = sbxi_raw_clone(&args, sizeof args, run, thread);
    }
    thread->number = r < 0 ? 0 : r;
    return r >= 0;
}

/* 0 or -errno of what it did. Its number is cleared before the thread is out of the process and of its cgroup's count, which the
 * next steps are refused for (EINVAL, EAGAIN). */
static int join(struct init *init, struct thread *thread)
{
    sbxi_raw_await(&thread->tid);
    while (thread->number && sbxi_raw(SYS_tgkill, getpid(), thread->number, 0, 0, 0) == 0)
        sched_yield();
    thread->number = 0;
    return thread->r < 0 ? init_fail(init, (int)-thread->r, "%s", thread->what) : 0;
}

/*
 * Where the thread has its turn, now. Left to the scheduler it may wait in our own CPU's queue till we sleep, and another's be
 * idle; or behind the network's, which the kernel does not interrupt. Only a hint: what cannot be done is left as it is.
 */
static void place(const struct thread *thread, bool here)
{
    unsigned long allowed[CPU_WORDS] = {0}, wanted[CPU_WORDS] = {0}, others = 0;
    unsigned cpu = 0;
    if (sbxi_raw(SYS_getcpu, SBXI_POINTER(&cpu), 0, 0, 0, 0) < 0 ||
        cpu >= sizeof allowed * CHAR_BIT ||
        sbxi_raw(SYS_sched_getaffinity, 0, sizeof allowed, SBXI_POINTER(allowed), 0, 0) < 0)
        return;
    for (size_t i = 0; i < CPU_WORDS; i++) {
        unsigned long own = i == cpu / WORD_BITS ? 1UL << cpu % WORD_BITS : 0;
        wanted[i] = here ? own : allowed[i] & ~own;
        others |= wanted[i];
    }
    if (!others)
        return;
    sbxi_raw(SYS_sched_setaffinity, thread->number, sizeof wanted, SBXI_POINTER(wanted), 0, 0);
    sbxi_raw(SYS_sched_setaffinity, thread->number, sizeof allowed, SBXI_POINTER(allowed), 0, 0);
}

void init_meanwhile_alone(void)
{
    alone = true;
}

void init_meanwhile_network(bool lo)
{
    network.begun = true;
    network.lo = lo;
    if (begin(&network.thread, run_network, NETWORK_TID))
        place(&network.thread, false);
    else
        make_network(&network.thread);
}

/* What lies over it is where its ".." leads: paths of steps would go astray, into a root of the host's. */
static bool is_covered(int root)
{
    struct statx here, up;
    return statx(root, "", AT_EMPTY_PATH, STATX_MNT_ID, &here) < 0 ||
           statx(root, "..", 0, STATX_MNT_ID, &up) < 0 || !(up.stx_mask & STATX_MNT_ID) ||
           here.stx_mnt_id != up.stx_mnt_id;
}

int init_meanwhile_detach(struct init *init, int mounts)
{
    old.mounts = mounts;
    old.thread.what = "detach of the old root"; /* from here on it is waited for */
    if (begin(&old.thread, run_detach, DETACH_TID))
        place(&old.thread, true);
    else
        detach(&old.thread);
    for (int i = 0; mounts > 0 && atomic_load(&old.thread.tid) && is_covered(init->root); i++)
        if (i < YIELDS)
            sched_yield(); /* a moment: the wait comes after */
        else
            usleep(PAUSE_US); /* on a busy CPU it has its turn sooner when we have nothing to do */
    return atomic_load(&old.thread.tid) ? 0 : init_meanwhile_wait(init); /* it may have failed */
}

int init_meanwhile_wait(struct init *init)
{
    if (!old.thread.what)
        return 0;
    int r = join(init, &old.thread);
    old.thread.what = NULL;
    return r < 0 ? r : chdir("/") < 0 ? -errno : 0;
}

/* Not by /proc, which may not be there. */
static int enter(struct init *init)
{
    struct stat st;
    int ns = ioctl((int)network.socket, SIOCGSKNS);
    if (ns < 0)
        return init_fail(init, errno, "a descriptor of it");
    int r = fstat(ns, &st) < 0 || setns(ns, CLONE_NEWNET) < 0 ? -errno : 0;
    close(ns);
    close((int)network.socket);
    init->net_ns = (uint64_t)st.st_ino;
    return r;
}

int init_meanwhile_enter_network(struct init *init)
{
    int r = join(init, &network.thread);
    network.begun = false;
    return r < 0 ? r : enter(init);
}

bool init_meanwhile_is_on(void)
{
    return network.begun || old.thread.what;
}
