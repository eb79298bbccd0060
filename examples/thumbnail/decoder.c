/* SPDX-License-Identifier: MIT */
/*
 * thumbnail-decoder: the untrusted half. Serves thumbnail.Thumbnailer through the broker that $UDS_BROKER names: an
 * image comes as a read-only descriptor, a thumbnail goes back as a sealed memfd.
 *
 * One request at a time, on one thread. It keeps nothing from one image to the next, so that being killed in the
 * middle of one (the memory limit) costs that call and no other.
 */
#include "decoder.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/pb.h>

#include "image.h"
#include "misbehave.h"
#include "thumb.h"
#include "view.h"

static const char help[] =
    "usage: thumbnail-decoder [--subject NAME] [--view] [--misbehave]\n"
    "       thumbnail-decoder --selftest FILE\n"
    "\n"
    "Makes thumbnails of PNG and JPEG images for whoever the broker lets through.\n"
    "It is meant to be started in a sandbox by a stack file, see stack.yaml.\n"
    "\n"
    "  --subject NAME   serve on this subject (default: thumbnail)\n"
    "  --view           also answer what the decoder sees of the world\n"
    "  --misbehave      also try what a decoder has no business doing, when asked\n"
    "  --selftest FILE  decode FILE without any broker and say what came out\n"
    "\n"
    "The broker is $UDS_BROKER, which a sandbox sets. Exit: 0 ok, 1 failed, 2 usage.\n";

static void decoder_make(Thumbnail__Thumbnailer_Service *service,
                         const Thumbnail__MakeRequest *input,
                         Thumbnail__MakeReply_Closure closure,
                         void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    Thumbnail__MakeReply reply;
    struct image_error error;
    struct image_info info;
    struct thumb thumb;
    int image, memfd = -1, r;

    (void)service;
    if (input->max_edge == 0 || input->max_edge > THUMB_EDGE_MAX) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "max_edge is not in 1 … 1024");
        closure(NULL, closure_data);
        return;
    }
    image = uds_pb_call_take_fd(call, 0);
    if (image < 0) {
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "no descriptor came with the request");
        closure(NULL, closure_data);
        return;
    }
    thumb_init(&thumb, input->max_edge);
    r = image_decode(image, &thumb, &info, &error);
    (void)close(image);
    if (r == 0) {
        memfd = thumb_finish(&thumb);
        if (memfd < 0)
            r = image_fail_thumb(&error, &info, -memfd);
        else if ((r = uds_pb_call_push_fd(call, memfd)) < 0) {
            (void)close(memfd);
            r = image_fail_thumb(&error, &info, -r);
        }
    }
    if (r < 0) {
        uds_pb_call_fail(call, error.status, error.value, error.detail);
        closure(NULL, closure_data);
    } else {
        char format[32];

        (void)snprintf(format, sizeof(format), "%s", info.format);
        thumbnail__make_reply__init(&reply);
        reply.width = thumb.width;
        reply.height = thumb.height;
        reply.stride = thumb.stride;
        reply.channels = thumb.channels;
        reply.source_width = info.width;
        reply.source_height = info.height;
        reply.format = format;
        closure(&reply, closure_data);
    }
    thumb_deinit(&thumb);
}

static void decoder_view(Thumbnail__Thumbnailer_Service *service,
                         const Thumbnail__ViewRequest *input,
                         Thumbnail__ViewReply_Closure closure,
                         void *closure_data)
{
    struct decoder *decoder = (struct decoder *)service;

    (void)input;
    if (!decoder->allow_view) {
        uds_pb_call_fail(uds_pb_call_from(closure_data), UDS_STATUS_UNIMPLEMENTED, 0,
                         "the decoder runs without --view");
        closure(NULL, closure_data);
        return;
    }
    view_answer(closure, closure_data);
}

