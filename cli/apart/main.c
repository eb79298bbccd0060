/* SPDX-License-Identifier: MIT */
/* uds-ls: the one verb that needs more than the C library, where `uds` is linked with musl. apart/ls.c becomes it. */
#include "verbs.h"

int main(int argc, char **argv)
{
    cli_begin();
    return cli_run(&verb_ls, argc, argv);
}
