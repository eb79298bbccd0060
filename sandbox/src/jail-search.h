/* SPDX-License-Identifier: MIT */
#ifndef SBXI_JAIL_SEARCH_H
#define SBXI_JAIL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list of strings that it owns. */
struct sbxi_strings {
    char **v;
    size_t n;
};

int sbxi_strings_add(struct sbxi_strings *strings, const char *text); /* -ENOMEM */
bool sbxi_strings_has(const struct sbxi_strings *strings, const char *text);
void sbxi_strings_deinit(struct sbxi_strings *strings);

/*
 * Adds the directories of colon-separated @list, with $ORIGIN, $LIB and $PLATFORM (also ${…}) replaced; @origin is
 * the directory of the file that the list is from. Entries that are not absolute then are left out: they would mean
 * the payload's working directory.
 */
int sbxi_search_expand(
    struct sbxi_strings *dirs, const char *list, const char *origin, int bits, uint16_t machine);
/* Adds the directories of ld.so.conf at @path and of the files that it includes. */
int sbxi_search_conf(struct sbxi_strings *dirs, const char *path);
/* Adds where the loader looks at last: the multiarch directories of @machine, /lib64, /usr/lib64, /lib, /usr/lib. */
int sbxi_search_defaults(struct sbxi_strings *dirs, int bits, uint16_t machine);

#endif
