/* SPDX-License-Identifier: MIT */
#ifndef VECTOR_H
#define VECTOR_H

/* The files in tests/vectors, read: docs/protocol.md "Test vectors" has the format. */

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include <uds/conn.h>
#include <uds/dgram.h>
#include <uds/msg.h>

#include "guard.h"
#include "socket/kernel.h"
#include "wire/frame.h"

#define BYTES_MAX   20000
#define EXPECTS_MAX 4
#define ANSWER_MAX  128

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_END,
    OUTCOME_CLOSE,
    OUTCOME_DROP
};

struct seen {
    unsigned type;
    unsigned long long id;
    size_t head_len, body_len, nfds;
};

struct vector {
    char name[256];
    int socket_type;
    bool hello;
    size_t fds;
    bool whole;    /* only meant to arrive in one piece */
    size_t memory; /* 0: the fds are of /dev/null; otherwise of so many bytes of memory */
    bool ring;     /* that memory is a ring's, which both sides may write */
    uint32_t max_body, max_fds;
    unsigned long long features;
    struct seen messages[EXPECTS_MAX];
    size_t nmessages;
    enum outcome outcome;
    unsigned rule; /* OUTCOME_CLOSE, OUTCOME_DROP */
    uint8_t bytes[BYTES_MAX];
    size_t len;
    uint8_t
        answer[ANSWER_MAX]; /* what the receiver sends behind its HELLO; of no length: whatever */
    size_t answer_len;
};

/* Appends the digits of @line to @bytes of @size, of which *@len are there. */
static inline void
read_hex(const struct vector *v, const char *line, uint8_t *bytes, size_t size, size_t *len)
{
    unsigned byte;
    int used;

    for (; *line && *line != '#'; line += used) {
        used = 1;
        if (*line == ' ' || *line == '\n')
            continue;
        cr_assert_eq(sscanf(line, "%2x%n", &byte, &used), 1, "%s: not hex: %s", v->name, line);
        cr_assert_eq(used, 2);
        cr_assert_lt(*len, size);
        bytes[(*len)++] = (uint8_t)byte;
    }
}

static inline void read_key(struct vector *v, const char *line)
{
    static const char answer[] = "# answer:", ring[] = "# ring memory:";
    struct seen m;

    if (strcmp(line, "# socket: seqpacket\n") == 0)
        v->socket_type = SOCK_SEQPACKET;
    else if (strcmp(line, "# socket: dgram\n") == 0)
        v->socket_type = SOCK_DGRAM;
    else if (strcmp(line, "# hello: none\n") == 0)
        v->hello = false;
    else if (strcmp(line, "# expect: end\n") == 0)
        v->outcome = OUTCOME_END;
    else if (sscanf(line, "# expect: close P-%u", &v->rule) == 1)
        v->outcome = OUTCOME_CLOSE;
    else if (sscanf(line, "# expect: drop P-%u", &v->rule) == 1)
        v->outcome = OUTCOME_DROP;
    else if (sscanf(line, "# fds: %zu", &v->fds) == 1)
        return;
    else if (strcmp(line, "# arrives: whole\n") == 0)
        v->whole = true;
    else if (sscanf(line, "# memory: %zu", &v->memory) == 1)
        return;
    else if (strncmp(line, ring, strlen(ring)) == 0)
        v->ring = sscanf(line + strlen(ring), "%zu", &v->memory) == 1;
    else if (strncmp(line, answer, strlen(answer)) == 0)
        read_hex(v, line + strlen(answer), v->answer, sizeof(v->answer), &v->answer_len);
    else if (sscanf(line, "# features: %llu", &v->features) == 1)
        return;
    else if (sscanf(line, "# limits: %u %u", &v->max_body, &v->max_fds) == 2)
        return;
    else if (sscanf(line, "# expect: message %u %llu %zu %zu %zu", &m.type, &m.id, &m.head_len,
                    &m.body_len, &m.nfds) == 5) {
        cr_assert_lt(v->nmessages, EXPECTS_MAX);
        v->messages[v->nmessages++] = m;
    }
}

static inline void read_vector(struct vector *v, const char *name)
{
    char path[512], line[512];
    FILE *f;

    memset(v, 0, sizeof(*v));
    snprintf(v->name, sizeof(v->name), "%s", name);
    v->socket_type = SOCK_STREAM;
    v->hello = true;
    v->max_body = UDS_BODY_DEFAULT;
    v->max_fds = UDS_FDS_DEFAULT;
    snprintf(path, sizeof(path), "%s/vectors/%s", UDS_TEST_DATA, name);
    f = fopen(path, "re");
    cr_assert_not_null(f, "%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            read_key(v, line);
        else
            read_hex(v, line, v->bytes, sizeof(v->bytes), &v->len);
    }
    fclose(f);
    cr_assert_gt(v->len, 0, "%s has no bytes", name);
}

/* Calls @run for each vector, and makes sure that there are some of both sorts. */
static inline void for_each_vector(void (*run)(const struct vector *v))
{
    static struct vector v;
    size_t ok = 0, bad = 0;
    struct dirent *entry;
    DIR *dir = opendir(UDS_TEST_DATA "/vectors");

    cr_assert_not_null(dir);
    while ((entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".hex"))
            continue;
        read_vector(&v, entry->d_name);
        if (strncmp(v.name, "bad-", 4) == 0) {
            cr_assert_eq(v.outcome, v.socket_type == SOCK_DGRAM ? OUTCOME_DROP : OUTCOME_CLOSE,
                         "%s expects no rule to be broken", v.name);
            bad++;
        } else {
            cr_assert(v.outcome == OUTCOME_OPEN || v.outcome == OUTCOME_END,
                      "%s expects a rule to be broken", v.name);
            ok++;
        }
        run(&v);
    }
    closedir(dir);
    cr_assert_gt(ok, 30);
    cr_assert_gt(bad, 30);
}

#endif
