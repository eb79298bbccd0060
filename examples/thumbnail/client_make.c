/* SPDX-License-Identifier: MIT */
/* One line, or one JSON object, for each image: what it was, what became of it, how long it took. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uds/error.h>

#include "client.h"
#include "picture.h"
#include "text.h"

struct made {
    struct session *session;
    bool ok;
    char format[32];
    uint32_t source_width, source_height;
    struct picture picture; /* mapped if ok */
    char error[640];
};

static void on_made(const Thumbnail__MakeReply *reply, void *data)
{
    struct made *made = data;
    int fd;

    session_note(made->session);
    if (reply == NULL)
        return;
    fd = uds_pb_stub_take_fd(made->session->stub, 0);
    if (fd < 0) {
        (void)snprintf(made->error, sizeof(made->error), "the decoder sent no pixels");
        return;
    }
    if (picture_map(&made->picture, reply, fd, made->session->max_edge, made->error,
                    sizeof(made->error)) == 0) {
        made->ok = true;
        (void)snprintf(made->format, sizeof(made->format), "%s", text_clean(reply->format));
        made->source_width = reply->source_width;
        made->source_height = reply->source_height;
    }
    (void)close(fd);
}

static void start(ProtobufCService *service, void *arg)
{
    struct made *made = arg;
    Thumbnail__MakeRequest request = THUMBNAIL__MAKE_REQUEST__INIT;

    request.max_edge = made->session->max_edge;
    thumbnail__thumbnailer__make(service, &request, on_made, made);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* DIR/NAME.thumb.png; a second image of the same name in this run becomes NAME.2.thumb.png. */
static void
output_path(const struct session *session, char *const *paths, int index, char *buf, size_t size)
{
    const char *name = base_name(paths[index]);
    int same = 1;

    for (int i = 0; i < index; i++)
        if (strcmp(base_name(paths[i]), name) == 0)
            same++;
    if (same == 1)
        (void)snprintf(buf, size, "%s/%s.thumb.png", session->out, name);
    else
        (void)snprintf(buf, size, "%s/%s.%d.thumb.png", session->out, name, same);
}

static double milliseconds_since(const struct timespec *start_time)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start_time->tv_sec) * 1e3 +
           (double)(now.tv_nsec - start_time->tv_nsec) / 1e6;
}

static void print_text(struct made *made, const char *file, int width, double ms)
{
    char size[32], small[32], name[256];

    (void)snprintf(name, sizeof(name), "%s", file);
    (void)text_clean(name);

    if (!made->ok) {
        (void)printf("  %-*s  FAILED %s\n", width, name, text_clean(made->error));
        return;
    }
    (void)snprintf(size, sizeof(size), "%ux%u", made->source_width, made->source_height);
    (void)snprintf(small, sizeof(small), "%ux%u", made->picture.width, made->picture.height);
    (void)printf("  %-*s  %-16s  %11s → %-9s %7.0f ms\n", width, name, made->format, size, small,
                 ms);
}

static void
print_json(const struct made *made, const char *path, const char *output, double ms, bool first)
{
    const struct session *session = made->session;

    (void)fputs(first ? "\n  {" : ",\n  {", stdout);
    json_member(stdout, "image", path);
    (void)printf(", \"ok\": %s, \"ms\": %.1f, ", made->ok ? "true" : "false", ms);
    if (made->ok) {
        json_member(stdout, "format", made->format);
        (void)printf(
            ", \"source_width\": %u, \"source_height\": %u, \"width\": %u, \"height\": %u, ",
            made->source_width, made->source_height, made->picture.width, made->picture.height);
        json_member(stdout, "output", output);
    } else {
        /* "failed": on this side, where no status says it: a file that cannot be opened or written. */
        json_member(stdout, "status",
                    session->status == UDS_STATUS_OK ? "failed" : uds_status_name(session->status));
        (void)printf(", \"value\": %llu, ", (unsigned long long)session->value);
        json_member(stdout, "error", made->error);
    }
    (void)putchar('}');
}

/* 0 with made->ok or made->error; -errno the connection is gone. */
static int
make_one(struct session *session, struct made *made, const char *path, const char *output)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char error[512];
    int r;

    session->status = UDS_STATUS_OK;
    session->value = 0;
    if (fd < 0) {
        (void)snprintf(made->error, sizeof(made->error), "open: %s", strerror(errno));
        return 0;
    }
    r = session_call(session, start, made, &fd, 1);
    (void)close(fd);
    if (r < 0) {
        (void)snprintf(made->error, sizeof(made->error), "broker: %s", strerror(-r));
        return r;
    }
    if (session->status != UDS_STATUS_OK) {
        session_describe(session, made->error, sizeof(made->error));
        return 0;
    }
    if (!made->ok)
        return 0;
    r = picture_write_png(&made->picture, output, error, sizeof(error));
    picture_unmap(&made->picture);
    if (r < 0) {
        made->ok = false;
        (void)snprintf(made->error, sizeof(made->error), "write: %s", error);
    }
    return 0;
}

int client_make(struct session *session, char **paths, int count)
{
    int code = CLIENT_OK, width = 0, r = 0;

    for (int i = 0; i < count; i++) {
        int length = (int)strlen(base_name(paths[i]));

        width = length > width ? length : width;
    }
    if (session->json)
        (void)putchar('[');
    for (int i = 0; i < count && r == 0; i++) {
        struct made made = {.session = session};
        struct timespec start_time;
        char output[4096];
        double ms;

        output_path(session, paths, i, output, sizeof(output));
        (void)clock_gettime(CLOCK_MONOTONIC, &start_time);
        r = make_one(session, &made, paths[i], output);
        ms = milliseconds_since(&start_time);
        if (session->json)
            print_json(&made, paths[i], output, ms, i == 0);
        else
            print_text(&made, base_name(paths[i]), width, ms);
        (void)fflush(stdout);
        if (!made.ok)
            code = CLIENT_FAILED;
    }
    if (session->json)
        (void)puts("\n]");
    return code;
}
