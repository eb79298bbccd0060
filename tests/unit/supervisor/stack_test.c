/* SPDX-License-Identifier: MIT */
/* What a well-formed stack file becomes. */
#include <criterion/criterion.h>
#include <string.h>

#include <uds/fdset.h>

#include "guard.h"
#include "stack.h"

static struct stack *parse(const char *text)
{
    struct sbx_error error = {0};
    struct stack *stack = NULL;
    int r = stack_parse(&stack, "s.yaml", text, strlen(text), &error);

    cr_assert_eq(r, 0, "%s", error.text);
    return stack;
}

static const char whole[] = "broker:\n"
                            "  listen: ['unix:/run/a.sock', 'unix:@b']\n"
                            "  run_dir: /run/x\n"
                            "  quota: {connections: 5, queued_bytes: 2M, messages_per_second: 10}\n"
                            "sandboxes:\n"
                            "  decoder:\n"
                            "    command: [/bin/decoder, --fast]\n"
                            "    isolate: [user, net]\n"
                            "    root: {jail: [/bin/decoder]}\n"
                            "    env: {LANG: C, EMPTY: ''}\n"
                            "    limits: {cpu: 50%, memory: 64M, pids: 8, cpu_weight: 200, "
                            "memory_high: 48M, swap: 0, cpuset: '0-1,3'}\n"
                            "    serve: [thumbnail]\n"
                            "    call: ['log.>']\n"
                            "    publish: [a.b]\n"
                            "    subscribe: ['a.*']\n"
                            "    fds: {receive: [file-ro], send: [memfd, pipe]}\n"
                            "    restart: on-failure\n"
                            "    degrade: [cgroup, id-range]\n"
                            "    stdio: 'null'\n"
                            "    uid: 7\n"
                            "    timeout: 2s\n"
                            "  plain:\n"
                            "    command: [/bin/true]\n"
                            "policy:\n"
                            "  - {uid: 0, call: ['>'], admin: true}\n"
                            "  - {sandbox: decoder, deny: true, publish: [a.c]}\n"
                            "  - {any: true, subscribe: [news]}\n";

Test(stack, reads_the_broker_section)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse(whole);

    cr_expect_eq(stack->listen.n, 2);
    cr_expect_str_eq(stack->listen.v[1], "unix:@b");
    cr_expect_null(stack->listen.v[2]);
    cr_expect_str_eq(stack->run_dir, "/run/x");
    cr_expect_eq(stack->quota.connections, 5);
    cr_expect_eq(stack->quota.queued_bytes, 2u << 20);
    cr_expect_eq(stack->quota.messages_per_second, 10);
    cr_expect_eq(stack->quota.pending_calls, 0);
    stack_free(stack);
}

Test(stack, reads_every_key_of_a_sandbox)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse(whole);
    const struct stack_sandbox *d = stack_find_sandbox(stack, "decoder");

    cr_assert_not_null(d);
    cr_expect_eq(d->line, 6);
    cr_expect_eq(d->command.n, 2);
    cr_expect_str_eq(d->command.v[1], "--fast");
    cr_expect_eq(d->isolate, (uint32_t)(SBX_NS_USER | SBX_NS_NET));
    cr_expect_str_eq(d->jail.v[0], "/bin/decoder");
    cr_expect_str_eq(d->env.v[0], "LANG=C");
    cr_expect_str_eq(d->env.v[1], "EMPTY=");
    cr_expect_eq(d->limits.cpu_percent, 50);
    cr_expect_eq(d->limits.memory_bytes, 64u << 20);
    cr_expect_eq(d->limits.pids, 8);
    cr_expect_eq(d->limits.cpu_weight, 200);
    cr_expect_eq(d->limits.memory_high_bytes, 48u << 20);
    cr_expect(d->limits.swap_named && d->limits.swap_bytes == 0);
    cr_expect_str_eq(d->limits.cpus, "0-1,3");
    cr_expect_str_eq(d->verbs.serve.v[0], "thumbnail");
    cr_expect_eq(d->verbs.serve.line, 12);
    cr_expect_str_eq(d->verbs.call.v[0], "log.>");
    cr_expect_str_eq(d->verbs.publish.v[0], "a.b");
    cr_expect_str_eq(d->verbs.subscribe.v[0], "a.*");
    cr_expect_eq(d->fds.receive, (uint32_t)UDS_FD_FILE_RO);
    cr_expect_eq(d->fds.send, (uint32_t)(UDS_FD_MEMFD | UDS_FD_PIPE));
    cr_expect_eq(d->restart, STACK_RESTART_ON_FAILURE);
    cr_expect_eq(d->degrade, (uint32_t)(SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE));
    cr_expect_eq(d->stdio, STACK_STDIO_NULL);
    cr_expect_eq(d->uid, 7);
    cr_expect_eq(d->timeout_ms, 2000);
    stack_free(stack);
}

