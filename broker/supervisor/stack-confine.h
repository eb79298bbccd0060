/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STACK_CONFINE_H
#define SUPERVISOR_STACK_CONFINE_H

#include <sbx/sandbox.h>

#include "schema.h"

/*
 * What a stack entry says of capabilities, system calls and Landlock: the keys `capabilities`, `seccomp` and `landlock`
 * of uds-stack(5), as the options of uds-run(1).
 */

#define STACK_PORTS_MAX 64u

struct stack_ports {
    bool named;
    size_t n;
    uint16_t v[STACK_PORTS_MAX];
};

struct stack_confine {
    uint64_t capabilities;
    int seccomp; /* enum sbx_seccomp */
    char *seccomp_file;
    struct texts ro, rw;
    struct stack_ports connect, bind;
    uint32_t scope;
};

/* Readers of the three keys; field: struct stack_confine. */
schema_reader stack_read_capabilities, stack_read_seccomp, stack_read_landlock;

void stack_confine_clear(struct stack_confine *confine);
/* @spec borrows from @confine. */
void stack_confine_apply(const struct stack_confine *confine, struct sbx_spec *spec);

#endif
