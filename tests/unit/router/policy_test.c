/* SPDX-License-Identifier: MIT */
/* Who may what. */
#include <uds/fdset.h>

#include "policy.h"
#include "world.h"

static char sub_all[] = ">", foo[] = "foo.>", secret[] = "foo.secret", sys[] = "$SYS.sandbox.>";
static char decoder[] = "decoder", nobody[] = "", label_a[] = "rule a", label_b[] = "rule b";
static char *everything[] = {sub_all}, *foos[] = {foo}, *secrets[] = {secret}, *events[] = {sys};

static struct identity host(uid_t uid)
{
    struct identity who = {.uid_known = true, .gid_known = true, .uid = uid, .gid = 100};
    snprintf(who.name, sizeof(who.name), "uid:%u", uid);
    return who;
}

static struct identity sandbox(const char *name)
{
    struct identity who;
    identity_sandbox(&who, 1, 1, name);
    return who;
}

#define EXPECT(policy, who, verb, subject, expect_allowed, expect_rule)                        \
    do {                                                                                       \
        struct identity who_ = who;                                                            \
        struct policy_decision d_ = policy_check(policy, &who_, verb, subject);                \
        cr_expect_eq(d_.allowed, expect_allowed, "%s on %s: %s", who_.name, subject, d_.rule); \
        cr_expect_str_eq(d_.rule, expect_rule);                                                \
    } while (0)

Test(policy, denies_by_default)
{
    UDS_TEST_GUARD;
    struct world_config c;
    struct policy *policy;
    world_config_init(&c);
    cr_assert_eq(policy_new(&policy, &c.configuration), 0);
    EXPECT(policy, host(0), POLICY_CALL, "x", false, "default deny");
    EXPECT(policy, sandbox("decoder"), POLICY_PUBLISH, "x", false, "default deny");
    policy_free(policy);
}

Test(policy, lets_owner_and_root_do_everything_when_nothing_is_configured)
{
    UDS_TEST_GUARD;
    struct world_config c;
    struct policy *policy;
    world_config_init(&c);
    c.configuration.default_owner = true;
    c.configuration.owner_uid = 1000;
    cr_assert_eq(policy_new(&policy, &c.configuration), 0);
    EXPECT(policy, host(1000), POLICY_CALL, "x", true, "default owner");
    EXPECT(policy, host(0), POLICY_SUBSCRIBE, ">", true, "default owner");
    EXPECT(policy, host(1001), POLICY_CALL, "x", false, "default deny");
    EXPECT(policy, sandbox("decoder"), POLICY_CALL, "x", false, "default deny");
    struct identity unknown = {.uid = 0};
    cr_expect(!policy_check(policy, &unknown, POLICY_CALL, "x").allowed,
              "an id that the kernel did not name is not root");
    policy_free(policy);
}

Test(policy, lets_any_deny_beat_any_allow)
{
    UDS_TEST_GUARD;
    for (int order = 0; order < 2; order++) {
        struct world_config c;
        struct policy *policy;
        world_config_init(&c);
        for (int i = 0; i < 2; i++) {
            bool deny = i == order;
            Uds__Supervisor__Rule *rule = world_rule(&c, nobody, deny ? label_b : label_a);
            rule->any = true;
            rule->deny = deny;
            rule->n_subscribe = rule->n_publish = 1;
            rule->subscribe = rule->publish = deny ? secrets : foos;
        }
        cr_assert_eq(policy_new(&policy, &c.configuration), 0);
        struct identity who = host(5);
        EXPECT(policy, host(5), POLICY_PUBLISH, "foo.bar", true, "rule a");
        EXPECT(policy, host(5), POLICY_PUBLISH, "foo.secret", false, "rule b");
        EXPECT(policy, host(5), POLICY_PUBLISH, "bar", false, "default deny");
        EXPECT(policy, host(5), POLICY_SUBSCRIBE, ">", false, "default deny");
        EXPECT(policy, host(5), POLICY_SUBSCRIBE, "foo.>", true, "rule a");
        cr_expect(policy_filters(policy, &who, POLICY_SUBSCRIBE, "foo.>"));
        cr_expect(!policy_filters(policy, &who, POLICY_SUBSCRIBE, "foo.bar"));
        policy_free(policy);
    }
}