Test(stack, has_safe_defaults)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse(whole);
    const struct stack_sandbox *p = stack_find_sandbox(stack, "plain");

    cr_assert_not_null(p);
    cr_expect_eq(p->isolate, (uint32_t)SBX_NS_ALL);
    cr_expect_eq(p->jail.n, 0);
    cr_expect_eq(p->restart, STACK_RESTART_NO);
    cr_expect_eq(p->stdio, STACK_STDIO_INHERIT);
    cr_expect_eq(p->degrade, 0);
    cr_expect_eq(p->fds.line, 0);
    cr_expect_eq(p->timeout_ms, -1);
    cr_expect_eq(p->uid, UINT32_MAX);
    cr_expect_null(stack_find_sandbox(stack, "nobody"));
    stack_free(stack);
}

Test(stack, gives_clocks_a_namespace)
{
    UDS_TEST_GUARD;
    struct stack *stack =
        parse("sandboxes: {a: {command: [/x], time: {monotonic: 1h, boottime: -5}}}");
    const struct stack_sandbox *a = &stack->sandboxes[0];

    cr_expect_eq(a->isolate, (uint32_t)(SBX_NS_ALL | SBX_NS_TIME));
    cr_expect_eq(a->clocks.monotonic, INT64_C(3600000000000));
    cr_expect_eq(a->clocks.boottime, INT64_C(-5000000000));
    stack_free(stack);
}

Test(stack, says_what_network_it_is)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse("sandboxes:\n"
                                "  a: {command: [/x], net: \"veth:blue\", net_rate: 1M}\n"
                                "  b: {command: [/x], net: host}\n"
                                "  c: {command: [/x], net: \"netns:blue\"}\n"
                                "  d: {command: [/x], net_rate: 2M, net: veth}\n");
    const struct stack_sandbox *all = stack->sandboxes;

    cr_expect_eq(all[0].net.kind, SBX_NET_VETH);
    cr_expect_str_eq(all[0].net.netns, "blue");
    cr_expect_eq(all[0].net.rate_bytes, 1u << 20);
    cr_expect_eq(all[0].isolate, (uint32_t)SBX_NS_ALL);
    cr_expect_eq(all[1].isolate, (uint32_t)(SBX_NS_ALL & ~SBX_NS_NET));
    cr_expect_eq(all[2].net.kind, SBX_NET_NETNS);
    cr_expect_eq(all[2].isolate, (uint32_t)(SBX_NS_ALL & ~SBX_NS_NET));
    cr_expect_eq(all[3].net.rate_bytes, 2u << 20); /* whichever comes first */
    stack_free(stack);
}

Test(stack, reads_sockets_and_what_is_told)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse("sandboxes:\n"
                                "  web: {command: [/bin/true], watchdog: 10s, fdstore: 7,\n"
                                "        listen: {web: 'tcp:*:80', s: 'unix:/run/s,mode=0660'}}\n"
                                "  told: {command: [/bin/true], notify: true, ready_timeout: 5s}\n"
                                "  still: {command: [/bin/true]}\n");
    const struct stack_sandbox *web = stack_find_sandbox(stack, "web");
    const struct stack_sandbox *told = stack_find_sandbox(stack, "told");

    cr_expect_eq(web->listen.n, 2);
    cr_expect_str_eq(web->listen.v[0], "web=tcp:*:80");
    cr_expect_str_eq(web->listen.v[1], "s=unix:/run/s,mode=0660");
    cr_expect(web->notify && web->watchdog_ms == 10000 && web->fdstore == 7);
    cr_expect_eq(web->ready_ms, STACK_READY_MS);
    cr_expect(told->notify && told->ready_ms == 5000 && told->watchdog_ms == 0);
    cr_expect_not(stack_find_sandbox(stack, "still")->notify);
    stack_free(stack);
}

