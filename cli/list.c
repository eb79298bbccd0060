/* SPDX-License-Identifier: MIT */
/* See list.h. */
#include "list.h"

#include <stdlib.h>
#include <string.h>

bool list_push(struct run_list *list, const void *item, size_t size)
{
    char *grown = reallocarray(list->items, list->count + 2, size);
    if (grown == NULL)
        return false;
    list->items = grown;
    memcpy(grown + list->count * size, item, size);
    list->count++;
    memset(grown + list->count * size, 0, size);
    return true;
}

bool list_push_text(struct run_list *list, const char *text)
{
    return list_push(list, &text, sizeof text);
}

bool list_own(struct run_list *list, void *memory)
{
    if (memory != NULL && list_push(list, &memory, sizeof memory))
        return true;
    free(memory);
    return false;
}

void list_free_owned(struct run_list *list)
{
    void **owned = list->items;
    for (size_t i = 0; i < list->count; i++)
        free(owned[i]);
    free(list->items);
    *list = (struct run_list){0};
}
