/* SPDX-License-Identifier: MIT */
/* What the payload's terminal is like at first: as the one that its user sits at, or as a terminal is by default. */

#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include "error.h"
#include "plan.h"

int sbxi_terminal_read(struct sbxi_terminal *ret, int like)
{
    memset(ret, 0, sizeof *ret);
    ret->size = (struct winsize){.ws_row = 24, .ws_col = 80};
    if (like < 0)
        return 0;
    if (tcgetattr(like, &ret->modes) < 0)
        return -errno;
    ret->has_modes = 1;
    struct winsize size;
    if (ioctl(like, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        ret->size = size;
    return 0;
}

int sbxi_plan_terminal(sbx_plan *plan, int like, struct sbx_error *error)
{
    struct sbxi_terminal terminal;
    int r = sbxi_terminal_read(&terminal, like);
    if (r < 0)
        return sbxi_error(error, -r,
                          "sandbox %s: terminal: descriptor %d is no terminal: %s; name one, or -1",
                          plan->name, like, strerror(-r));
    sbxi_plan_add_bytes(plan, SBXI_TERMINAL, &terminal, sizeof terminal, NULL, 0);
    return 0;
}
