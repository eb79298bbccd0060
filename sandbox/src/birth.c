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

/* The child's descriptors, its cgroups', its path and its stack lie behind. */
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
    size_t numbers = child->nfds * sizeof *child->fds, joins = child->njoins * sizeof *child->joins;
    size_t path = child->program_path ? strlen(child->program_path) + 1 : 0;
    size_t head = align(sizeof(struct sbxi_birth) + 2 * numbers + joins + path);
    char *memory = aligned_alloc(ALIGNMENT, head + STACK_BYTES);
    if (!memory)
        return NULL;
    struct sbxi_birth *birth = (struct sbxi_birth *)(void *)memory;
    char *at = memory + sizeof *birth;
    birth->child = *child;
    birth->child.fds = memcpy(at, child->fds, numbers);
    birth->child.spare = (int *)(void *)(at + numbers);
    at += 2 * numbers;
    if (joins)
        birth->child.joins = memcpy(at, child->joins, joins);
    if (path)
        birth->child.program_path = memcpy(at + joins, child->program_path, path);
    *ret_stack = memory + head;
    return birth;
}

static _Noreturn void run(void *child)
{
    sbxi_child_run(child);
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
    long pid = sbxi_raw_clone(args, sizeof *args, run, &birth->child);
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
