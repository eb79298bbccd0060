/* SPDX-License-Identifier: MIT */
#include "life-options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>

#include "status.h"
#include "terminal.h"
#include "value.h"
#include "verbs.h"

static int bad(const char *option, const char *value, const char *why)
{
    return cli_usage("--%s %s: %s", option, value, why);
}

static int set_fd(const char *option, const char *value, int *ret)
{
    unsigned long number;
    bool block = strcmp(option, "block-fd") == 0;
    if (parse_number(value, 0, INT_MAX, &number) < 0)
        return bad(option, value, "is not the number of a descriptor");
    if (fcntl((int)number, F_GETFD) < 0)
        return bad(option, value, "is not open here");
    int access = fcntl((int)number, F_GETFL) & O_ACCMODE;
    if (access == (block ? O_WRONLY : O_RDONLY))
        return bad(option, value, block ? "cannot be read" : "cannot be written");
    *ret = (int)number;
    return CLI_OK;
}

int life_option(struct life_options *o, struct sbx_spec *spec, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"pty", &o->terminal}, {"report", &o->report}, {"die-with-parent", &o->die_with_parent}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].flag = true;
            return CLI_OK;
        }
    if (strcmp(name, "info-fd") == 0)
        return set_fd(name, value, &o->info);
    if (strcmp(name, "json-status-fd") == 0)
        return set_fd(name, value, &o->status);
    if (strcmp(name, "block-fd") == 0)
        return set_fd(name, value, &o->block);
    bool grace = strcmp(name, "grace") == 0;
    int *duration = grace ? &spec->grace_ms : &spec->timeout_ms;
    if (parse_duration(value, duration) < 0 || (*duration == 0 && !grace))
        return bad(name, value,
                   grace ? "is not a duration, as 10s, 500ms or 0"
                         : "is not a duration above 0, as 10s or 500ms");
    return CLI_OK;
}

/* Between clone and the first instruction: who configures it from outside does so now. */
static int on_born(const struct sbx_report *report, void *userdata)
{
    const struct life_options *o = userdata;
    struct pollfd fds[2] = {{.fd = o->block, .events = POLLIN},
                            {.fd = o->signals, .events = POLLIN}};
    char byte;
    if (o->info >= 0 && !status_write_info(o->info, report, o->isolate))
        return -errno;
    if (o->status >= 0 && !status_write_line(o->status, report, o->isolate))
        return -errno;
    if (o->info > 2 && o->info != o->status)
        (void)close(o->info); /* its end is the sign that it is whole */
    while (o->block >= 0 && poll(fds, 2, -1) >= 0) {
        if (fds[1].revents)
            return -EINTR;
        if (fds[0].revents)
            return read(o->block, &byte, 1) < 0 ? -errno : 0;
    }
    return 0;
}

int life_begin(struct life_options *o, int signals)
{
    pid_t parent = getppid();
    o->signals = signals;
    if (o->info >= 0 || o->status >= 0)
        (void)signal(SIGPIPE, SIG_IGN); /* who does not listen ends nothing by it */
    if (!o->die_with_parent)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return getppid() == parent ? 0 : -ESRCH;
}

int life_options_end(struct life_options *o, struct sbx_spec *spec)
{
    /* Init makes these two namespaces later. */
    o->isolate = spec->isolate & ~(uint32_t)(SBX_NS_CGROUP | SBX_NS_TIME);
    if (o->info >= 0 || o->status >= 0 || o->block >= 0) {
        spec->on_born = on_born;
        spec->userdata = o;
    }
    if (!o->terminal)
        return CLI_OK;
    if (!isatty(0))
        return cli_usage("--pty: standard input is no terminal: leave out --pty");
    spec->terminal = true;
    spec->terminal_like =
        terminal_in_background() ? -1 : 0; /* there its modes are those of who is in front */
    return CLI_OK;
}
