/* SPDX-License-Identifier: MIT */

/*
 * soak [MESSAGES [SEED]]: two processes exchange messages of random sizes, some with descriptors, over connections that
 * end in order, half-close, or break off at random: through streams, seqpacket, rings and arenas, and as the parts of
 * streamed calls; 10 million unless told otherwise. Each message says which number it is, how long it is and which descriptors
 * it has; what does not agree ends the run. At the end neither process may hold more descriptors or noticeably more memory
 * than after the first tenth.
 *
 *   client (parent): connects, sends bursts or calls, receives what the server returns, ends, connects again
 *   server (child):  a libevent loop; checks what comes and answers
 *
 * Run by tests/run.sh --long.
 */

#include "soak.h"

#include <fcntl.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include <sys/wait.h>

static void listen_all(struct uds_addr addrs[WAYS], uds_listener *listeners[WAYS])
{
    static const char *const names[WAYS] = {[WAY_STREAM] = "unix:@soak",
                                            [WAY_RECORD] = "seqpacket:@soak",
                                            [WAY_CALLS] = "unix:@soak-calls"};
    char text[64];

    for (int i = 0; i < WAYS; i++) {
        (void)snprintf(text, sizeof(text), "%s-%d", names[i], (int)getpid());
        CHECK(uds_addr_parse(text, &addrs[i]) == 0);
        CHECK(uds_listener_new(&listeners[i], &addrs[i], NULL) == 0);
    }
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)getpid() * 2654435761u;
    struct uds_addr addrs[WAYS];
    uds_listener *listeners[WAYS];
    int pipe_fds[2], status;
    time_t start = time(NULL);
    bool kept;

    printf("soak: %" PRIu64 " messages, seed %" PRIu64 "\n", messages, seed);
    (void)fflush(stdout);
    random_seed(seed);
    cargo_make();
    listen_all(addrs, listeners);
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)close(pipe_fds[1]);
        random_seed(seed + 2);
        status = serve(listeners, pipe_fds[0], messages);
        for (int i = 0; i < WAYS; i++)
            (void)uds_listener_abandon(listeners[i]);
        return status;
    }
    (void)close(pipe_fds[0]);
    kept = ask(addrs, messages);
    for (int i = 0; i < WAYS; i++)
        (void)uds_listener_free(listeners[i]);
    (void)close(pipe_fds[1]);
    cargo_close();
    CHECK(waitpid(child, &status, 0) == child);
    printf("soak: %" PRIu64 " by streams, %" PRIu64 " by seqpacket, %" PRIu64 " by rings, %" PRIu64
           " as parts of %" PRIu64 " calls, of which %" PRIu64 " were taken back\n",
           tally.by_stream, tally.by_record, tally.by_ring, tally.by_calls, tally.calls,
           tally.cancelled);
    printf("soak: %" PRIu64 " connections ended in order, %" PRIu64 " half-closed, %" PRIu64
           " broken off, in %ld s: %s\n",
           tally.in_order, tally.half_closed, tally.broken_off, (long)(time(NULL) - start),
           kept && status == 0 ? "descriptors and memory are flat" : "FAILED");
    return kept && status == 0 ? 0 : 1;
}
