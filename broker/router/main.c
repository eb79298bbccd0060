/* SPDX-License-Identifier: MIT */
/*
 * uds-router [--uid N --gid N]
 *
 * Started by uds-broker with fd 3 = its end of the control connection and an empty environment (proto/supervisor.proto).
 * It confines itself, and only then reads the first byte.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include <uds/fdset.h>

#include "confine.h"
#include "control.h"
#include "router.h"

#define CLOSING_USEC 100 /* for a descriptor that a peer sent */

#ifdef UDS_SANITIZED
/* LSan starts a thread that ptraces us and reads /proc: neither exists in here. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}
#endif

static int run(struct event_base *base, int control_fd)
{
    struct router *router;
    struct control *control;
    int r = router_new(&router, base);
    if (r < 0) {
        fprintf(stderr, "uds-router: make the router: %s\n", strerror(-r));
        return 1;
    }
    r = uds_fd_limit_closing(CLOSING_USEC);
    if (r < 0) {
        fprintf(stderr, "uds-router: limit what closing may take: %s\n", strerror(-r));
        router_free(router);
        return 1;
    }
    r = control_new(&control, router, control_fd);
    if (r < 0) {
        fprintf(stderr,
                "uds-router: control connection on fd %d: %s: is it started by uds-broker?\n",
                control_fd, strerror(-r));
        router_free(router);
        return 1;
    }
    event_base_dispatch(base);
    control_free(control);
    router_free(router);
    return 0;
}

int main(int argc, char **argv)
{
    struct confine_options options;
    const char *step;
    if (confine_parse(argc, argv, &options) < 0) {
        fputs("uds-router: started by uds-broker as: uds-router [--uid N --gid N], N > 0\n",
              stderr);
        return 2;
    }
    int r = router_confine(&options, &step);
    if (r < 0) {
        fprintf(stderr, "uds-router: %s: %s%s\n", step, strerror(-r),
                options.drop_user ? ""
                                  : ": a user needs user namespaces (sysctl "
                                    "user.max_user_namespaces, kernel.unprivileged_userns_clone)");
        return 1;
    }
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config != NULL) {
        /* No environment, no signals, one thread: nothing that needs more than epoll. */
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
        base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (base == NULL) {
        fputs("uds-router: make an event loop: no memory or no epoll\n", stderr);
        return 1;
    }
    r = run(base, options.control_fd);
    event_base_free(base);
    return r;
}