Test(policy, never_matches_ids_on_sandbox_links_nor_names_on_host_peers)
{
    UDS_TEST_GUARD;
    struct world_config c;
    struct policy *policy;
    world_config_init(&c);
    Uds__Supervisor__Rule *rule = world_rule(&c, nobody, label_a);
    rule->has_uid = true; /* uid 0 */
    rule->n_call = 1;
    rule->call = everything;
    rule = world_rule(&c, nobody, label_a);
    rule->any = true;
    rule->n_serve = 1;
    rule->serve = everything;
    rule = world_rule(&c, decoder, label_b);
    rule->n_serve = 1;
    rule->serve = foos;
    cr_assert_eq(policy_new(&policy, &c.configuration), 0);
    EXPECT(policy, sandbox("decoder"), POLICY_CALL, "x", false, "default deny");
    EXPECT(policy, sandbox("decoder"), POLICY_SERVE, "x", false, "default deny");
    EXPECT(policy, sandbox("decoder"), POLICY_SERVE, "foo.x", true, "rule b");
    EXPECT(policy, host(3), POLICY_SERVE, "foo.x", true, "rule a");
    cr_expect(policy_serves(policy, "decoder", "foo.x"));
    cr_expect(!policy_serves(policy, "other", "foo.x"));
    policy_free(policy);
}

Test(policy, keeps_sys_to_explicit_grants_and_admins)
{
    UDS_TEST_GUARD;
    struct world_config c;
    struct policy *policy;
    world_config_init(&c);
    Uds__Supervisor__Rule *rule = world_rule(&c, nobody, label_a);
    rule->has_uid = true;
    rule->uid = 1;
    rule->n_subscribe = rule->n_publish = rule->n_call = rule->n_serve = 1;
    rule->subscribe = rule->publish = rule->call = rule->serve = everything;
    rule = world_rule(&c, nobody, label_b);
    rule->has_uid = true;
    rule->uid = 2;
    rule->n_subscribe = rule->n_publish = 1;
    rule->subscribe = rule->publish = events;
    rule = world_rule(&c, nobody, label_b);
    rule->has_uid = true;
    rule->uid = 3;
    rule->admin = true;
    cr_assert_eq(policy_new(&policy, &c.configuration), 0);
    EXPECT(policy, host(1), POLICY_SUBSCRIBE, "$SYS.sandbox.x.oom", false, "default deny");
    EXPECT(policy, host(1), POLICY_SUBSCRIBE, ">", true, "rule a");
    EXPECT(policy, host(2), POLICY_SUBSCRIBE, "$SYS.sandbox.x.oom", true, "rule b");
    EXPECT(policy, host(3), POLICY_SUBSCRIBE, "$SYS.>", true, "rule b");
    EXPECT(policy, host(3), POLICY_SUBSCRIBE, "x", false, "default deny");
    EXPECT(policy, host(2), POLICY_PUBLISH, "$SYS.sandbox.x.oom", false,
           "$SYS is the broker's own");
    EXPECT(policy, host(1), POLICY_SERVE, "$SYS.broker", false, "$SYS is the broker's own");
    struct identity admin = host(3), other = host(1);
    cr_expect(policy_admin(policy, &admin).allowed);
    cr_expect(!policy_admin(policy, &other).allowed);
    policy_free(policy);
}

Test(policy, gives_fd_kinds_by_rule_and_a_default_to_host_peers_that_may_call)
{
    UDS_TEST_GUARD;
    struct world_config c;
    struct policy *policy;
    uint32_t send, receive, usual = UDS_FD_MEMFD | UDS_FD_FILE_RO | UDS_FD_PIPE;
    world_config_init(&c);
    Uds__Supervisor__Rule *rule = world_rule(&c, nobody, label_a);
    rule->has_uid = true;
    rule->uid = 1;
    rule->n_call = 1;
    rule->call = everything;
    rule = world_rule(&c, nobody, label_a);
    rule->has_uid = true;
    rule->uid = 2;
    rule->n_call = 1;
    rule->call = everything;
    rule->fds_send = UDS_FD_DIRECTORY | UDS_FD_PIPE;
    rule = world_rule(&c, nobody, label_b);
    rule->any = rule->deny = true;
    rule->fds_send = UDS_FD_PIPE;
    rule = world_rule(&c, decoder, label_b);
    rule->n_call = 1;
    rule->call = everything;
    cr_assert_eq(policy_new(&policy, &c.configuration), 0);
    struct identity who = host(1);
    policy_fds(policy, &who, &send, &receive);
    cr_expect_eq(send, usual & ~(uint32_t)UDS_FD_PIPE);
    cr_expect_eq(receive, usual);
    who = host(2);
    policy_fds(policy, &who, &send, &receive);
    cr_expect_eq(send, (uint32_t)UDS_FD_DIRECTORY);
    cr_expect_eq(receive, 0u);
    who = host(3);
    policy_fds(policy, &who, &send, &receive);
    cr_expect_eq(send | receive, 0u);
    who = sandbox("decoder");
    policy_fds(policy, &who, &send, &receive);
    cr_expect_eq(send | receive, 0u, "a sandbox has no default");
    policy_free(policy);
}
