/* SPDX-License-Identifier: MIT */
/* The client in a sandbox: a link that is there, and an end through which new ones come. */
#include "client_scene.h"

static void name_fd(const char *variable, int fd)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "fd:%d", fd);
    cr_assert_eq(setenv(variable, text, 1), 0);
}

Test(client, takes_a_new_link_from_the_redial_end)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int link[2], redial[2], stale[2], fresh[2];

    memset(&scene, 0, sizeof(scene));
    memset(&seen, 0, sizeof(seen));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, redial), 0);
    name_fd("UDS_BROKER", link[0]);
    name_fd("UDS_BROKER_REDIAL", redial[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    uds_client_set_callbacks(scene.client, &callbacks, &seen);
    cr_expect_eq(fcntl(link[0], F_GETFD), FD_CLOEXEC, "children would hold the link open");
    uint64_t id = subscribe(&scene, &seen, "a");
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);

    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_eq(uds_client_get_fd(scene.client), redial[0]);
    cr_expect_eq(uds_client_get_events(scene.client), POLLIN);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1, "nothing to do but wait");

    /* Two routers came; the first is dead already. */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stale), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh), 0);
    cr_assert_eq(uds_fd_send(redial[1], stale[0]), 0);
    cr_assert_eq(uds_fd_send(redial[1], fresh[0]), 0);
    close(stale[0]);
    close(stale[1]);
    close(fresh[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, fresh[1], NULL), 0);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);
    turn(&scene);
    cr_expect_eq(seen.connected, 2);
    cr_expect_eq(seen.disconnected, 1);

    /* The supervisor goes, too: that is the end. */
    close(redial[1]);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 2);
    cr_expect_eq(uds_client_process(scene.client), -ECONNRESET);
    cr_expect_eq(uds_client_get_fd(scene.client), -1);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1);
    scene_end(&scene);
    close(link[0]);
    close(redial[0]);
}

Test(client, ends_with_an_inherited_link_that_nobody_can_renew)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int link[2];

    memset(&scene, 0, sizeof(scene));
    memset(&seen, 0, sizeof(seen));
    unsetenv("UDS_BROKER_REDIAL");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    name_fd("UDS_BROKER", link[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    uds_client_set_callbacks(scene.client, &callbacks, &seen);
    turn(&scene);
    cr_expect_eq(seen.connected, 1);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_eq(uds_client_process(scene.client), -ECONNRESET);
    cr_expect_eq(uds_client_wait(scene.client, 1000), -ECONNRESET);
    cr_expect_eq(uds_client_get_fd(scene.client), -1);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1);
    scene_end(&scene);
    close(link[0]);
}

Test(client_free, lets_the_broker_see_the_end_of_an_inherited_link)
{
    UDS_TEST_GUARD;
    struct scene scene;
    int link[2];

    memset(&scene, 0, sizeof(scene));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    name_fd("UDS_BROKER", link[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    turn(&scene);
    scene.client = uds_client_free(scene.client);
    cr_expect_lt(uds_conn_process(scene.broker), 0);
    scene_end(&scene);
    close(link[0]);
}
