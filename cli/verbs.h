/* SPDX-License-Identifier: MIT */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

/*
 * `uds VERB …`: one file a verb, each defining one `const struct verb verb_NAME`, listed in the table of main.c.
 *
 * A verb gets argv[0] = its own name. It parses with getopt_long(3), answers -h and --help with cli_help(), prints what
 * goes wrong with cli_error() — one line: what failed: on which thing: why: what to do — and returns an exit code.
 */

struct sbx_error;

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* something on this side: a file, an option's value that cannot be used */
    CLI_USAGE = 2,       /* the command line could not be understood */
    CLI_UNREACHABLE = 3, /* no broker at that address */
    CLI_REMOTE = 4,  /* the broker or the callee answered with a status; it is printed by name */
    CLI_TIMEOUT = 5, /* the time that the user gave is over */
};

struct verb {
    const char *name;
    const char *summary; /* half a line, for `uds --help` */
    const char *
        help; /* all of `uds VERB --help`, ends with a newline; has examples. NULL: run() is asked */
    const char
        *more_help; /* goes on where one literal would be too long for C (4095); may be NULL */
    int (*run)(int argc, char **argv);
};

extern const struct verb verb_bwrap;  /* bwrap.c */
extern const struct verb verb_cgroup; /* cgroup.c */
extern const struct verb verb_exec;   /* exec.c */
extern const struct verb verb_jail;   /* jail.c */
extern const struct verb verb_layer;  /* layer.c */
extern const struct verb verb_ls;
extern const struct verb verb_pub;
extern const struct verb verb_reply;
extern const struct verb verb_request;
extern const struct verb verb_run;     /* run.c */
extern const struct verb verb_sandbox; /* sandbox.c */
extern const struct verb verb_sub;
extern const struct verb verb_up;

/* Prints @verb's help on stdout. Returns CLI_OK. */
int cli_help(const struct verb *verb);
/* Prints "uds VERB: …" and a newline on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same and a pointer to --help. Returns CLI_USAGE, so that a verb can `return cli_usage(…)`. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the sandbox library said, or the name of -errno @r. Returns @code. */
int cli_fail(const struct sbx_error *error, int r, int code);
/* Returns @code. */
int cli_no_memory(int code);
/*
 * getopt_long() returned '?' or ':' (begin the short options with ':'; main() has set opterr to 0, so that it prints
 * nothing by itself): says which option of @argv. Returns CLI_USAGE.
 */
/* Right after getopt_long() has found a long option @name, or a short one. An option is spelled out: what is the beginning of one
 * today is that of two tomorrow, and glibc takes the first of several that have the same number. */
int cli_check_name(const char *name, char *const *argv);
int cli_bad_option(int c, char *const *argv);
/* Of main(): how the program prints. */
void cli_begin(void);
/* Of main(): runs @verb, whose name cli_error() prints. Returns the program's exit code. */
int cli_run(const struct verb *verb, int argc, char **argv);

#endif
