/* SPDX-License-Identifier: MIT */
/* See options.h. */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

#define BODY_MAX (16u << 20)

static int load_stdin(struct body *body)
{
    size_t room = 65536;
    char *data = malloc(room);

    body->len = 0;
    while (data != NULL) {
        ssize_t n;

        if (body->len == room) {
            char *larger = realloc(data, room * 2);

            if (larger == NULL)
                break;
            data = larger;
            room *= 2;
        }
        n = read(STDIN_FILENO, data + body->len, room - body->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cli_error("read: standard input: %s", strerror(errno));
            free(data);
            return CLI_FAILED;
        }
        if (n == 0) {
            body->data = data;
            body->bytes = data;
            return CLI_OK;
        }
        body->len += (size_t)n;
        if (body->len > BODY_MAX) {
            cli_error("standard input: over 16 MiB: a message is smaller: send the file as a "
                      "descriptor, see --file");
            free(data);
            return CLI_FAILED;
        }
    }
    free(data);
    cli_error("standard input: out of memory");
    return CLI_FAILED;
}

int body_load(struct body *body, const char *argument)
{
    *body = (struct body){.bytes = ""};
    if (argument == NULL)
        return CLI_OK;
    if (strcmp(argument, "-") == 0)
        return load_stdin(body);
    body->bytes = argument;
    body->len = strlen(argument);
    return CLI_OK;
}

void body_free(struct body *body)
{
    free(body->data);
    body->data = NULL;
}

int header_list_add(struct header_list *list, const char *text)
{
    const size_t room = sizeof(list->strings) / sizeof(list->strings[0]) - 1;
    const char *equals = strchr(text, '=');
    char *name;

    if (equals == NULL || equals == text)
        return cli_usage("-H: %s: not NAME=VALUE", text);
    for (const char *p = text; p < equals; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return cli_usage("-H: a name with a control character");
    if (list->count == room)
        return cli_usage("-H: more than %zu headers", room / 2);
    name = strdup(text);
    if (name == NULL) {
        cli_error("-H: out of memory");
        return CLI_FAILED;
    }
    name[equals - text] = '\0';
    list->strings[list->count++] = name;
    list->strings[list->count++] = name + (equals - text) + 1;
    return CLI_OK;
}

const char *const *header_list_get(const struct header_list *list)
{
    return (const char *const *)list->strings;
}

void header_list_free(struct header_list *list)
{
    for (size_t i = 0; i < list->count; i += 2)
        free(list->strings[i]);
    *list = (struct header_list){.count = 0};
}

static int fd_list_add(struct fd_list *list, int fd, bool owned)
{
    if (list->count == sizeof(list->fds) / sizeof(list->fds[0])) {
        if (owned)
            (void)close(fd);
        return cli_usage("more than 253 descriptors do not fit into one message");
    }
    list->fds[list->count] = fd;
    list->owned[list->count++] = owned;
    return CLI_OK;
}

int fd_list_add_number(struct fd_list *list, const char *text)
{
    unsigned long fd;

    if (parse_number(text, 0, INT_MAX, &fd) < 0)
        return cli_usage("--fd: %s: not a descriptor number", text);
    if (fcntl((int)fd, F_GETFD) < 0) {
        cli_error("--fd: %s: %s: open it in the shell, e.g. %s<FILE", text, strerror(errno), text);
        return CLI_FAILED;
    }
    return fd_list_add(list, (int)fd, false);
}

int fd_list_add_file(struct fd_list *list, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        cli_error("open: %s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    return fd_list_add(list, fd, true);
}

void fd_list_close(struct fd_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->owned[i])
            (void)close(list->fds[i]);
    list->count = 0;
}
