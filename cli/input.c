/* SPDX-License-Identifier: MIT */
/* See input.h. */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

char *input_read(int fd, size_t most, size_t *ret_length)
{
    size_t room = 4096, length = 0;
    char *data = malloc(room + 1);
    for (;;) {
        if (data != NULL && length == room) {
            char *more = realloc(data, (room *= 2) + 1);
            if (more == NULL)
                free(data);
            data = more;
        }
        if (data == NULL)
            return NULL;
        ssize_t n = read(fd, data + length, room - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(data);
            return NULL;
        }
        if (n == 0)
            break;
        length += (size_t)n;
        if (length > most) {
            free(data);
            errno = EFBIG;
            return NULL;
        }
    }
    data[length] = '\0';
    (void)close(fd);
    *ret_length = length;
    return data;
}
