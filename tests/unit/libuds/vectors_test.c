/* SPDX-License-Identifier: MIT */
/*
 * The byte sequences in tests/vectors, which other implementations test against too, run through ours: the header decoder
 * alone, a connection that gets them in one piece, a connection that gets them byte by byte, and our own encoder.
 */
#include "vector.h"

static const uint8_t hello_front[] = {
    0xd5, 1, 1,  0, 0, 0, 0, 0, 28, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0,
    0,    0, 32, 0, 4, 0, 0, 0, 0,  1, 33, 0, 4, 0, 16, 0, 0, 0, 34, 0, 8, 0,
};

/* ---- a connection on one end of a socketpair, raw bytes on the other ---- */

struct bench {
    int raw;
    uds_conn *conn;
    uds_msg *messages[EXPECTS_MAX + 1];
    size_t nmessages;
    bool closed;
    int error;
};

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct bench *b = arg;

    (void)conn;
    cr_assert_leq(b->nmessages, EXPECTS_MAX, "more messages than any vector has");
    b->messages[b->nmessages++] = msg;
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct bench *b = arg;

    (void)conn;
    b->closed = true;
    b->error = error;
}

static void bench_open(struct bench *b, int socket_type, uint32_t max_body, uint32_t max_fds)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message,
        .on_close = on_close,
    };
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    int sv[2], on = 1;

    memset(b, 0, sizeof(*b));
    options.max_body = max_body;
    options.max_fds = max_fds;
    options.ring_bytes = socket_type == SOCK_STREAM ? 4096 : 0;
    cr_assert_eq(socketpair(AF_UNIX, socket_type | SOCK_CLOEXEC, 0, sv), 0);
    b->raw = sv[1];
    cr_assert_eq(uds_conn_new(&b->conn, sv[0], &options), 0);
    uds_conn_set_callbacks(b->conn, &callbacks, b);
    /* So that the receiver has to refuse fds itself, as before 6.16. */
    (void)setsockopt(sv[0], SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
}

static void bench_run(struct bench *b)
{
    /* Ends when nothing is left to be done; 64 rounds are more than any vector's bytes can keep it busy. */
    for (int i = 0; i < 64 && !b->closed; i++)
        if (uds_conn_process(b->conn) == 0 && uds_conn_get_timeout(b->conn) != 0)
            break;
}

static void bench_close(struct bench *b)
{
    for (size_t i = 0; i < b->nmessages; i++)
        uds_msg_unref(b->messages[i]);
    uds_conn_unref(b->conn);
    close(b->raw);
}

/* Memory of @size bytes that may be mapped: on tmpfs, sealed with @seals, every page written. */
static int make_memory(size_t size, int seals)
{
    static const char page[4096];
    int fd = memfd_create("vector", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_geq(fd, 0);
    for (size_t done = 0; done < size; done += sizeof(page))
        cr_assert_eq(write(fd, page, sizeof(page)), (ssize_t)sizeof(page));
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | seals), 0);
    return fd;
}

