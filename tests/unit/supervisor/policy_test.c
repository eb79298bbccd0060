/* SPDX-License-Identifier: MIT */
/* What the router is told to enforce. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <uds/fdset.h>

#include "guard.h"
#include "policy.h"

static const char text[] = "broker: {quota: {pending_calls: 3}}\n"
                           "sandboxes:\n"
                           "  decoder:\n"
                           "    command: [/x]\n"
                           "    serve: [thumbnail]\n"
                           "    call: [log, 'time.>']\n"
                           "    fds: {receive: [file-ro], send: [memfd]}\n"
                           "  mute:\n"
                           "    command: [/x]\n"
                           "policy:\n"
                           "  - {uid: 1000, call: [thumbnail]}\n"
                           "  - {gid: 5, subscribe: [news]}\n"
                           "  - {sandbox: mute, deny: true, publish: ['>']}\n"
                           "  - {uid: 0, admin: true, fds: {send: [pipe]}}\n";

struct scene {
    struct stack *stack;
    Uds__Supervisor__Configuration *c;
};

static void scene_clear(struct scene *s)
{
    uds__supervisor__configuration__free_unpacked(s->c, NULL);
    stack_free(s->stack);
}

static struct scene compile(const char *yaml)
{
    struct sbx_error error = {0};
    struct scene s = {0};

    if (yaml)
        cr_assert_eq(stack_parse(&s.stack, "/etc/uds/stack.yaml", yaml, strlen(yaml), &error), 0,
                     "%s", error.text);
    else
        cr_assert_eq(stack_new(&s.stack), 0);
    cr_assert_eq(policy_compile(&s.c, s.stack, 1234), 0);
    return s;
}

#define SCENE(yaml) struct scene s __attribute__((cleanup(scene_clear))) = compile(yaml)

static const Uds__Supervisor__Rule *find(const struct scene *s, const char *label)
{
    for (size_t i = 0; i < s->c->n_rules; i++)
        if (strcmp(s->c->rules[i]->label, label) == 0)
            return s->c->rules[i];
    cr_assert_fail("no rule is labelled %s", label);
    abort(); /* not reached, which the compiler cannot see */
}

Test(policy, without_a_policy_the_owner_may_do_everything)
{
    UDS_TEST_GUARD;
    SCENE(NULL);

    cr_expect(s.c->default_owner);
    cr_expect_eq(s.c->owner_uid, 1234);
    cr_expect_eq(s.c->n_rules, 0);
}

Test(policy, with_a_policy_nobody_may_do_what_no_rule_says)
{
    UDS_TEST_GUARD;
    SCENE(text);

    cr_expect_not(s.c->default_owner);
    cr_expect_eq(s.c->n_rules, 7);
    cr_expect_eq(s.c->quota->pending_calls, 3);
    cr_expect_eq(s.c->quota->connections, 0);
}

Test(policy, an_empty_list_of_rules_is_a_policy)
{
    UDS_TEST_GUARD;
    SCENE("policy: []\n");

    cr_expect_not(s.c->default_owner);
}

Test(policy, a_sandboxs_grants_are_labelled_with_key_and_line_but_not_with_the_hosts_path)
{
    UDS_TEST_GUARD;
    SCENE(text);
    const Uds__Supervisor__Rule *rule = find(&s, "sandboxes.decoder.serve (stack.yaml:5)");

    cr_assert_not_null(rule);
    cr_expect_str_eq(rule->sandbox, "decoder");
    cr_expect_eq(rule->n_serve, 1);
    cr_expect_str_eq(rule->serve[0], "thumbnail");
    cr_expect_eq(rule->n_call + rule->n_publish + rule->n_subscribe, 0);
    cr_expect_not(rule->has_uid || rule->has_gid || rule->any || rule->deny || rule->admin);
    rule = find(&s, "sandboxes.decoder.call (stack.yaml:6)");
    cr_assert_not_null(rule);
    cr_expect_str_eq(rule->call[1], "time.>");
    rule = find(&s, "sandboxes.decoder.fds (stack.yaml:7)");
    cr_assert_not_null(rule);
    cr_expect_eq(rule->fds_receive, (uint32_t)UDS_FD_FILE_RO);
    cr_expect_eq(rule->fds_send, (uint32_t)UDS_FD_MEMFD);
}

Test(policy, rules_are_counted_from_one_and_name_one_peer)
{
    UDS_TEST_GUARD;
    SCENE(text);
    const Uds__Supervisor__Rule *rule = find(&s, "policy rule 1 (stack.yaml:11)");

    cr_assert_not_null(rule);
    cr_expect(rule->has_uid);
    cr_expect_eq(rule->uid, 1000);
    cr_expect_not(rule->has_gid);
    cr_expect_str_empty(rule->sandbox);
    rule = find(&s, "policy rule 2 (stack.yaml:12)");
    cr_assert_not_null(rule);
    cr_expect(rule->has_gid);
    cr_expect_not(rule->has_uid);
    rule = find(&s, "policy rule 3 (stack.yaml:13)");
    cr_assert_not_null(rule);
    cr_expect(rule->deny);
    cr_expect_str_eq(rule->sandbox, "mute");
}

Test(policy, a_caller_of_the_host_passes_harmless_descriptors_unless_its_rule_says_otherwise)
{
    UDS_TEST_GUARD;
    SCENE(text);
    const uint32_t harmless = UDS_FD_MEMFD | UDS_FD_FILE_RO | UDS_FD_PIPE;

    cr_expect_eq(find(&s, "policy rule 1 (stack.yaml:11)")->fds_send, harmless);
    cr_expect_eq(find(&s, "policy rule 1 (stack.yaml:11)")->fds_receive, harmless);
    cr_expect_eq(find(&s, "policy rule 2 (stack.yaml:12)")->fds_receive, 0);
    cr_expect_eq(find(&s, "policy rule 4 (stack.yaml:14)")->fds_send, (uint32_t)UDS_FD_PIPE);
    cr_expect_eq(find(&s, "policy rule 4 (stack.yaml:14)")->fds_receive, 0);
}

Test(policy, sockets_are_open_to_everybody_only_where_a_rule_names_somebody_else)
{
    UDS_TEST_GUARD;
    SCENE(text);
    struct scene own __attribute__((cleanup(scene_clear))) =
        compile("policy: [{uid: 0, admin: true}, {uid: 1000, call: [a]}]\n");

    cr_expect(policy_names_strangers(s.stack, 0));
    cr_expect(policy_names_strangers(own.stack, 0));
    cr_expect_not(policy_names_strangers(own.stack, 1000));
}
