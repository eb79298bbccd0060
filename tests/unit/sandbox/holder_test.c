/* SPDX-License-Identifier: MIT */
/* The process that keeps a group's scope: it ends with who started it, until that one has written it down. */

#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

#include <sys/wait.h>

#include "guard.h"
#include "holder.h"

Test(holder, ends_when_its_starter_dies_before_it_is_kept, .timeout = 10)
{
    UDS_TEST_GUARD;
    int leash = -1, status = 0;
    pid_t pid = sbxi_holder_new(&leash);
    cr_assert_gt(pid, 0);
    close(leash); /* as the end of a process does */
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
}

Test(holder, stays_once_it_is_kept, .timeout = 10)
{
    UDS_TEST_GUARD;
    char byte;
    int leash = -1, status = 0;
    pid_t pid = sbxi_holder_new(&leash);
    cr_assert_gt(pid, 0);
    int seen = dup(leash);
    sbxi_holder_keep(&leash);
    cr_assert_eq(leash, -1);
    cr_assert_eq(read(seen, &byte, 1), 0, "it has let go, or is dead");
    close(seen);
    kill(pid, SIGTERM);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status), "it had ended by itself");
}

Test(holder, is_freed_with_its_leash)
{
    UDS_TEST_GUARD;
    int leash = -1;
    pid_t pid = sbxi_holder_new(&leash);
    cr_assert_gt(pid, 0);
    sbxi_holder_free(pid, &leash);
    cr_assert_eq(leash, -1);
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), -1);
}
