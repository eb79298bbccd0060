/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_VIEW_H
#define THUMBNAIL_VIEW_H

#include "thumbnail.pb-c.h"

/* Fills in what this process sees of the world and answers with it. */
void view_answer(Thumbnail__ViewReply_Closure closure, void *closure_data);

#endif
