/* SPDX-License-Identifier: MIT */
/* jailed PARSER FILE: a program parses a file that nobody trusts, in a jail that holds nothing but that file's descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <sbx/sandbox.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "jailed: %s\n", what);
    return 125;
}

/* How it ended, as an exit status: the parser's own, or 125 with a word. */
static int say(const struct sbx_result *result)
{
    switch (result->outcome) {
    case SBX_EXITED:
        return (int)result->value;
    case SBX_OOM:
        return fail("out of memory");
    case SBX_TIMEOUT:
        return fail("took too long");
    case SBX_SIGNALED:
        fprintf(stderr, "jailed: %s\n", strsignal((int)result->value));
        return 125;
    default:
        return fail(result->error.text);
    }
}

int main(int argc, char **argv)
{
    struct sbx_spec spec = SBX_SPEC_INIT; /* all namespaces, no capability, a seccomp filter */
    static struct sbx_error error;
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_plan *plan;
    sbx *s;

    if (argc != 3)
        return fail("usage: jailed /PATH/TO/PARSER FILE");
    int file = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail(strerror(errno));
    const char *const jail[] = {argv[1], NULL}, *const command[] = {argv[1], NULL};
    spec.argv = command;
    spec.root = SBX_ROOT_JAIL; /* the parser, its shared objects, and no other file */
    spec.jail = jail;
    spec.stdio[0] = file;
    spec.landlock_no_reopen = true; /* and what was opened for reading stays so */
    spec.stdio[1] = 1;
    spec.stdio[2] = 2;
    spec.limits.memory_bytes = 64 << 20;
    spec.limits.pids = 8;
    spec.timeout_ms = 2000;
    spec.degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE; /* an ordinary user may lack both */
    if (sbx_plan_new(&plan, &spec, &error) < 0)
        return fail(error.text);
    int r = sbx_start(&s, plan, NULL, &error);
    sbx_plan_free(plan);
    if (r < 0)
        return fail(error.text);
    r = sbx_wait(s, &result);
    sbx_free(s);
    return r < 0 ? fail(strerror(-r)) : say(&result);
}
