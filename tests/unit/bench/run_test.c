/* SPDX-License-Identifier: MIT */

/* A run: what it measures adds up, and whatever goes wrong in it is said and leaves nothing behind. */

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "body.h"
#include "guard.h"
#include "media.h"
#include "run.h"

static struct run_spec spec_of(const char *workload, const struct medium *medium)
{
    return (struct run_spec){
        .workload = workload_find(workload),
        .medium = medium,
        .cpus = CPUS_FREE,
        .size = 100,
        .batch = 1,
        .run_ns = 3000000,
    };
}

static int (*real_receive)(struct link *link);
static int (*real_send)(struct link *link, size_t count);

/* uds-stream with one verb replaced. */
static struct medium sabotaged(int (*send)(struct link *, size_t), int (*receive)(struct link *))
{
    struct medium medium = medium_uds_stream;

    real_send = medium.send;
    real_receive = medium.receive;
    if (send)
        medium.send = send;
    if (receive)
        medium.receive = receive;
    return medium;
}

static int receive_and_die(struct link *link)
{
    int r = real_receive(link);

    if (link->side == SIDE_PEER)
        (void)raise(SIGKILL);
    return r;
}

static int receive_and_hang(struct link *link)
{
    if (link->side == SIDE_PEER)
        (void)pause();
    else
        (void)raise(SIGTERM);
    return 0;
}

static int receive_and_leave(struct link *link)
{
    return link->side == SIDE_PEER ? 0 : real_receive(link);
}

static int receive_and_fail(struct link *link)
{
    return link->side == SIDE_PEER ? link_fail(link, -ENOSPC, "the sabotaged receive")
                                   : real_receive(link);
}

/* One message that is its predecessor once more. */
static int send_wrong(struct link *link, size_t count)
{
    struct body_source *out = &link->out;

    if (link->side == SIDE_PEER && out->made == 5)
        out->verify = false;
    else
        out->verify = true;
    return real_send(link, count);
}

static int run_fails(const struct run_spec *spec, char *error)
{
    struct run_result *result = malloc(sizeof(*result));
    int r = run_once(spec, result, error);

    free(result);
    return r;
}

Test(run, measures_round_trips_that_add_up)
{
    UDS_TEST_GUARD;
    struct run_spec spec = spec_of("rtt", &medium_uds_stream);
    struct run_result *result = malloc(sizeof(*result));
    char error[RUN_ERROR_MAX] = "";

    cr_assert_eq(run_once(&spec, result, error), 0, "%s", error);
    cr_assert(result->messages > 0 && result->all_messages > result->messages);
    cr_assert_eq(result->histogram.count, result->messages);
    cr_assert(result->elapsed_ns >= spec.run_ns);
    cr_assert(result->usage.cpu_ns > 0);
    free(result);
}

Test(run, verifies_every_medium_and_workload_of_this_build)
{
    UDS_TEST_GUARD;
    struct run_result *result = malloc(sizeof(*result));

    for (size_t w = 0; w < workload_count; w++)
        for (size_t m = 0; m < media_count; m++) {
            struct run_spec spec = spec_of(workloads[w].name, media[m]);
            char error[RUN_ERROR_MAX] = "";

            if (workload_refuses(spec.workload, spec.medium))
                continue;
            spec.verify = true;
            spec.batch = workloads[w].one_way ? 7 : 1;
            cr_assert_eq(run_once(&spec, result, error), 0, "%s by %s: %s", workloads[w].name,
                         media[m]->name, error);
        }
    free(result);
}

Test(run, says_that_the_peer_was_killed)
{
    UDS_TEST_GUARD;
    struct medium medium = sabotaged(NULL, receive_and_die);
    struct run_spec spec = spec_of("rtt", &medium);
    char error[RUN_ERROR_MAX] = "";

    cr_assert_eq(run_fails(&spec, error), -EPIPE);
    cr_assert(strstr(error, "the peer was killed by signal 9"), "%s", error);
}

Test(run, kills_a_side_that_waits_for_one_that_has_died)
{
    UDS_TEST_GUARD;
    struct medium medium = sabotaged(NULL, receive_and_hang);
    struct run_spec spec = spec_of("rtt", &medium);
    char error[RUN_ERROR_MAX] = "";

    cr_assert_eq(run_fails(&spec, error), -EPIPE);
    cr_assert(strstr(error, "the driver was killed by signal 15"), "%s", error);
}

Test(run, does_not_take_an_early_end_for_a_result)
{
    UDS_TEST_GUARD;
    struct medium medium = sabotaged(NULL, receive_and_leave);
    struct run_spec spec = spec_of("rtt", &medium);
    char error[RUN_ERROR_MAX] = "";

    cr_assert_eq(run_fails(&spec, error), -EPIPE);
    cr_assert(strstr(error, "the driver failed"), "%s", error);
}

Test(run, says_which_call_failed_on_which_side)
{
    UDS_TEST_GUARD;
    struct medium medium = sabotaged(NULL, receive_and_fail);
    struct run_spec spec = spec_of("rtt", &medium);
    char error[RUN_ERROR_MAX] = "";

    cr_assert_eq(run_fails(&spec, error), -EPIPE);
    cr_assert(strstr(error, "the peer failed: the sabotaged receive: No space left"), "%s", error);
}

Test(run, sees_a_message_that_is_not_the_one_that_was_sent)
{
    UDS_TEST_GUARD;
    struct medium medium = sabotaged(send_wrong, NULL);
    struct run_spec spec = spec_of("rtt", &medium);
    char error[RUN_ERROR_MAX] = "";

    spec.verify = true;
    cr_assert_eq(run_fails(&spec, error), -EPIPE);
    cr_assert(strstr(error, "a byte that arrived is not the one that was sent"), "%s", error);
}

Test(run, tells_what_a_medium_cannot_carry_from_what_goes_wrong)
{
    UDS_TEST_GUARD;
    struct run_spec spec = spec_of("rtt", &medium_uds_dgram);
    char error[RUN_ERROR_MAX] = "";

    spec.size = 16 << 20;
    cr_assert_eq(run_fails(&spec, error), -EMSGSIZE);
}

Test(body, notices_every_single_wrong_byte)
{
    UDS_TEST_GUARD;
    struct body_source source;
    uint8_t bytes[40];

    cr_assert_eq(body_source_init(&source, sizeof(bytes), true), 0);
    memcpy(bytes, body_source_next(&source), sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        struct body_sink sink = {.size = sizeof(bytes), .verify = true};

        body_sink_take(&sink, bytes, 13);
        body_sink_take(&sink, bytes + 13, sizeof(bytes) - 13);
        cr_assert_not(sink.wrong);
        sink.taken = 0;
        bytes[i] ^= 0x10;
        body_sink_take(&sink, bytes, sizeof(bytes));
        cr_assert(sink.wrong, "byte %zu", i);
        bytes[i] ^= 0x10;
    }
    body_source_deinit(&source);
}
