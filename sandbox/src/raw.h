/* SPDX-License-Identifier: MIT */
#ifndef SBXI_RAW_H
#define SBXI_RAW_H

/*
 * System calls that touch no memory but what they are told to: no errno, no thread's state. For a process that shares its
 * memory with a thread that runs on (birth.h). Each gives what the kernel does: -errno on failure.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/syscall.h>

#define SBXI_POINTER(p) ((long)(intptr_t)(p)) /* as an argument */

struct clone_args;
typedef void sbxi_raw_main(void *arg); /* does not return */

#if defined(__x86_64__)
#define SBXI_RAW 1
static inline long sbxi_raw(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = 0;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

/* clone3 of @size bytes of arguments, with a stack of its own. Not in C: the child returns to a stack where there is nothing to
 * return to. */
static inline long sbxi_raw_clone(struct clone_args *args, long size, sbxi_raw_main *run, void *arg)
{
    long ret;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "movq %[arg], %%rdi\n\t"
                     "call *%[run]\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(ret)
                     : "a"((long)SYS_clone3), "D"(args), "S"(size), [arg] "r"(arg), [run] "r"(run)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}
#elif defined(__aarch64__)
#define SBXI_RAW 1
static inline long sbxi_raw(long number, long a, long b, long c, long d, long e)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = 0;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static inline long sbxi_raw_clone(struct clone_args *args, long size, sbxi_raw_main *run, void *arg)
{
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = size;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, %[arg]\n\t"
                     "blr %[run]\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [arg] "r"(arg), [run] "r"(run)
                     : "memory", "cc", "x30");
    return x0;
}
#else
#define SBXI_RAW 0 /* the C library's: such a process has a copy of its own */
static inline long sbxi_raw(long number, long a, long b, long c, long d, long e)
{
    long r = syscall(number, a, b, c, d, e, 0L);
    return r < 0 ? -errno : r;
}

static inline long sbxi_raw_clone(struct clone_args *args, long size, sbxi_raw_main *run, void *arg)
{
    (void)args;
    (void)size;
    (void)run;
    (void)arg;
    return -ENOSYS;
}
#endif

/* Until the kernel has cleared *@tid (CLONE_CHILD_CLEARTID). Not a private futex: what the kernel wakes then is none either. */
static inline void sbxi_raw_await(atomic_uint *tid)
{
    unsigned now;
    while ((now = atomic_load(tid)))
        sbxi_raw(SYS_futex, SBXI_POINTER(tid), FUTEX_WAIT, now, 0, 0);
}

#endif
