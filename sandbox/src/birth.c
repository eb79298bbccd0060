/* SPDX-License-Identifier: MIT */
#include "birth.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/prctl.h>

#include "kernel.h"
#include "raw.h"

enum {
    STACK_BYTES = 32768,
    ALIGNMENT = 16 /* what the ABIs of both processors ask of a stack */
};

/* The child's descriptors, its path and its stack lie behind. */
struct sbxi_birth {
    struct sbxi_child child;
};

/* Of all threads: what is dumpable is the process's memory. Where no child changes its ids, it stays as the program says. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned births;
static int dumpable;

static void begin(void)
{
    pthread_mutex_lock(&lock);
    if (births++ == 0)
        dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
}

static void end(void)
{
    pthread_mutex_lock(&lock);
    if (--births == 0 && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    pthread_mutex_unlock(&lock);
}

/* AddressSanitizer knows the stacks of threads alone. */
bool sbxi_birth_can_share(void)
{
#ifdef UDS_SANITIZED
    return false;
#else
    return SBXI_RAW;
#endif
}

static size_t align(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct sbxi_birth *copy(const struct sbxi_child *child, void **ret_stack)
{
    size_t numbers = child->nfds * sizeof *child->fds;
    size_t path = child->program_path ? strlen(child->program_path) + 1 : 0;
    size_t head = align(sizeof(struct sbxi_birth) + 2 * numbers + path);
    char *memory = aligned_alloc(ALIGNMENT, head + STACK_BYTES);
    if (!memory)
        return NULL;
    struct sbxi_birth *birth = (struct sbxi_birth *)(void *)memory;
    char *at = memory + sizeof *birth;
    birth->child = *child;
    birth->child.fds = memcpy(at, child->fds, numbers);
    birth->child.spare = (int *)(void *)(at + numbers);
    if (path)
        birth->child.program_path = memcpy(at + 2 * numbers, child->program_path, path);
    *ret_stack = memory + head;
    return birth;
}

/* Not in C: the child returns to a stack where there is nothing to return to. */
static long clone_and_run(struct clone_args *args, const struct sbxi_child *child)
{
#if defined(__x86_64__)
    long ret;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "movq %[child], %%rdi\n\t"
                     "call *%[run]\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(ret)
                     : "a"((long)SYS_clone3), "D"(args),
                       "S"(sizeof *args), [child] "r"(child), [run] "r"(sbxi_child_run)
                     : "rcx", "r11", "memory", "cc");
    return ret;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)sizeof *args;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, %[child]\n\t"
                     "blr %[run]\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [child] "r"(child), [run] "r"(sbxi_child_run)
                     : "memory", "cc", "x30");
    return x0;
#else
    (void)args;
    (void)child;
    return -ENOSYS;
#endif
}

long sbxi_birth_clone(struct sbxi_birth **ret,
                      struct clone_args *args,
                      const struct sbxi_child *child)
{
    void *stack;
    struct sbxi_birth *birth = copy(child, &stack);
    if (!birth)
        return -ENOMEM;
    args->flags |= CLONE_VM;
    args->stack = (uint64_t)(uintptr_t)stack;
    args->stack_size = STACK_BYTES;
    if (child->become_root)
        begin();
    long pid = clone_and_run(args, &birth->child);
    if (pid < 0)
        sbxi_birth_over(birth);
    else
        *ret = birth;
    return pid;
}

struct sbxi_birth *sbxi_birth_over(struct sbxi_birth *birth)
{
    if (birth && birth->child.become_root)
        end();
    free(birth);
    return NULL;
}
