/* SPDX-License-Identifier: MIT */
#ifndef SBX_ERROR_H
#define SBX_ERROR_H

#include <stdbool.h>

#include <uds/version.h>

/*
 * What failed, on which thing, why, and what to do: what functions of libuds-sandbox tell beside the -errno that
 * they return. The caller has it, zeroed, and passes it by pointer; NULL where the number is enough. It is filled on
 * failure only.
 *
 * The text is one line in the words of the C library's strerror(3), "sandbox decoder: /srv/x: No such file or
 * directory; …", for people; what a program decides by is @err.
 */

UDS_BEGIN_DECLS

struct sbx_error {
    int err;         /* errno value, 0 = none */
    char text[1024]; /* one line: "what: thing: cause; knob" */
    bool exec;       /* everything was set up, and the payload's execve failed */
    bool step;       /* one of the plan's steps failed: text is "sandbox NAME: VERB THING: cause" */
};

UDS_END_DECLS

#endif
