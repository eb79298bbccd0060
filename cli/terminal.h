/* SPDX-License-Identifier: MIT */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

/*
 * Our terminal (descriptors 0 and 1) passed on to one that is inside a sandbox, of which we hold the other end. Keys are
 * passed raw: Ctrl-C and Ctrl-Z mean there what they mean there. Three times Ctrl-] within a second is for us.
 *
 *   unused ── begin ──▶ passing ── end ──▶ unused        passing ◀── suspend, resume ──▶ our terminal as it was
 */
enum {
    TERMINAL_FDS = 3,
    TERMINAL_CHUNK = 4096 /* PIPE_BUF: what a pipe takes without blocking after POLLOUT */
};

struct terminal_queue { /* [from, to) of bytes is still to be written */
    size_t from, to;
    char bytes[TERMINAL_CHUNK];
};

struct terminal {
    bool used;
    int master;           /* -1: hung up */
    int peer;             /* its other end: while one is open somewhere, reading is no error */
    bool raw;             /* @saved is to be restored */
    bool out_closed;      /* nobody reads what we print */
    struct termios saved; /* of descriptor 0 */
    struct terminal_queue in, out;
    unsigned escapes;   /* Ctrl-] so far */
    uint64_t escape_at; /* ms: the first of them */
};

enum terminal_event {
    TERMINAL_GOES_ON = 0,
    TERMINAL_ESCAPED
};

/* Descriptor 0 is the terminal of our session, and somebody else's turn to use. */
bool terminal_in_background(void);
/*
 * Then a command of a session of its own must not have it as standard input, but /dev/null: reading would not stop it, as
 * it would us, and take what is typed for whoever is in front.
 */
void terminal_leave(void);
/* Takes @master; -1: there is none, and the rest does nothing. */
void terminal_begin(struct terminal *terminal, int master);
bool terminal_is_used(const struct terminal *terminal);
/* What to poll for. */
void terminal_want(const struct terminal *terminal, struct pollfd fds[TERMINAL_FDS]);
enum terminal_event terminal_pass_on(struct terminal *terminal,
                                     const struct pollfd fds[TERMINAL_FDS]);
/* Ours has another size. */
void terminal_resize(struct terminal *terminal);
void terminal_suspend(struct terminal *terminal);
void terminal_resume(struct terminal *terminal);
/* Prints what is still there, restores ours, closes the other. */
void terminal_end(struct terminal *terminal);

#endif
