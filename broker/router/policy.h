/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_POLICY_H
#define ROUTER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "supervisor.pb-c.h"

/* Who may do what on which subjects, and which kinds of descriptors they may hand over. */
struct policy;

enum policy_verb {
    POLICY_PUBLISH,
    POLICY_SUBSCRIBE,
    POLICY_CALL,
    POLICY_SERVE,
    POLICY_VERBS,
};

struct policy_decision {
    bool allowed;
    const char *rule; /* what decided; lives as long as the policy */
};

/** policy_new() - from the supervisor's configuration, which is copied. 0, -ENOMEM. */
int policy_new(struct policy **ret, const Uds__Supervisor__Configuration *configuration);
struct policy *policy_free(struct policy *policy);

/** policy_check() - may @who do @verb on all of @subject? A pattern is allowed only as a whole, by one rule. */
struct policy_decision policy_check(const struct policy *policy,
                                    const struct identity *who,
                                    enum policy_verb verb,
                                    const char *subject);
/** policy_filters() - does some deny cut a hole into @pattern, so that single subjects must be checked again? */
bool policy_filters(const struct policy *policy,
                    const struct identity *who,
                    enum policy_verb verb,
                    const char *pattern);
struct policy_decision policy_admin(const struct policy *policy, const struct identity *who);
/** policy_fds() - masks of enum uds_fd_kind that @who may send and receive. */
void policy_fds(const struct policy *policy,
                const struct identity *who,
                uint32_t *ret_send,
                uint32_t *ret_receive);
/** policy_serves() - is sandbox @name granted to serve @subject? */
bool policy_serves(const struct policy *policy, const char *name, const char *subject);

#endif
