/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_HEAP_H
#define UDS_TEST_HEAP_H

#include <stddef.h>

/*
 * The heap as a test sees it: how often it was asked, and when it says no. Works in programs that are linked with
 * --wrap=malloc, calloc and realloc (uds_unit_test() of the part libuds), for the calls of what is linked into them
 * statically: libuds and the test itself, not libc's or libevent's own.
 */

/* Calls of malloc, calloc and realloc in this process since the start. */
size_t heap_count(void);

/* Call number @nth from now on (1: the next) fails, once; 0 takes that back. */
void heap_fail(size_t nth);

/* Has it failed meanwhile? */
int heap_has_failed(void);

#endif
