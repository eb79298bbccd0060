/* SPDX-License-Identifier: MIT */

/*
 * Messages that say what they are: their number, their length, which descriptors they have, and a last byte that is computed
 * of the number. The descriptors are memfds whose size says which one it is.
 */

#include <unistd.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include "soak.h"

#define CARGO 8

struct seen seen;

static uint64_t random_state = 1;
static int cargo[CARGO];

void random_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15u | 1;
}

uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

void cargo_make(void)
{
    for (int i = 0; i < CARGO; i++) {
        cargo[i] = memfd_create("cargo", MFD_CLOEXEC);
        CHECK(cargo[i] >= 0 && ftruncate(cargo[i], i + 1) == 0);
    }
}

void cargo_close(void)
{
    for (int i = 0; i < CARGO; i++)
        (void)close(cargo[i]);
}

int cargo_of(uint64_t which)
{
    return cargo[which % CARGO];
}

bool cargo_is(int fd, uint64_t which)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)(which % CARGO) + 1;
}

/* Most are small, some large: the exponent is what is drawn. */
static size_t draw_size(size_t max, unsigned one_in)
{
    size_t size = (size_t)1 << (random_next() % 12);

    if (random_next() % one_in == 0)
        size = random_next() % max;
    size = sizeof(struct label) + random_next() % (size ? size : 1);
    return size > max ? max : size;
}

unsigned large_draw(void)
{
    return random_next() % 8 == 0 ? 16 : 512;
}

struct label label_draw(uint64_t number, size_t max, unsigned one_in)
{
    struct label label = {.number = number, .len = (uint32_t)draw_size(max, one_in)};

    if (random_next() % 64 == 0)
        label.nfds = (uint32_t)(1 + random_next() % sizeof(label.which));
    for (size_t i = 0; i < label.nfds; i++)
        label.which[i] = (uint8_t)(random_next() % CARGO);
    return label;
}

void label_write(const struct label *label, uint8_t *body)
{
    memcpy(body, label, sizeof(*label));
    memset(body + sizeof(*label), (int)label->number, label->len - sizeof(*label));
}

void label_check(uds_msg *msg, uint64_t number)
{
    const void *shared = uds_msg_peek_body_shared(msg, NULL);
    struct label label;
    size_t len;
    const uint8_t *body = uds_msg_peek_body(msg, &len);

    CHECK(uds_msg_get_error(msg) == 0);
    CHECK(len >= sizeof(label));
    memcpy(&label, body, sizeof(label));
    CHECK(label.len == len && label.number == number);
    CHECK(len == sizeof(label) || body[len - 1] == (uint8_t)number);
    CHECK(uds_msg_get_fd_count(msg) == label.nfds && label.nfds <= sizeof(label.which));
    for (size_t i = 0; i < label.nfds; i++) {
        int fd = i % 2 ? uds_msg_take_fd(msg, i) : uds_msg_peek_fd(msg, i);

        CHECK(cargo_is(fd, label.which[i]));
        if (i % 2)
            (void)close(fd);
    }
    seen.messages++;
    seen.bytes += len;
    seen.fds += label.nfds;
    seen.in_arenas += shared != body; /* a body in shared memory is copied before it is trusted */
}
