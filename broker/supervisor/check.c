/* SPDX-License-Identifier: MIT */
/*
 * Check: everything that can be known to be wrong before anything is made. The start runs it in
 * silence; `--check` prints the plan of each sandbox as it goes.
 */
#include "check.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include "launch.h"
#include "place.h"

int check_sandboxes(const struct stack *stack,
                    const struct vault *vault,
                    FILE *out,
                    struct sbx_error *error)
{
    struct launch launch = {.stack = stack, .link = -1, .redial = -1, .vault = vault};

    if (getrlimit(RLIMIT_NOFILE, &launch.nofile) < 0)
        return -errno;
    for (size_t i = 0; i < stack->nsandboxes + stack->ntemplates; i++) {
        sbx_plan *plan = NULL;
        int r;

        launch.waits = i >= stack->nsandboxes;
        launch.entry =
            launch.waits ? &stack->templates[i - stack->nsandboxes] : &stack->sandboxes[i];
        r = launch_check(stack, launch.entry, error);
        if (r < 0)
            return r;
        r = launch_plan(&plan, &launch, error);
        if (r < 0) {
            launch_name_sandbox(launch.entry, error);
            return r;
        }
        if (out)
            sbx_plan_print(plan, out);
        sbx_plan_free(plan);
    }
    return 0;
}

/* The only way to know is to make one; in a child, because there is no way back out of it. */
static int try_user_namespace(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER) < 0 ? errno : 0);
    if (pid < 0)
        return errno;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

int check_user_namespaces(struct sbx_error *error)
{
    int err = geteuid() == 0 ? 0 : try_user_namespace();
    const char *knob = "run as root";

    if (err == 0)
        return 0;
    if (err == ENOSPC || err == EUSERS)
        knob = "raise sysctl user.max_user_namespaces, or run as root";
    else if (err == EPERM || err == EACCES)
        knob = "allow them (sysctl kernel.unprivileged_userns_clone=1, or "
               "kernel.apparmor_restrict_unprivileged_userns=0), or run as root";
    error->err = err;
    snprintf(error->text, sizeof(error->text), "user namespaces: uid %u cannot make one: %s: %s",
             (unsigned)geteuid(), strerror(err), knob);
    return -err;
}

int supervisor_check(const struct supervisor_options *options, FILE *out, struct sbx_error *error)
{
    const struct stack *stack = options->stack;
    size_t n = options->nlisten ? options->nlisten : stack->listen.n;
    char standard[400];
    const char *chosen = options->run_dir ? options->run_dir : stack->run_dir;

    if (!chosen && place_default_run_dir(standard, sizeof(standard)) == 0)
        chosen = standard;
    fprintf(out, "router: %s\n", options->router);
    fprintf(out, "run directory: %s\n", chosen);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "listen: %s\n", options->nlisten ? options->listen[i] : stack->listen.v[i]);
    if (n == 0)
        fprintf(out, "listen: unix:%s/broker.sock\n", chosen);
    if (!stack->has_policy && geteuid() == 0)
        fputs("policy: none given: root may do everything\n", out);
    else if (!stack->has_policy)
        fprintf(out, "policy: none given: uid %u may do everything\n", (unsigned)geteuid());
    else
        fprintf(out, "policy: %zu rules\n", stack->nrules);
    struct vault vault;
    int r = vault_open(&vault, stack, error);

    if (r == 0)
        r = check_sandboxes(stack, &vault, out, error);
    vault_close(&vault);
    return r;
}
