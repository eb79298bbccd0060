/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STACK_H
#define SUPERVISOR_STACK_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema.h"
#include "stack-confine.h"

/*
 * The data model of a stack file: what was written, checked as a whole, nothing resolved. See
 * stack.c; docs/man/uds-stack.5.
 */

#define STACK_SANDBOXES_MAX 256u
#define STACK_RULES_MAX     1024u
#define STACK_READY_MS      90000 /* for READY=1, where notify says nothing else; as systemd has it */
#define STACK_LISTEN_MAX    24u   /* beside a full store of descriptors all can be passed */

enum stack_restart {
    STACK_RESTART_NO = 0,
    STACK_RESTART_ON_FAILURE,
    STACK_RESTART_ALWAYS,
};

enum stack_stdio {
    STACK_STDIO_INHERIT = 0, /* stdout and stderr go to the broker's stderr */
    STACK_STDIO_NULL,
};

struct stack_fds {
    uint32_t send, receive; /* enum uds_fd_kind bits */
    unsigned line;          /* 0 = not given */
};

struct stack_quota { /* 0 = the router's default */
    uint32_t connections, subscriptions, pending_calls, queued_fds, messages_per_second;
    uint64_t queued_bytes;
};

struct stack_clocks { /* of a time namespace: ns ahead */
    int64_t monotonic, boottime;
    unsigned line; /* 0 = not given */
};

struct stack_secret {
    char *name, *source; /* as sbx/secret.h has them */
    unsigned line, column;
};

struct stack_secrets {
    struct stack_secret *v;
    size_t n;
};

struct stack_verbs {
    struct texts publish, subscribe, call, serve; /* subject patterns */
};

struct stack_sandbox {
    char *name;
    unsigned line;
    struct texts command;
    uint32_t isolate; /* enum sbx_ns bits */
    struct stack_clocks clocks;
    struct sbx_net net;
    struct texts jail;   /* not empty = SBX_ROOT_JAIL */
    struct texts layers; /* above @dir, the lowest first; either = SBX_ROOT_LAYERS */
    char *dir, *upper;   /* "tmpfs", or a path; NULL = not given */
    bool chroot;
    struct texts env; /* "K=V" */
    struct stack_secrets secrets;
    struct texts listen; /* "NAME=ADDRESS" */
    struct sbx_limits limits;
    struct stack_confine confine;
    struct stack_verbs verbs;
    struct stack_fds fds;
    int restart;      /* enum stack_restart */
    int stdio;        /* enum stack_stdio */
    uint32_t degrade; /* enum sbx_degrade bits */
    uint32_t uid;     /* inside; UINT32_MAX = not given */
    bool id_range;    /* those of /etc/subuid, where we are not root */
    int timeout_ms;   /* -1 = none */
    bool notify;
    int ready_ms, watchdog_ms; /* either, or @fdstore, asks for @notify too; 0 = not given */
    uint32_t fdstore;          /* 0 = none */
    uint32_t warm;             /* so many wait for its next starts; 0 = none */
};

static inline bool stack_has_layers(const struct stack_sandbox *entry)
{
    return entry->layers.n > 0 || entry->dir;
}

struct stack_rule {
    unsigned line, column;
    uint32_t uid, gid; /* UINT32_MAX = not given */
    char *sandbox;     /* NULL = not given */
    bool any;
    bool deny, admin;
    struct stack_verbs verbs;
    struct stack_fds fds;
};

struct stack {
    char *file; /* NULL = no stack file: defaults */
    struct texts listen;
    char *run_dir; /* NULL = default */
    struct stack_quota quota;
    struct stack_sandbox *sandboxes;
    size_t nsandboxes;
    struct stack_sandbox *templates; /* of what is started by request; without a command */
    size_t ntemplates;
    unsigned waiting; /* `warm:` of all of them together */
    struct stack_rule *rules;
    size_t nrules;
    bool has_policy;
};

/* What holds when no stack file is given. 0 or -ENOMEM. */
int stack_new(struct stack **ret);
struct stack *stack_free(struct stack *stack);

/*
 * From text; @file is named in errors and in the labels of rules. 0 or -errno with @error
 * "FILE:LINE:COLUMN: field …".
 */
int stack_parse(
    struct stack **ret, const char *file, const char *text, size_t len, struct sbx_error *error);
/* The same from a file that passes trust_open(). */
int stack_load(struct stack **ret, const char *file, struct sbx_error *error);

const struct stack_sandbox *stack_find_sandbox(const struct stack *stack, const char *name);

/* The tables of stack-yaml.c. */
int stack_read_document(struct stack *stack, const struct node *root, struct sbx_error *error);

#endif
