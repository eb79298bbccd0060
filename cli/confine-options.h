/* SPDX-License-Identifier: MIT */
#ifndef CLI_CONFINE_OPTIONS_H
#define CLI_CONFINE_OPTIONS_H

#include "json.h"
#include "run.h"

/* Options of `uds run` that say what a command may: capabilities, system calls, Landlock. */
#define CONFINE_OPTIONS(code)                                                                      \
    {"cap-add", required_argument, NULL, code}, {"cap-drop", required_argument, NULL, code},       \
        {"seccomp", required_argument, NULL, code}, {"seccomp-fd", required_argument, NULL, code}, \
        {"add-seccomp-fd", required_argument, NULL, code},                                         \
        {"landlock-ro", required_argument, NULL, code},                                            \
        {"landlock-rw", required_argument, NULL, code},                                            \
        {"landlock-connect", required_argument, NULL, code},                                       \
        {"landlock-bind", required_argument, NULL, code},                                          \
    {                                                                                              \
        "landlock-scope", required_argument, NULL, code                                            \
    }

#define CONFINE_OPTIONS_HELP                                                           \
    "  --cap-add CAP, --cap-drop CAP   capabilities, none by default; ALL\n"           \
    "  --seccomp default|strict|none|FILE   system calls; FILE: see uds-seccomp(5)\n"  \
    "  --seccomp-fd FD, --add-seccomp-fd FD   one more filter, BPF\n"                  \
    "  --landlock-ro PATH, --landlock-rw PATH   nothing else can be opened\n"          \
    "  --landlock-connect PORT|none, --landlock-bind PORT|none   no other TCP ports\n" \
    "  --landlock-scope abstract-sockets,signals   none of processes outside\n"

/* CLI_OK, or what to exit with after saying what is wrong. */
int run_confine_option(struct run_options *options, const char *name, const char *value);
/* After the last option: into the spec. */
void run_confine_finish(struct run_options *options);
void confine_options_free(struct confine_options *confine);

/* Rows and members of the report: what was granted. */
void cli_say_confinement(const struct sbx_report *report, FILE *out);
void cli_json_confinement(struct json *json, const struct sbx_report *report);

#endif
