/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_RINGPEER_H
#define UDS_TEST_RINGPEER_H

#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

#include "conn/ring.h"
#include "rawpeer.h"

/* A raw peer with a ring: its end of the socket and its side of the memory, to be used as it likes. */

#define RINGPEER_SIZE 4096u

struct ringpeer {
    uds_conn *conn; /* ours */
    int sock;
    void *base;
    struct udsi_ring ring;
};

/* A connection of ours that takes rings, and nothing said yet. */
struct ringpeer ringpeer_new(void);
void ringpeer_free(struct ringpeer *peer);
#define _cleanup_ringpeer_ __attribute__((cleanup(ringpeer_free)))

void ringpeer_hello(struct ringpeer *peer);
/* A RING frame; @bytes 0: no length, @fd -1: none. */
void ringpeer_step(struct ringpeer *peer, uint64_t id, uint32_t step, uint32_t bytes, int fd);

/* A ring is in use both ways, and what we said on the stream has been read. @seen hears what ours is told. */
struct ringpeer ringpeer_over(struct raw_seen *seen);

/* Our process() until it has nothing more to do, and its result; a peer must not be able to keep it busy with nothing. */
int ringpeer_run(struct ringpeer *peer);
/* The same, and it ends with -EPROTO about @rule. */
void ringpeer_expect(struct ringpeer *peer, const char *rule);

void ringpeer_bell(struct ringpeer *peer);
/* A message into the ring, and the doorbell. */
void ringpeer_put(struct ringpeer *peer, uint64_t id, size_t body_len, uint16_t claimed_fds);
void ringpeer_send_fds(struct ringpeer *peer, size_t nfds);

#endif