static void decoder_misbehave(Thumbnail__Thumbnailer_Service *service,
                              const Thumbnail__MisbehaveRequest *input,
                              Thumbnail__MisbehaveReply_Closure closure,
                              void *closure_data)
{
    struct decoder *decoder = (struct decoder *)service;

    if (!decoder->allow_misbehave) {
        uds_pb_call_fail(uds_pb_call_from(closure_data), UDS_STATUS_UNIMPLEMENTED, 0,
                         "the decoder runs without --misbehave");
        closure(NULL, closure_data);
        return;
    }
    misbehave_answer(decoder->client, input, closure, closure_data);
}

static int selftest(const char *path)
{
    struct image_error error;
    struct image_info info;
    struct thumb thumb;
    FILE *file = fopen(path, "re");
    int r;

    if (file == NULL) {
        (void)fprintf(stderr, "thumbnail-decoder: open: %s: %s\n", path, strerror(errno));
        return 1;
    }
    thumb_init(&thumb, 256);
    r = image_decode(fileno(file), &thumb, &info, &error);
    (void)fclose(file);
    if (r < 0) {
        (void)fprintf(stderr, "thumbnail-decoder: decode: %s: %s: %s\n", path,
                      uds_status_name(error.status), error.detail);
    } else {
        (void)printf("%s: %s %ux%u -> %ux%u, %u channels\n", path, info.format, info.width,
                     info.height, thumb.width, thumb.height, thumb.channels);
    }
    thumb_deinit(&thumb);
    return r < 0 ? 1 : 0;
}

/* A broker that does not let us serve says so here: without the subject there is nothing to live for. */
static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct decoder *decoder = arg;

    (void)client;
    (void)rule;
    if (status == UDS_STATUS_OK)
        return;
    (void)fprintf(stderr, "thumbnail-decoder: serve: %s: %s: %s\n", decoder->subject,
                  uds_status_name(status), detail);
    decoder->refused = true;
}

static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    const struct decoder *decoder = arg;

    (void)client;
    (void)error;
    (void)notice;
    if (event == UDS_CLIENT_NOTICE)
        (void)fprintf(stderr, "thumbnail-decoder: broker: %s: %s\n", decoder->subject, detail);
}

static int serve(struct decoder *decoder)
{
    static const struct uds_client_callbacks callbacks = {.on_event = on_event};
    uds_pb_server *server = NULL;
    int r;

    r = uds_client_new(&decoder->client, NULL, NULL, 5000);
    if (r < 0) {
        const char *address = getenv("UDS_BROKER");

        (void)fprintf(
            stderr,
            "thumbnail-decoder: connect: %s: %s: start it from a stack file, or set UDS_BROKER\n",
            address == NULL ? "the default broker" : address, strerror(-r));
        return 1;
    }
    uds_client_set_callbacks(decoder->client, &callbacks, decoder);
    r = uds_pb_serve_subject(&server, decoder->client, decoder->subject, &decoder->service.base,
                             on_ack, decoder);
    if (r < 0)
        (void)fprintf(stderr, "thumbnail-decoder: serve: %s: %s\n", decoder->subject, strerror(-r));
    while (r >= 0 && !decoder->refused)
        r = uds_client_wait(decoder->client, -1);
    if (r < 0)
        (void)fprintf(stderr, "thumbnail-decoder: broker: lost: %s\n", strerror(-r));
    (void)uds_pb_server_free(server);
    (void)uds_client_free(decoder->client);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"subject", required_argument, NULL, 's'}, {"view", no_argument, NULL, 'v'},
        {"misbehave", no_argument, NULL, 'm'},     {"selftest", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct decoder decoder = {.service = THUMBNAIL__THUMBNAILER__INIT(decoder_),
                              .subject = "thumbnail"};
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 's':
            decoder.subject = optarg;
            break;
        case 'v':
            decoder.allow_view = true;
            break;
        case 'm':
            decoder.allow_misbehave = true;
            break;
        case 't':
            return selftest(optarg);
        case 'h':
            (void)fputs(help, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "thumbnail-decoder: argument: %s: not expected: see --help\n",
                      argv[optind]);
        return 2;
    }
    return serve(&decoder);
}
