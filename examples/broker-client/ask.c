/* SPDX-License-Identifier: MIT */
/*
 * A client of the broker that asks: publishes NAME on "news.visit", and has it greeted by whoever
 * serves "greet".
 *
 * Two kinds of failure that never look alike: a function's negative value is ours (no broker, no
 * memory); a status is somebody's answer (denied by policy, nobody serves that, the callee ran out of memory).
 */
#include <stdio.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

#define PATIENCE_MS 10000

static int publish(uds_client *client, const char *name)
{
    struct uds_publish news = UDS_PUBLISH_INIT;
    char detail[256];
    uint32_t status;

    news.subject = "news.visit";
    news.body = name;
    news.body_len = strlen(name);
    /* Confirmed: OK says that every subscriber's queue has it. uds_client_publish() does not wait. */
    int r = uds_client_publish_wait(client, &news, PATIENCE_MS, &status, detail, sizeof(detail));
    if (r == 0)
        printf("published: %s%s%s\n", uds_status_name(status), *detail ? ": " : "", detail);
    return r;
}

static int request(uds_client *client, const char *name)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    size_t len;

    request.subject = "greet";
    request.body = name;
    request.body_len = strlen(name);
    request.timeout_ms =
        PATIENCE_MS; /* travels along: who serves knows how long it is worth while */
    int r = uds_client_request_wait(client, &request, &reply);
    if (r < 0)
        return r;
    if (reply.status == UDS_STATUS_OK) {
        const char *text = uds_msg_peek_body(reply.msg, &len);
        printf("%.*s\n", (int)len, text);
    } else {
        printf("%s: %s\n", uds_status_name(reply.status), reply.detail);
    }
    uds_msg_unref(reply.msg); /* the detail lived in it */
    return 0;
}

int main(int argc, char **argv)
{
    uds_client *client = NULL;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: ask NAME\n");
        return 2;
    }
    r = uds_client_new(&client, NULL, NULL, PATIENCE_MS);
    if (r == 0)
        r = publish(client, argv[1]);
    if (r == 0)
        r = request(client, argv[1]);
    if (r < 0)
        fprintf(stderr, "ask: broker: %s\n", strerror(-r));
    uds_client_free(client);
    return r < 0;
}
