/* SPDX-License-Identifier: MIT */
#ifndef UDSI_POISON_H
#define UDSI_POISON_H

/* Memory that waits to be used again: AddressSanitizer shall see whoever still uses it. */

#if defined(__SANITIZE_ADDRESS__)
#define UDSI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UDSI_ASAN 1
#endif
#endif

#ifdef UDSI_ASAN
#include <sanitizer/asan_interface.h>
#define UDSI_HIDE(block, size) ASAN_POISON_MEMORY_REGION(block, size)
#define UDSI_SHOW(block, size) ASAN_UNPOISON_MEMORY_REGION(block, size)
#else
#define UDSI_HIDE(block, size) ((void)0)
#define UDSI_SHOW(block, size) ((void)0)
#endif

#endif
