/* SPDX-License-Identifier: MIT */
#ifndef CLI_FOREIGN_OPTIONS_H
#define CLI_FOREIGN_OPTIONS_H

/* What @word, which is no option of `uds run` but may be one of bubblewrap, nsjail, systemd-run or docker, is here. NULL: it
 * is none of theirs that anybody would look for. */
const char *foreign_option_hint(const char *word);

#endif
