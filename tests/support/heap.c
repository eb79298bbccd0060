/* SPDX-License-Identifier: MIT */

#include "heap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static atomic_size_t calls;
static atomic_size_t fail_at; /* the value of calls at which one fails, 0 never */
static atomic_bool failed;

size_t heap_count(void)
{
    return calls;
}

void heap_fail(size_t nth)
{
    failed = false;
    fail_at = nth > 0 ? calls + nth : 0;
}

int heap_has_failed(void)
{
    return failed;
}

static bool refuse(void)
{
    if (atomic_fetch_add(&calls, 1) + 1 != fail_at)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return refuse() ? NULL : __real_realloc(block, size);
}
