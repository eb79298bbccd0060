/* SPDX-License-Identifier: MIT */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

/* What descriptors are told of a sandbox, in bubblewrap's words (--info-fd, --json-status-fd). False: errno says why. */

bool status_write(int fd, const char *text);
/* Who its first process is, and those namespaces of @isolate that it has by now. @between and @end: an object over several
 * lines, or in one. */
bool status_write_born(int fd,
                       const struct sbx_report *report,
                       uint32_t isolate,
                       const char *begin,
                       const char *between,
                       const char *end);
#define status_write_info(fd, report, isolate) \
    status_write_born(fd, report, isolate, "{\n    ", "\n    ", "\n}\n")
#define status_write_line(fd, report, isolate) \
    status_write_born(fd, report, isolate, "{ ", " ", " }\n")

#endif
