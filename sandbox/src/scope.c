/* SPDX-License-Identifier: MIT */
/*
 * Two calls over D-Bus to systemd's manager, StartTransientUnit and SetUnitProperties, written by hand: no library is worth
 * two messages. They go to the manager's private socket, where there is no bus and no Hello; the answer is looked at only for
 * being one or an error. That a scope is there is seen in /proc/self/cgroup, where it matters.
 *
 * D-Bus in short: strings are a length, bytes and a NUL; everything is aligned to its own size, structs to 8; a variant has
 * its signature in front; an array has its length in bytes, without the padding before the first element.
 */

#include "scope.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "error.h"

enum {
    ANSWER_S = 5,
    MOVED_MS = 5000,
    TYPE_CALL = 1,
    TYPE_RETURN = 2,
    TYPE_ERROR = 3,
    FIELD_PATH = 1,
    FIELD_INTERFACE = 2,
    FIELD_MEMBER = 3,
    FIELD_DESTINATION = 6,
    FIELD_SIGNATURE = 8,
    HEADER = 16
};

/* ---- writing ---- */

struct writer {
    uint8_t *bytes;
    size_t len, size;
    bool full;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
    if (w->full || n > w->size - w->len) {
        w->full = true;
        return;
    }
    memcpy(w->bytes + w->len, bytes, n);
    w->len += n;
}

static void align(struct writer *w, size_t to)
{
    static const uint8_t zeros[8];
    put(w, zeros, (to - w->len % to) % to);
}

static void put_u8(struct writer *w, uint8_t value)
{
    put(w, &value, 1);
}

/* In our own order of bytes, which the first byte of a message tells. */
static void put_u32(struct writer *w, uint32_t value)
{
    align(w, 4);
    put(w, &value, sizeof value);
}

static void put_u64(struct writer *w, uint64_t value)
{
    align(w, 8);
    put(w, &value, sizeof value);
}

static void put_string(struct writer *w, const char *text)
{
    put_u32(w, (uint32_t)strlen(text));
    put(w, text, strlen(text) + 1);
}

static void put_signature(struct writer *w, const char *text)
{
    put_u8(w, (uint8_t)strlen(text));
    put(w, text, strlen(text) + 1);
}

/* An array's length is known at its end. Returns where it goes. */
static size_t begin_array(struct writer *w, size_t element_alignment)
{
    put_u32(w, 0);
    size_t at = w->len - 4;
    align(w, element_alignment);
    return at;
}

static void end_array(struct writer *w, size_t at, size_t element_alignment)
{
    size_t first = (at + 4 + element_alignment - 1) / element_alignment * element_alignment;
    uint32_t length = (uint32_t)(w->len - first);
    if (!w->full)
        memcpy(w->bytes + at, &length, sizeof length);
}

static void put_field(struct writer *w, uint8_t code, const char *signature, const char *value)
{
    align(w, 8);
    put_u8(w, code);
    put_signature(w, signature);
    if (signature[0] == 'g')
        put_signature(w, value);
    else
        put_string(w, value);
}

static void begin_property(struct writer *w, const char *name, const char *signature)
{
    align(w, 8);
    put_string(w, name);
    put_signature(w, signature);
}

static void put_body(struct writer *w, const char *unit, const pid_t *pids, size_t n)
{
    put_string(w, unit);
    put_string(w, "fail"); /* if there is one of that name */
    size_t properties = begin_array(w, 8);
    begin_property(w, "Description", "s");
    put_string(w, "sandboxes of libuds");
    begin_property(w, "Delegate", "b");
    put_u32(w, 1);
    begin_property(w, "CollectMode", "s");
    put_string(w, "inactive-or-failed"); /* also when its last process was killed */
    begin_property(w, "PIDs", "au");
    size_t list = begin_array(w, 4);
    for (size_t i = 0; i < n; i++)
        put_u32(w, (uint32_t)pids[i]);
    end_array(w, list, 4);
    end_array(w, properties, 8);
    size_t more = begin_array(w, 8); /* no other units */
    end_array(w, more, 8);
}

