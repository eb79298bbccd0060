/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STATUS_H
#define SUPERVISOR_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One line per event: "decoder:  started (…)" for people, or one JSON object for programs. */

struct status {
    FILE *out; /* NULL = say nothing */
    bool json;
    int width; /* of the first column */
};

/* A fact for programs; @text NULL = it is a number. */
struct status_fact {
    const char *key;
    const char *text;
    uint64_t number;
};

void status_init(struct status *status, FILE *out, bool json);
/* Make the first column wide enough for @subject. */
void status_fit(struct status *status, const char *subject);
/*
 * @event is the JSON form's one word ("started"); the text is for people, and is JSON's "text".
 * @facts ends with a fact without key, or is NULL.
 */
__attribute__((format(printf, 5, 6))) void status_say(const struct status *status,
                                                      const char *subject,
                                                      const char *event,
                                                      const struct status_fact *facts,
                                                      const char *format,
                                                      ...);

#endif
