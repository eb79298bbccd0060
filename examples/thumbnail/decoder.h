/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_DECODER_H
#define THUMBNAIL_DECODER_H

#include <stdbool.h>

#include <uds/client.h>

#include "thumbnail.pb-c.h"

struct decoder {
    Thumbnail__Thumbnailer_Service service; /* first: the generated code hands us a pointer to it */
    uds_client *client;
    const char *subject;
    bool allow_view, allow_misbehave; /* flags of the command line */
    bool refused;                     /* the broker does not let us serve */
};

#endif