/* @nfds descriptors as @v says go with the bytes. */
static void raw_send(const struct vector *v, int fd, const void *bytes, size_t len, size_t nfds)
{
    const int seals = v->ring ? F_SEAL_SEAL : F_SEAL_FUTURE_WRITE;

    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(UDS_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int fds[UDS_FDS_MAX];
    ssize_t n;

    if (nfds > 0) {
        struct cmsghdr *cmsg = &control.align;

        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        for (size_t i = 0; i < nfds; i++)
            cr_assert_geq(fds[i] = v->memory ? make_memory(v->memory, seals)
                                             : open("/dev/null", O_RDONLY | O_CLOEXEC),
                          0);
        memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
    }
    n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    for (size_t i = 0; i < nfds; i++)
        close(fds[i]);
    /* EPIPE: byte by byte, the receiver may have closed before the end. */
    cr_assert(n == (ssize_t)len || (n < 0 && (errno == EPIPE || errno == ECONNRESET)),
              "sendmsg: %s", strerror(errno));
}

/* A correct HELLO with the vector's FEATURES. */
static void send_hello(const struct vector *v, int raw)
{
    uint8_t hello[sizeof(hello_front) + 8];

    memcpy(hello, hello_front, sizeof(hello_front));
    for (size_t i = 0; i < 8; i++)
        hello[sizeof(hello_front) + i] = (uint8_t)(v->features >> (8 * i));
    raw_send(v, raw, hello, sizeof(hello), 0);
}

/* ---- what has to come of it ---- */

static void check_messages(const struct vector *v, const struct bench *b)
{
    cr_assert_eq(b->nmessages, v->nmessages, "%s: %zu messages", v->name, b->nmessages);
    for (size_t i = 0; i < v->nmessages; i++) {
        const struct seen *want = &v->messages[i];
        const uds_msg *got = b->messages[i];
        size_t head_len, body_len;

        (void)uds_msg_peek_head(got, &head_len);
        (void)uds_msg_peek_body(got, &body_len);
        cr_assert_eq((unsigned)uds_msg_get_type(got), want->type, "%s: type", v->name);
        cr_assert_eq(uds_msg_get_id(got), want->id, "%s: id", v->name);
        cr_assert_eq(head_len, want->head_len, "%s: head of %zu bytes", v->name, head_len);
        cr_assert_eq(body_len, want->body_len, "%s: body of %zu bytes", v->name, body_len);
        cr_assert_eq(uds_msg_get_fd_count(got), want->nfds, "%s: fds", v->name);
    }
}

/* How long is the frame at the beginning of @bytes? 0: it is not whole. */
static size_t frame_length(const uint8_t *bytes, size_t len)
{
    const struct udsi_limits all = {
        .max_body = UINT32_MAX, .max_fds = UDS_FDS_MAX, .features = UINT64_MAX};
    struct udsi_header header;
    size_t whole;

    if (len < UDSI_HEADER_SIZE || udsi_header_decode(bytes, &all, &header) != UDSI_RULE_NONE)
        return 0;
    whole = UDSI_HEADER_SIZE + header.head_length + (size_t)header.body_length;
    return whole <= len ? whole : 0;
}

static void check_answer(const struct vector *v, const struct bench *b)
{
    uint8_t buf[4096];
    size_t len = 0, hello;
    ssize_t n;

    if (v->answer_len == 0)
        return;
    while ((n = recv(b->raw, buf + len, sizeof(buf) - len, MSG_DONTWAIT)) > 0)
        len += (size_t)n;
    hello = frame_length(buf, len);
    cr_assert_eq(len - hello, v->answer_len, "%s: an answer of %zu bytes", v->name, len - hello);
    cr_assert_eq(memcmp(buf + hello, v->answer, v->answer_len), 0, "%s: another answer", v->name);
}

static void check_outcome(const struct vector *v, const struct bench *b)
{
    char rule[16];

    check_answer(v, b);
    switch (v->outcome) {
    case OUTCOME_OPEN:
        cr_assert_not(b->closed, "%s: closed: %s", v->name, uds_conn_get_error_text(b->conn));
        check_messages(v, b);
        break;
    case OUTCOME_END:
        cr_assert(b->closed, "%s: still open", v->name);
        cr_assert_eq(b->error, 0, "%s: %s", v->name, uds_conn_get_error_text(b->conn));
        check_messages(v, b);
        break;
    case OUTCOME_CLOSE:
        snprintf(rule, sizeof(rule), "P-%u:", v->rule);
        cr_assert(b->closed, "%s: still open", v->name);
        cr_assert_eq(b->error, -EPROTO, "%s: %s", v->name, strerror(-b->error));
        cr_assert_not_null(strstr(uds_conn_get_error_text(b->conn), rule),
                           "%s: \"%s\" does not name %s", v->name, uds_conn_get_error_text(b->conn),
                           rule);
        break;
    case OUTCOME_DROP:
        break; /* run_datagram() */
    }
}

static void run_at_once(const struct vector *v)
{
    struct bench b;

    if (v->socket_type == SOCK_DGRAM)
        return;
    bench_open(&b, v->socket_type, v->max_body, v->max_fds);
    if (v->hello)
        send_hello(v, b.raw);
    raw_send(v, b.raw, v->bytes, v->len, v->fds);
    bench_run(&b);
    check_outcome(v, &b);
    bench_close(&b);
}

static void run_byte_by_byte(const struct vector *v)
{
    struct bench b;

    if (v->socket_type != SOCK_STREAM || v->whole)
        return;
    bench_open(&b, v->socket_type, v->max_body, v->max_fds);
    if (v->hello)
        send_hello(v, b.raw);
    bench_run(&b);
    for (size_t i = 0; i < v->len && !b.closed; i++) {
        raw_send(v, b.raw, v->bytes + i, 1, i == 0 ? v->fds : 0);
        bench_run(&b);
    }
    check_outcome(v, &b);
    bench_close(&b);
}

/* Is the first frame one for the application? */
static bool begins_with_message(const struct vector *v)
{
    return v->hello && v->bytes[2] >= UDS_MSG_MESSAGE && v->bytes[2] != UDS_MSG_RING;
}

static void run_header(const struct vector *v)
{
    const struct udsi_limits limits = {
        .max_body = v->max_body, .max_fds = v->max_fds, .features = v->features};
    struct udsi_header header;
    enum udsi_rule rule;

    if (v->len < UDSI_HEADER_SIZE)
        return;
    rule = udsi_header_decode(v->bytes, &limits, &header);
    if ((v->outcome == OUTCOME_CLOSE || v->outcome == OUTCOME_DROP) &&
        (v->rule <= UDSI_RULE_FD_COUNT || v->rule == UDSI_RULE_BODY_REF)) {
        cr_assert_eq((unsigned)rule, v->rule, "%s: P-%u", v->name, (unsigned)rule);
    } else {
        cr_assert_eq(rule, UDSI_RULE_NONE, "%s: %s", v->name, udsi_rule_text(rule));
        if (v->nmessages == 1 && begins_with_message(v)) {
            cr_assert_eq(header.type, v->messages[0].type, "%s", v->name);
            cr_assert_eq(header.id, v->messages[0].id, "%s", v->name);
            cr_assert_eq(header.head_length, v->messages[0].head_len, "%s", v->name);
            cr_assert_eq(header.body_length, v->messages[0].body_len, "%s", v->name);
            cr_assert_eq(header.fd_count, v->messages[0].nfds, "%s", v->name);
        }
    }
}

/* The same message, made anew through the public functions. */
static uds_msg *rebuild(const uds_msg *from)
{
    size_t body_len, pos = 0, len;
    const void *body = uds_msg_peek_body(from, &body_len), *data;
    uint16_t tag;
    uds_msg *msg;

    cr_assert_eq(uds_msg_new(&msg, uds_msg_get_type(from), uds_msg_get_id(from), body, body_len),
                 0);
    while (uds_msg_next(from, &pos, &tag, &data, &len))
        cr_assert_eq(uds_msg_add_bytes(msg, tag, data, len), 0);
    for (size_t i = 0; i < uds_msg_get_fd_count(from); i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, uds_msg_peek_fd(from, i)), 0);
    return msg;
}