Test(stack, reads_rules_with_their_lines)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse(whole);

    cr_assert_eq(stack->nrules, 3);
    cr_expect(stack->has_policy);
    cr_expect_eq(stack->rules[0].uid, 0);
    cr_expect(stack->rules[0].admin);
    cr_expect_eq(stack->rules[0].line, 25);
    cr_expect_str_eq(stack->rules[1].sandbox, "decoder");
    cr_expect(stack->rules[1].deny);
    cr_expect_eq(stack->rules[1].uid, UINT32_MAX);
    cr_expect(stack->rules[2].any);
    stack_free(stack);
}

Test(stack, takes_every_word_that_the_libraries_know)
{
    UDS_TEST_GUARD;
    char text[512];

    for (uint32_t bit = 1; bit <= SBX_NS_TIME; bit <<= 1) {
        snprintf(text, sizeof(text), "sandboxes: {a: {command: [/x], isolate: [%s]}}",
                 sbx_ns_name(bit));
        struct stack *stack = parse(text);
        cr_expect_eq(stack->sandboxes[0].isolate, bit);
        stack_free(stack);
    }
    for (uint32_t bit = 1; bit <= SBX_DEGRADE_BUFFERED_WRITES; bit <<= 1) {
        snprintf(text, sizeof(text), "sandboxes: {a: {command: [/x], degrade: [%s]}}",
                 sbx_degrade_name(bit));
        struct stack *stack = parse(text);
        cr_expect_eq(stack->sandboxes[0].degrade, bit);
        stack_free(stack);
    }
    for (uint32_t bit = 1; bit <= UDS_FD_OTHER; bit <<= 1) {
        snprintf(text, sizeof(text), "sandboxes: {a: {command: [/x], fds: {send: [%s]}}}",
                 uds_fd_kind_name((enum uds_fd_kind)bit));
        struct stack *stack = parse(text);
        cr_expect_eq(stack->sandboxes[0].fds.send, bit);
        stack_free(stack);
    }
}

Test(stack, may_declare_no_sandbox)
{
    UDS_TEST_GUARD;
    struct stack *stack = parse("broker: {listen: [/tmp/x]}\n");

    cr_expect_eq(stack->nsandboxes, 0);
    cr_expect_not(stack->has_policy);
    stack_free(stack);
}

Test(stack, reads_what_a_sandbox_may)
{
    UDS_TEST_GUARD;
    struct stack *stack =
        parse("sandboxes:\n  a:\n    command: [/bin/true]\n"
              "    capabilities: [net_raw, CAP_CHOWN]\n    seccomp: /etc/policy\n"
              "    landlock: {ro: [/usr], rw: [/tmp, /x], connect: [80, 443], bind: [],\n"
              "      scope: [signals]}\n"
              "  b: {command: [/bin/true], capabilities: [all], seccomp: strict}\n");
    struct sbx_spec spec = SBX_SPEC_INIT;

    stack_confine_apply(&stack->sandboxes[0].confine, &spec);
    cr_expect_eq(spec.caps, 0x2001);
    cr_expect_eq(spec.seccomp, SBX_SECCOMP_FILE);
    cr_expect_str_eq(spec.seccomp_file, "/etc/policy");
    cr_expect_str_eq(spec.landlock.ro[0], "/usr");
    cr_expect_str_eq(spec.landlock.rw[1], "/x");
    cr_expect_null(spec.landlock.rw[2]);
    cr_expect_eq(spec.landlock.nconnect, 2);
    cr_expect_eq(spec.landlock.connect[1], 443);
    cr_expect(spec.landlock.limit_connect && spec.landlock.limit_bind);
    cr_expect_eq(spec.landlock.nbind, 0, "none is a list too");
    cr_expect_eq(spec.landlock.scope, SBX_LANDLOCK_SIGNAL);
    stack_confine_apply(&stack->sandboxes[1].confine, &spec);
    cr_expect_eq(spec.caps, SBX_CAPS_ALL);
    cr_expect_eq(spec.seccomp, SBX_SECCOMP_STRICT);
    cr_expect_null(spec.landlock.ro);
    cr_expect_not(spec.landlock.limit_connect);
    stack_free(stack);
}
