/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_MISBEHAVE_H
#define THUMBNAIL_MISBEHAVE_H

#include <uds/client.h>

#include "thumbnail.pb-c.h"

/* Tries what input->what names and answers with what became of it, perhaps later: publishing needs the broker's reply. */
void misbehave_answer(uds_client *client,
                      const Thumbnail__MisbehaveRequest *input,
                      Thumbnail__MisbehaveReply_Closure closure,
                      void *closure_data);

#endif
