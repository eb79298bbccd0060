/* SPDX-License-Identifier: MIT */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Items of one size, gathered one by one; a NULL or zero one follows the last. */
struct run_list {
    void *items;
    size_t count, size;
};

/* False: no memory, the list is as it was. */
bool list_push(struct run_list *list, const void *item, size_t size);
bool list_push_text(struct run_list *list, const char *text);
/* Into a list of what to free: @memory, which is freed at once if it cannot be kept. False too if it is NULL. */
bool list_own(struct run_list *list, void *memory);
/* Frees a list of what to free, and what is in it. */
void list_free_owned(struct run_list *list);

#endif