static size_t raw_receive(int fd, uint8_t *buf, size_t size, size_t *ret_nfds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(UDS_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *ret_nfds = 0;
    cr_assert_gt(n, 0, "recvmsg: %s", strerror(errno));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        int fds[UDS_FDS_MAX];

        cr_assert_eq(c->cmsg_type, SCM_RIGHTS);
        *ret_nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *ret_nfds * sizeof(int));
        for (size_t i = 0; i < *ret_nfds; i++)
            close(fds[i]);
    }
    return (size_t)n;
}

static void run_datagram(const struct vector *v)
{
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    uds_dgram *to, *from;
    char rule[16];
    struct bench b = {0};
    int on = 1;

    if (v->socket_type != SOCK_DGRAM)
        return;
    options.max_body = v->max_body;
    options.max_fds = v->max_fds;
    cr_assert_eq(uds_dgram_pair(&to, &from, &options), 0);
    /* So that the receiver has to refuse fds itself, as before 6.16. */
    (void)setsockopt(uds_dgram_get_fd(to), SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
    raw_send(v, uds_dgram_get_fd(from), v->bytes, v->len, v->fds);
    while (uds_dgram_receive(to, &b.messages[b.nmessages], NULL) == 1)
        b.nmessages++;
    snprintf(rule, sizeof(rule), "P-%u:", v->rule);
    check_messages(v, &b);
    if (v->outcome == OUTCOME_DROP)
        cr_assert_not_null(strstr(uds_dgram_get_drop_text(to), rule), "%s: \"%s\" does not name %s",
                           v->name, uds_dgram_get_drop_text(to), rule);
    if (v->nmessages == 1) {
        uint8_t buf[BYTES_MAX];
        uds_msg *copy = rebuild(b.messages[0]);
        size_t nfds;

        cr_assert_eq(uds_dgram_send(to, NULL, copy), 0);
        cr_assert_eq(raw_receive(uds_dgram_get_fd(from), buf, sizeof(buf), &nfds), v->len);
        cr_assert_eq(memcmp(buf, v->bytes, v->len), 0, "%s: our encoder differs", v->name);
        cr_assert_eq(nfds, v->fds);
        uds_msg_unref(copy);
    }
    for (size_t i = 0; i < b.nmessages; i++)
        uds_msg_unref(b.messages[i]);
    uds_dgram_unref(to);
    uds_dgram_unref(from);
}

static void run_encoder(const struct vector *v)
{
    uint8_t buf[BYTES_MAX];
    struct bench b;
    size_t n, nfds;
    uds_msg *copy;

    if (v->socket_type == SOCK_DGRAM || v->nmessages != 1 || !begins_with_message(v) ||
        v->features != 0 || v->outcome != OUTCOME_OPEN)
        return;
    bench_open(&b, v->socket_type, v->max_body, v->max_fds);
    send_hello(v, b.raw);
    raw_send(v, b.raw, v->bytes, v->len, v->fds);
    bench_run(&b);
    check_outcome(v, &b);
    (void)raw_receive(b.raw, buf, sizeof(buf), &nfds); /* its HELLO */

    copy = rebuild(b.messages[0]);
    cr_assert_eq(uds_conn_send(b.conn, copy), 0, "%s", v->name);
    cr_assert_eq(uds_conn_flush(b.conn), 0, "%s", v->name);
    uds_msg_unref(copy);
    n = raw_receive(b.raw, buf, sizeof(buf), &nfds);
    cr_assert_eq(n, v->len, "%s: %zu bytes", v->name, n);
    cr_assert_eq(memcmp(buf, v->bytes, n), 0, "%s: other bytes", v->name);
    cr_assert_eq(nfds, v->fds, "%s: %zu fds", v->name, nfds);
    bench_close(&b);
}

/* P-1 */ /* P-2 */ /* P-3 */ /* P-4 */ /* P-5 */ /* P-6 */ /* P-7 */ /* P-8 */
Test(vectors, the_header_decoder_agrees)
{
    UDS_TEST_GUARD;
    for_each_vector(run_header);
}

/* P-9 */ /* P-10 */ /* P-11 */ /* P-12 */ /* P-13 */ /* P-14 */ /* P-15 */ /* P-16 */ /* P-17 */
/* P-18 */ /* P-19 */ /* P-33 */ /* P-34 */ /* P-35 */                                 /* P-36 */
Test(vectors, a_connection_does_what_they_expect)
{
    UDS_TEST_GUARD;
    for_each_vector(run_at_once);
}

Test(vectors, byte_by_byte_is_no_different)
{
    UDS_TEST_GUARD;
    for_each_vector(run_byte_by_byte);
}

Test(vectors, our_encoder_gives_the_same_bytes)
{
    UDS_TEST_GUARD;
    for_each_vector(run_encoder);
}

/* Each rule that a receiver enforces has at least one vector that breaks it, but for those that are broken in shared memory. */
static bool rule_has_vector[UDSI_RULE_COUNT];

static void note_rule(const struct vector *v)
{
    if (v->outcome == OUTCOME_CLOSE || v->outcome == OUTCOME_DROP) {
        cr_assert_lt(v->rule, UDSI_RULE_COUNT, "%s: P-%u is no rule of a receiver", v->name,
                     v->rule);
        rule_has_vector[v->rule] = true;
    }
}

Test(vectors, each_rule_of_the_receiver_is_broken_by_one)
{
    UDS_TEST_GUARD;
    for_each_vector(note_rule);
    for (unsigned rule = 1; rule < UDSI_RULE_COUNT; rule++)
        cr_assert(rule_has_vector[rule] || rule == UDSI_RULE_RING_INDEX ||
                      rule == UDSI_RULE_RING_FDS || udsi_rule_text((enum udsi_rule)rule)[0] == '\0',
                  "no vector breaks %s", udsi_rule_text((enum udsi_rule)rule));
}

/* Every type of frame is in a vector that breaks no rule, as what is received or as the answer to it. */
static bool type_has_vector[UINT8_MAX + 1];

static void note_types(const uint8_t *bytes, size_t len)
{
    for (size_t n; (n = frame_length(bytes, len)) > 0; bytes += n, len -= n)
        type_has_vector[bytes[2]] = true;
}

static void note_good_types(const struct vector *v)
{
    if (v->outcome != OUTCOME_OPEN && v->outcome != OUTCOME_END)
        return;
    note_types(v->bytes, v->len);
    note_types(v->answer, v->answer_len);
}

Test(vectors, show_each_type_of_frame)
{
    UDS_TEST_GUARD;
    uint8_t header[UDSI_HEADER_SIZE] = {UDSI_FRAME_MAGIC, UDSI_FRAME_VERSION};

    for_each_vector(note_good_types);
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        header[2] = (uint8_t)type;
        cr_expect_eq(frame_length(header, sizeof(header)) > 0, type_has_vector[type], "type %u",
                     type);
    }
}

/* P-72 */
Test(vectors, of_datagrams_are_taken_or_dropped)
{
    UDS_TEST_GUARD;
    for_each_vector(run_datagram);
}
