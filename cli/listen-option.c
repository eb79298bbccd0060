/* SPDX-License-Identifier: MIT */
/*
 * --listen NAME=ADDRESS of `uds run`. The plan wants the numbers of open descriptors and the sockets want a cleaner, which
 * comes later: until then the null device holds the number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "run.h"
#include "verbs.h"

int run_add_listen(struct run_options *o, const char *text)
{
    struct sbx_error error = {0};
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || memchr(text, ':', (size_t)(equals - text)) ||
        equals - text > 255)
        return cli_usage("--listen %s: is not NAME=ADDRESS, as web=tcp:127.0.0.1:8080", text);
    if (sbx_listen_check(equals + 1, &error) < 0)
        return cli_usage("--listen %s: %s", text, error.text);
    char *name = run_own(o, strndup(text, (size_t)(equals - text)));
    struct run_listen listen = {.address = equals + 1};
    listen.fd = name ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (name == NULL)
        return cli_no_memory(RUN_REFUSED);
    if (listen.fd < 0)
        return cli_usage("--listen %s: %s", text, strerror(errno));
    struct sbx_named_fd fd = {.name = name, .fd = listen.fd};
    if (list_push(&o->listens, &listen, sizeof listen) && list_push(&o->fds, &fd, sizeof fd))
        return CLI_OK;
    return cli_no_memory(RUN_REFUSED);
}

/* Only the kernel knows what port 0 has become. */
static void say_port(const struct run_options *o, const struct run_listen *listen)
{
    const char *address = sbx_listen_get_address(listen->socket);
    size_t length = strcspn(listen->address, ",");
    bool inet = strncmp(address, "tcp:", 4) == 0 || strncmp(address, "udp:", 4) == 0;
    if (inet && (strncmp(address, listen->address, length) != 0 || address[length]))
        cli_error("%s: listening on %s", o->spec.name, address);
}

static int
say_unsealed(const struct run_options *o, const struct run_listen *listen, struct sbx_error *error)
{
    (void)snprintf(error->text, sizeof error->text,
                   "%s: %s: this kernel lets only root seal it; the command could turn it into a "
                   "connection of its own",
                   o->spec.name, sbx_listen_get_address(listen->socket));
    if (o->spec.assert_all)
        return -EPERM;
    cli_error("%s", error->text);
    error->text[0] = '\0';
    return 0;
}

int run_listen_open(const struct run_options *o, sbx_cleaner *cleaner, struct sbx_error *error)
{
    struct run_listen *listens = o->listens.items;
    for (size_t i = 0; i < o->listens.count; i++) {
        int r = sbx_listen_new(&listens[i].socket, listens[i].address, cleaner, error);
        if (r < 0)
            return r;
        if (dup3(sbx_listen_get_fd(listens[i].socket), listens[i].fd, O_CLOEXEC) < 0)
            return -errno;
        say_port(o, &listens[i]);
        if (strncmp(listens[i].address, "tcp:", 4) == 0 &&
            !sbx_listen_is_sealed(listens[i].socket) &&
            (r = say_unsealed(o, &listens[i], error)) < 0)
            return r;
    }
    return 0;
}

void run_listen_print(const struct run_options *o, FILE *out)
{
    const struct run_listen *listens = o->listens.items;
    const struct sbx_named_fd *fds = o->fds.items;
    for (size_t i = 0; i < o->listens.count; i++)
        for (size_t k = 0; k < o->fds.count; k++)
            if (fds[k].fd == listens[i].fd)
                (void)fprintf(out, "launcher: listen on %s, passed as %s\n", listens[i].address,
                              fds[k].name);
}

void run_listen_close(const struct run_options *o)
{
    struct run_listen *listens = o->listens.items;
    for (size_t i = 0; i < o->listens.count; i++)
        listens[i].socket = sbx_listen_free(listens[i].socket);
}

void run_listen_free(struct run_options *o)
{
    const struct run_listen *listens = o->listens.items;
    for (size_t i = 0; i < o->listens.count; i++)
        (void)close(listens[i].fd);
    free(o->listens.items);
}
