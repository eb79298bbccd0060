/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_NOFILE_H
#define UDS_TEST_NOFILE_H

#include <sys/resource.h>

/*
 * Sets how many descriptors this process may have (the soft RLIMIT_NOFILE) and returns what it was before; aborts where that
 * is not to be had. Asked for by the id of another thread than the first: a limit that a process sets for itself is kept from
 * the kernel by valgrind, whose accept(2) then loses what it took.
 */
rlim_t nofile_set(rlim_t soft);

/* The lowest descriptor that is free. With this as limit there is none. */
rlim_t nofile_next(void);

#endif
