/* SPDX-License-Identifier: MIT */
/* Policies from files: what they say holds, and what they cannot mean is said with its line. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/syscall.h>

#include "ask.h"
#include "guard.h"

static int
read_policy(const char *text, uint64_t caps, struct sbxi_filter ret[2], struct sbx_error *error)
{
    char path[] = "/tmp/seccomp-XXXXXX";
    const struct sbxi_seccomp asked = {.profile = SBX_SECCOMP_FILE, .file = path, .caps = caps};
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    memset(error, 0, sizeof *error);
    int r = sbxi_seccomp_build(&asked, ret, error);
    unlink(path);
    return r;
}

static void accept_policy(const char *text, struct sbxi_filter ret[2])
{
    struct sbx_error error;
    cr_assert_eq(read_policy(text, 0, ret, &error), 0, "%s", error.text);
}

static void refuse_policy(const char *text, const char *words)
{
    struct sbxi_filter f[2];
    struct sbx_error error;
    cr_assert_eq(read_policy(text, 0, f, &error), -EINVAL, "%s", text);
    cr_assert(strstr(error.text, words), "\"%s\" does not say \"%s\"", error.text, words);
}

Test(seccomp_file, changes_the_default_profile)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    accept_policy("# nothing but comments\n\n  deny socket socketpair EAFNOSUPPORT # no network\n"
                  "kill ptrace\nallow mount 452\n",
                  f);
    cr_assert_eq(ASK(f, SYS_socket, 2), EAFNOSUPPORT);
    cr_assert_eq(ASK(f, SYS_socketpair, 1), EAFNOSUPPORT);
    cr_assert_eq(ASK(f, SYS_ptrace, 0), -1);
    cr_assert_eq(ASK(f, SYS_mount, 0), 0);
    cr_assert_eq(ASK(f, 452, 0), 0, "fchmodat2, by its number");
    cr_assert_eq(ASK(f, SYS_read, 0), 0);
    cr_assert_eq(ASK(f, SYS_bpf, 0), EPERM);
    cr_assert_eq(ASK(f, SYS_clone3, 0), ENOSYS);
    discard(f);
    accept_policy("", f);
    cr_assert_eq(ASK(f, SYS_read, 0), 0, "an empty file changes nothing");
    discard(f);
}

Test(seccomp_file, begins_with_nothing)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    accept_policy(
        "base none\notherwise kill\nallow read write ioctl clone\nallow exit_group\ndeny write\n",
        f);
    cr_assert_eq(ASK(f, SYS_read, 0), 0);
    cr_assert_eq(ASK(f, SYS_write, 0), EPERM, "the later line");
    cr_assert_eq(ASK(f, SYS_openat, 0), -1);
    cr_assert_eq(ASK(f, SYS_ioctl, 0, 0x5412), EPERM, "TIOCSTI, whatever it says of ioctl");
    cr_assert_eq(ASK(f, SYS_clone, 0x10000000), EPERM, "a namespace, whatever it says of clone");
    cr_assert_eq(ask_as(f, FOREIGN, &(struct seccomp_data){.nr = 20}), -1);
    discard(f);
    accept_policy("base strict\nallow openat", f);
    cr_assert_eq(ASK(f, SYS_openat, 0, 0, 0102), 0, "with any argument");
    cr_assert_eq(ASK(f, SYS_socket, 1), EPERM);
    discard(f);
    accept_policy("base none\notherwise allow\ndeny uname ENOENT\r\n", f);
    cr_assert_eq(ASK(f, SYS_uname, 0), ENOENT);
    cr_assert_eq(ASK(f, SYS_bpf, 0), 0);
    discard(f);
}

Test(seccomp_file, says_where_it_makes_no_sense)
{
    UDS_TEST_GUARD;
    refuse_policy("allow read\nallow raed\n", ":2: 'raed' is no system call");
    refuse_policy("allow 99999999\n", ":1: '99999999' is no system call");
    refuse_policy("forbid read\n", ":1: 'forbid' is not base, otherwise, allow");
    refuse_policy("allow read\nbase none\n", ":2: base is one of");
    refuse_policy("base lenient\n", "base lenient: is not default, strict or none");
    refuse_policy("otherwise maybe\n", "an error as ENOSYS");
    refuse_policy("allow\n", "names no system call");
    refuse_policy("deny EPERM\n", "names no system call");
}

#define DOCKER                                                                                  \
    "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38, \"archMap\": "            \
    "[{\"architecture\":"                                                                       \
    " \"SCMP_ARCH_X86_64\", \"subArchitectures\": [\"SCMP_ARCH_X86\"]}],\n \"syscalls\": [\n"   \
    "{\"names\": [\"read\", \"write\", \"not_a_call_of_any_machine\"], \"action\": "            \
    "\"SCMP_ACT_ALLOW\","                                                                       \
    " \"args\": null, \"comment\": \"a \\\"quoted\\\" one\", \"includes\": {}, \"excludes\": "  \
    "{}},\n"                                                                                    \
    "{\"names\": [\"mount\"], \"action\": \"SCMP_ACT_ALLOW\", \"includes\": {\"caps\": "        \
    "[\"CAP_SYS_ADMIN\"]}},\n"                                                                  \
    "{\"names\": [\"clone\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, "       \
    "\"value\": 2114060288,"                                                                    \
    " \"valueTwo\": 0, \"op\": \"SCMP_CMP_MASKED_EQ\"}], \"excludes\": {\"caps\": "             \
    "[\"CAP_SYS_ADMIN\"]}},\n"                                                                  \
    "{\"names\": [\"personality\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, " \
    "\"value\": 8,"                                                                             \
    " \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 0, \"op\": \"SCMP_CMP_EQ\"}]},\n"     \
    "{\"names\": [\"ptrace\"], \"action\": \"SCMP_ACT_ALLOW\", \"includes\": {\"minKernel\": "  \
    "\"4.8\"}},\n"                                                                              \
    "{\"names\": [\"bpf\"], \"action\": \"SCMP_ACT_ALLOW\", \"includes\": {\"minKernel\": "     \
    "\"99.0\"}},\n"                                                                             \
    "{\"names\": [\"acct\"], \"action\": \"SCMP_ACT_ALLOW\", \"includes\": {\"arches\": "       \
    "[\"s390x\"]}},\n"                                                                          \
    "{\"name\": \"kexec_load\", \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 1},\n"            \
    "{\"names\": [\"reboot\"], \"action\": \"SCMP_ACT_KILL_PROCESS\"}\n]}\n"

Test(seccomp_file, takes_what_container_engines_have)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    struct sbx_error error;
    accept_policy(DOCKER, f);
    cr_assert_eq(ASK(f, SYS_read, 0), 0);
    cr_assert_eq(ASK(f, SYS_openat, 0), ENOSYS, "what is not named");
    cr_assert_eq(ASK(f, SYS_mount, 0), ENOSYS, "without the capability");
    cr_assert_eq(ASK(f, SYS_clone, 17), 0);
    cr_assert_neq(ASK(f, SYS_clone, 0x10000000), 0);
    cr_assert_eq(ASK(f, SYS_personality, 8), 0);
    cr_assert_eq(ASK(f, SYS_personality, 0), 0, "two conditions of one argument are two rules");
    cr_assert_eq(ASK(f, SYS_personality, 1), ENOSYS);
    cr_assert_eq(ASK(f, SYS_ptrace, 0), 0);
    cr_assert_eq(ASK(f, SYS_bpf, 0), ENOSYS, "of a kernel to come");
    cr_assert_eq(ASK(f, SYS_acct, 0), ENOSYS, "of another machine");
    cr_assert_eq(ASK(f, SYS_kexec_load, 0), EPERM);
    cr_assert_eq(ASK(f, SYS_reboot, 0), -1);
    discard(f);
    cr_assert_eq(read_policy(DOCKER, UINT64_C(1) << 21, f, &error), 0, "%s", error.text);
    cr_assert_eq(ASK(f, SYS_mount, 0), 0, "with the capability");
    cr_assert_eq(ASK(f, SYS_clone, 17), ENOSYS, "its entry excludes it");
    discard(f);
}

Test(seccomp_file, refuses_json_that_it_cannot_do)
{
    UDS_TEST_GUARD;
    char deep[4096] = "{\"x\": ";
    refuse_policy("{\"defaultAction\": \"SCMP_ACT_NOTIFY\"}",
                  "cannot be done here: SCMP_ACT_NOTIFY");
    refuse_policy("{\"syscalls\": []}", "cannot be done here");
    refuse_policy(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\"\n, \"syscalls\": [{\"names\": [\"read\"]}]}",
        ":2: cannot be done here");
    refuse_policy("{\"defaultAction\": \"SCMP_ACT_ALLOW\"", "is no JSON");
    refuse_policy("{\"defaultAction\": \"SCMP_ACT_ALLOW\"} x", "something follows its end");
    refuse_policy(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], \"action\":"
        " \"SCMP_ACT_ERRNO\", \"args\": [{\"index\": 6, \"value\": 0, \"op\": \"SCMP_CMP_EQ\"}]}]}",
        "an argument has no index from 0 to 5");
    refuse_policy(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], \"action\":"
        " \"SCMP_ACT_ERRNO\", \"args\": [{\"index\": 4294967296, \"value\": 0, \"op\": "
        "\"SCMP_CMP_EQ\"}]}]}",
        "a number is too large");
    refuse_policy(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], \"action\":"
        " \"SCMP_ACT_ERRNO\", \"errnoRet\": 65536}]}",
        "a number is too large");
    refuse_policy(
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], \"action\":"
        " \"SCMP_ACT_ERRNO\", \"includes\": {\"maxKernel\": \"1\"}}]}",
        "a condition that is not known here: maxKernel");
    for (size_t i = strlen(deep); i < 4000; i++)
        deep[i] = '[';
    refuse_policy(deep, "is nested too deeply");
    refuse_policy("{\"a", "is no JSON");
    refuse_policy("{", "is no JSON");
}

/* A name that was passed over is a call that is not refused. */
Test(seccomp_file, reads_escapes_in_names)
{
    UDS_TEST_GUARD;
    struct sbxi_filter f[2];
    accept_policy("{\"default\\u0041ction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":"
                  "[\"\\u0070trace\",\"k\\u0065yctl\"],\"action\":\"SCMP_ACT_ERRNO\",\"comment\":"
                  "\"\\u00e4 \\\"\\n\\\\\"}]}",
                  f);
    cr_assert_eq(ASK(f, SYS_ptrace, 0), EPERM);
    cr_assert_eq(ASK(f, SYS_keyctl, 0), EPERM);
    cr_assert_eq(ASK(f, SYS_bpf, 0), 0);
    discard(f);
    refuse_policy("{\"defaultAction\":\"SCMP_ACT_\\u00ALLOW\"}", "is no JSON: \\u");
    refuse_policy("{\"defaultAction\":\"SCMP_ACT_\\ALLOW\"}", "is no JSON: \\");
    refuse_policy("{\"defaultAction\":\"SCMP_ACT_ALLOW\\u0000X\"}", "a zero");
}
