/* SPDX-License-Identifier: MIT */
/*
 * A call for a sandbox that is stopped starts it, if the supervisor agrees. We name a sandbox that it declared, nothing
 * more. Success shows as SandboxChanged; a refusal ends the calls that wait.
 */
#include "start.h"

#include <stdint.h>
#include <stdlib.h>

#include <uds/error.h>

#include "call.h"
#include "router.h"
#include "sandbox.h"

struct start {
    struct router *router;
    uint32_t sandbox_id;
};

static void on_started(uint32_t status, const char *detail, void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    struct sandbox *sandbox = sandbox_get(start.router, start.sandbox_id);
    if (sandbox == NULL)
        return;
    sandbox->starting = false;
    if (status != UDS_STATUS_OK)
        call_fail_held(start.router, start.sandbox_id,
                       detail[0] != '\0' ? detail : "the sandbox cannot be started");
}

void start_on_demand(struct router *router, struct sandbox *sandbox)
{
    if (sandbox->starting)
        return;
    struct start *start = malloc(sizeof(*start));
    uint32_t id = sandbox->info->id;
    if (start != NULL && router->supervisor != NULL) {
        *start = (struct start){router, id};
        sandbox->starting = true;
        if (router->supervisor->start(router->supervisor_arg, id, on_started, start) >= 0)
            return;
        sandbox->starting = false;
    }
    free(start);
    call_fail_held(router, id, "the sandbox is stopped and cannot be started");
}
