/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTEND_H
#define CLI_ATTEND_H

#include <sbx/sandbox.h>
#include <stdint.h>

/*
 * Waiting for what was started (a sandbox, or a command in one), while signals and the terminal are passed on to it.
 *
 * Signals are blocked and read from a descriptor: those that ask a program something are handed to the command, which
 * lives in a session of its own and would not get them from the terminal. The third SIGINT or SIGTERM is not asked about.
 * What stops us (Ctrl-Z) stops the command as well, and goes on with it.
 */
struct attended {
    void *thing;
    int fd; /* poll for POLLIN, then @process */
    int (*timeout)(void *thing);
    int (*process)(void *thing, struct sbx_result *ret); /* 1 = ended, 0 = runs, -errno */
    int (*signal)(void *thing, int signo);
    int (*kill)(void *thing);
    int terminal; /* the other end of its terminal, -1 = none; ours */
    int more;     /* something else to poll for POLLIN, then @on_more; -1 = nothing */
    void (*on_more)(void *arg);
    void *arg;
};

/* Blocks the signals: before the start, so that none is lost. The descriptor, or -errno. */
int attend_open_signals(void);
/* 1 or -errno as @process. *@ret_asked: signals that came, by bit: what they did to the command was asked for. */
int attend(const struct attended *attended,
           int signals,
           struct sbx_result *ret,
           uint64_t *ret_asked);

#endif
