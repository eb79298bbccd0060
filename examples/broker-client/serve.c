/* SPDX-License-Identifier: MIT */
/*
 * A client of the broker that serves: answers requests on "greet", prints what is published below
 * "news", until "news.end".
 *
 * The broker is where $UDS_BROKER says. A client lives longer than its connections: it dials again by
 * itself, subscribes again, and tells every interruption, because what was published meanwhile is lost.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

static bool connected, ended;

/* What happens to the link, and what the broker has to say. */
static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    (void)client, (void)notice, (void)arg;
    if (event == UDS_CLIENT_CONNECTED)
        puts("connected");
    else if (event == UDS_CLIENT_NOTICE)
        printf("notice: %s\n", detail);
    else if (connected) /* else it is one more attempt that failed */
        printf("disconnected: %s: dialling again\n", *detail ? detail : strerror(-error));
    if (event != UDS_CLIENT_NOTICE)
        connected = event == UDS_CLIENT_CONNECTED;
    fflush(stdout);
}

/* Accepted, or refused by the broker's policy: also after a reconnect. */
static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *subject)
{
    (void)client;
    if (status != UDS_STATUS_OK)
        fprintf(stderr, "client: %s: %s: %s (%s)\n", (const char *)subject, uds_status_name(status),
                detail, rule);
    else
        printf("%s: the broker agrees\n", (const char *)subject);
    fflush(stdout);
}

/* Everything in the delivery is borrowed until this returns. The sender is the broker's word, not the sender's. */
static void on_news(uds_client *client, const struct uds_delivery *news, void *arg)
{
    size_t len;
    const char *text = uds_msg_peek_body(news->msg, &len);

    (void)client, (void)arg;
    printf("%s says on %s: %.*s\n", news->sender, news->subject, (int)len, text);
    fflush(stdout);
    ended = strcmp(news->subject, "news.end") == 0;
}

/* Owns the call, and answers it once: now, or at any time later. */
static void on_greet(uds_rpc_call *call, void *arg)
{
    char greeting[128];
    size_t len;
    const char *name = uds_msg_peek_body(uds_rpc_call_peek_msg(call), &len);

    (void)arg;
    int n = snprintf(greeting, sizeof(greeting), "hello, %.*s", (int)len, name);
    if (n < 0 || (size_t)n >= sizeof(greeting))
        uds_rpc_call_fail(call, UDS_STATUS_TOO_LARGE, sizeof(greeting), "a shorter name, please");
    else
        uds_rpc_call_reply(call, greeting, (size_t)n, NULL, 0);
}

int main(void)
{
    static const struct uds_client_callbacks callbacks = {.on_event = on_event};
    uds_client *client = NULL;
    int r = uds_client_new(&client, NULL, NULL, 10000); /* so long may the broker take to come up */

    if (r == 0) {
        uds_client_set_callbacks(client, &callbacks, NULL);
        r = uds_client_subscribe(client, "news.>", NULL, on_news, on_ack, "news.>", NULL);
    }
    if (r == 0)
        r = uds_client_serve(client, "greet", on_greet, on_ack, "greet", NULL);
    while (r >= 0 &&
           !ended) /* in a loop of one's own: uds_event_attach_client(), or as in ../loops */
        r = uds_client_wait(client, -1);
    if (r < 0)
        fprintf(stderr, "serve: broker: %s\n", strerror(-r));
    uds_client_free(client);
    return r < 0;
}
