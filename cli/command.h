/* SPDX-License-Identifier: MIT */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/rpc.h>

#define COMMAND_OUTPUT_MAX (16u << 20)

/*
 * The command that answers one request of `uds reply`: its standard input is a memfd with the request's body (so that
 * neither side can block the other), its standard output a pipe that we read as it comes.
 *
 *   running ── end of its output ──▶ ending ── command_reap() says true ──▶ ended
 *
 * Nothing here blocks: poll command_fd(), then command_read() while running, command_reap() while ending.
 */
struct command {
    pid_t pid;
    int pid_fd, out_fd; /* out_fd is -1 from the end of the output on */
    char *output;
    size_t len, room;
    uint32_t status; /* enum uds_status: why it failed, OK so far */
    char detail[128];
};

/* Runs @argv for @call. False: it could not be started, status and detail say why. The rest is called all the same. */
bool command_start(struct command *command, char **argv, const uds_rpc_call *call);
/* What to poll for POLLIN. */
int command_fd(const struct command *command);
bool command_is_running(const struct command *command);
/* Takes what there is of its output. */
void command_read(struct command *command);
/* The first @n bytes of output are done with. */
void command_drop(struct command *command, size_t n);
/* Has it ended? Then status and detail say how. */
bool command_reap(struct command *command);
/* Ends it with a status of ours. */
void command_kill(struct command *command, uint32_t status, const char *detail);
/* Kills it if it lives. */
void command_free(struct command *command);

#endif
