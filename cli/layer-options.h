/* SPDX-License-Identifier: MIT */
#ifndef CLI_LAYER_OPTIONS_H
#define CLI_LAYER_OPTIONS_H

#include "run.h"

/* Options of `uds run` for a root that is made of directories. */
/* clang-format off */
#define LAYER_OPTIONS(code)                   \
    {"layer", required_argument, NULL, code}, \
    {"upper", required_argument, NULL, code}, \
    {"chroot", no_argument, NULL, code}
/* clang-format on */

#define LAYER_OPTIONS_HELP                                                               \
    "  --layer DIR          a directory as root, above those before it and --root DIR\n" \
    "  --upper DIR|tmpfs    what is written over them; without it nothing can be\n"      \
    "  --chroot             enter the root by chroot(2), where pivot_root(2) cannot be\n"

/* All of it: CLI_OK, or what to exit with after saying what is wrong. */
int run_layer_option(struct run_options *options, const char *name, const char *value);
/* --root DIR: the lowest */
int run_set_base(struct run_options *options, const char *directory);
/* After the last option. */
int run_end_layers(struct run_options *options);

#endif