/* All but the body. Returns where the body's length goes, which is known at its end. */
static size_t put_head(struct writer *w, const char *member, const char *signature)
{
    put_u8(w, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B');
    put_u8(w, TYPE_CALL);
    put_u8(w, 0);
    put_u8(w, 1);  /* protocol */
    put_u32(w, 0); /* length of the body */
    put_u32(w, 1); /* serial */
    size_t fields = begin_array(w, 8);
    put_field(w, FIELD_PATH, "o", "/org/freedesktop/systemd1");
    put_field(w, FIELD_INTERFACE, "s", "org.freedesktop.systemd1.Manager");
    put_field(w, FIELD_MEMBER, "s", member);
    put_field(w, FIELD_DESTINATION, "s", "org.freedesktop.systemd1");
    put_field(w, FIELD_SIGNATURE, "g", signature);
    end_array(w, fields, 8);
    align(w, 8);
    return w->len;
}

/* Returns the whole length, 0: it does not fit. */
static size_t end_body(struct writer *w, size_t body)
{
    if (w->full)
        return 0;
    uint32_t length = (uint32_t)(w->len - body);
    memcpy(w->bytes + 4, &length, sizeof length);
    return w->len;
}

size_t sbxi_scope_encode(uint8_t *ret, size_t size, const char *unit, const pid_t *pids, size_t n)
{
    struct writer w = {.bytes = ret, .size = size};
    size_t body = put_head(&w, "StartTransientUnit", "ssa(sv)a(sa(sv))");
    put_body(&w, unit, pids, n);
    return end_body(&w, body);
}

size_t sbxi_scope_encode_weights(
    uint8_t *ret, size_t size, const char *unit, uint32_t cpu_weight, uint32_t io_weight)
{
    struct writer w = {.bytes = ret, .size = size};
    size_t body = put_head(&w, "SetUnitProperties", "sba(sv)");
    put_string(&w, unit);
    put_u32(&w, 1); /* only while it runs: nothing is written to a disk */
    size_t properties = begin_array(&w, 8);
    if (cpu_weight) {
        begin_property(&w, "CPUWeight", "t");
        put_u64(&w, cpu_weight);
    }
    if (io_weight) {
        begin_property(&w, "IOWeight", "t");
        put_u64(&w, io_weight);
    }
    end_array(&w, properties, 8);
    return end_body(&w, body);
}

/* ---- talking ---- */

static int receive_exactly(int fd, void *bytes, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = recv(fd, (char *)bytes + got, n - got, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
        got += (size_t)r;
    }
    return 0;
}

static int send_all(int fd, const void *bytes, size_t n)
{
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    return sent == (ssize_t)n ? 0
           : sent < 0         ? -errno
                              : -EIO; /* it is small, and the first there is */
}

static int authenticate(int fd)
{
    char uid[16], line[256];
    size_t n = 1;
    line[0] = '\0';
    n += (size_t)snprintf(line + n, sizeof line - n, "AUTH EXTERNAL ");
    snprintf(uid, sizeof uid, "%u", (unsigned)geteuid());
    for (const char *p = uid; *p; p++)
        n += (size_t)snprintf(line + n, sizeof line - n, "%02x", (unsigned char)*p);
    n += (size_t)snprintf(line + n, sizeof line - n, "\r\n");
    int r = send_all(fd, line, n);
    size_t len = 0;
    while (r >= 0 && len < sizeof line - 1) { /* a line: what follows it belongs to others */
        r = receive_exactly(fd, line + len, 1);
        if (r >= 0 && line[len++] == '\n')
            break;
    }
    if (r < 0)
        return r;
    if (strncmp(line, "OK ", 3) != 0)
        return -EACCES;
    return send_all(fd, "BEGIN\r\n", 7);
}

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* The answer: 0, or -EACCES with what it says. Signals that come in between are passed over. */
static int await_answer(int fd, char *why, size_t size)
{
    uint8_t head[HEADER], rest[8192];
    for (;;) {
        int r = receive_exactly(fd, head, sizeof head);
        if (r < 0)
            return r;
        uint64_t n = ((uint64_t)u32_at(head + 12) + 7) / 8 * 8 + u32_at(head + 4);
        if (n > sizeof rest)
            return -EMSGSIZE;
        if ((r = receive_exactly(fd, rest, (size_t)n)) < 0)
            return r;
        if (head[1] == TYPE_RETURN)
            return 0;
        if (head[1] != TYPE_ERROR)
            continue;
        /* Its body begins with a string, in words. */
        size_t body = (size_t)n - u32_at(head + 4),
               length = body + 4 <= n ? u32_at(rest + body) : 0;
        if (length && body + 4 + length <= n)
            snprintf(why, size, "%.*s", (int)(length < size ? length : size - 1),
                     (const char *)rest + body + 4);
        return -EACCES;
    }
}

static int connect_manager(char *path, size_t size)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        snprintf(path, size, "/run/systemd/private");
    else if (runtime && runtime[0] == '/')
        snprintf(path, size, "%s/systemd/private", runtime);
    else
        return -ENOENT;
    if (strlen(path) >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval timeout = {.tv_sec = ANSWER_S};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0 ||
        connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return -errno;
    return sbxi_take_fd(&fd);
}

/* Does @pid live in @unit by now? Its path in @ret. */
static bool is_in(pid_t pid, const char *unit, char *ret, size_t size)
{
    char file_name[64], line[4096];
    snprintf(file_name, sizeof file_name, "/proc/%d/cgroup", (int)pid);
    _cleanup_fclose_ FILE *file = fopen(file_name, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(ret, size, "%s", line + 3);
            return strstr(line, unit) != NULL;
        }
    return false;
}

/* Sends @message of @length and hears that it was done. @path: room for the manager's, @why for its words. */
static int
ask(const uint8_t *message, size_t length, char *path, size_t size, char *why, size_t why_size)
{
    snprintf(path, size, "XDG_RUNTIME_DIR");
    _cleanup_close_ int fd = connect_manager(path, size);
    int r = fd < 0 ? fd : length ? authenticate(fd) : -E2BIG;
    if (r >= 0)
        r = send_all(fd, message, length);
    return r < 0 ? r : await_answer(fd, why, why_size);
}

static bool are_in(const pid_t *pids, size_t n, const char *unit, char *ret, size_t size)
{
    while (n > 0 && is_in(pids[n - 1], unit, ret, size))
        n--;
    return n == 0;
}

bool sbxi_scope_is_possible(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

int sbxi_scope_enter(const char *name,
                     const pid_t *pids,
                     size_t n,
                     char *ret_path,
                     size_t size,
                     struct sbx_error *error)
{
    char unit[128], path[256], why[256] = "";
    uint8_t message[4096];
    snprintf(unit, sizeof unit, "uds-%.64s-%d.scope", name, (int)getpid());
    size_t length = sbxi_scope_encode(message, sizeof message, unit, pids, n);
    int r = ask(message, length, path, sizeof path, why, sizeof why);
    uint64_t until = sbxi_now_ms() + MOVED_MS;
    /* All of them: one that came later, when the scope hands controllers down, would be refused, and the scope fail. */
    while (r >= 0 && !are_in(pids, n, unit, ret_path, size)) {
        if (sbxi_now_ms() >= until)
            r = -ETIMEDOUT;
        poll(NULL, 0, 2);
    }
    return r < 0 ? sbxi_error(error, -r, "cgroup: systemd: %s: no scope of our own: %s", path,
                              why[0] ? why : strerror(-r))
                 : 0;
}

int sbxi_scope_weigh(const char *unit,
                     uint32_t cpu_weight,
                     uint32_t io_weight,
                     struct sbx_error *error)
{
    char path[256], why[256] = "";
    uint8_t message[1024];
    size_t length = sbxi_scope_encode_weights(message, sizeof message, unit, cpu_weight, io_weight);
    int r = ask(message, length, path, sizeof path, why, sizeof why);
    return r < 0 ? sbxi_error(error, -r, "cgroup: systemd: %s: no weight for %s: %s", path, unit,
                              why[0] ? why : strerror(-r))
                 : 0;
}
