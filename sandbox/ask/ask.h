/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ASK_H
#define SBXI_ASK_H

#include <sbx/sandbox.h>
#include <stdint.h>

/*
 * What a program that is linked with musl lacks, it asks uds-sandbox-answer, which is linked with the machine's own C library
 * and with libseccomp. The question is the command line, the answer is on its standard output: this, then @lengths[0] bytes
 * and @lengths[1] bytes. With @err the first are the error's text.
 */
struct sbxi_answer {
    int32_t err;
    uint32_t lengths[2];
};

enum {
    SBXI_ANSWER_MAX = 1 << 20 /* bytes of each of the two */
};

/*
 * @argv: NULL at its end; [0] is the program's name. @ret: the two as malloc'ed memory, each with a NUL behind it. Returns 0,
 * or -errno with @error (may be NULL): of the answer, or that there was none. Waits for the program.
 */
int sbxi_ask(const char *const *argv,
             struct sbxi_answer *ret,
             char *ret_parts[2],
             struct sbx_error *error);

#define SBXI_ANSWERER "uds-sandbox-answer"

#endif
