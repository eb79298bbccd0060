/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STACK_VALUES_H
#define SUPERVISOR_STACK_VALUES_H

#include "schema.h"

/*
 * The values of a stack file that mean the same wherever they stand, and how the tables of stack-yaml.c and
 * stack-rules.c are written.
 */

/* ---- texts: @arg of schema_read_text() and schema_read_texts() ---- */

const char *stack_check_sandbox_name(const char *text);

extern const schema_text_check stack_absolute, stack_upper, stack_sandbox_name;
extern const struct schema_texts stack_addresses, stack_subjects, stack_paths, stack_jailed;

/* ---- readers: behind each the type of *field ---- */

schema_reader stack_read_command;  /* struct texts */
schema_reader stack_read_env;      /* struct texts, "NAME=VALUE" */
schema_reader stack_read_secrets;  /* struct stack_secrets */
schema_reader stack_read_listen;   /* struct texts, "NAME=ADDRESS" */
schema_reader stack_read_percent;  /* uint32_t */
schema_reader stack_read_bytes;    /* uint64_t */
schema_reader stack_read_memory;   /* uint64_t; enough for a process */
schema_reader stack_read_rate;     /* uint64_t; bytes a second */
schema_reader stack_read_duration; /* int; ms */
schema_reader stack_read_offset;   /* int64_t; ns */
schema_reader stack_read_net;      /* struct sbx_net */
schema_reader
    stack_read_control; /* struct sbx_limits; @arg: the control's name on a command line */

/* ---- tables ---- */

#define STACK_TABLE(array)                        \
    {                                             \
        (array), sizeof(array) / sizeof(array[0]) \
    }
/* A key that is called as its member is. */
#define STACK_FIELD(type, member, reader, arg)              \
    {                                                       \
#member, reader, offsetof(type, member), arg, false \
    }
#define STACK_VERB(type, verb)                                                       \
    {                                                                                \
#verb, schema_read_texts, offsetof(type, verbs.verb), &stack_subjects, false \
    }

#endif
