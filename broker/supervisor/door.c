/* SPDX-License-Identifier: MIT */
/*
 * Door: one address that host peers connect to. The supervisor listens and keeps the socket, so
 * that a new router can go on accepting where the old one died; the router gets a duplicate. The
 * file is registered with the cleaner before it is made, like everything; if the name turns out to
 * be somebody else's it is unregistered, and should we die between, the cleaner leaves a socket
 * alone on which somebody listens.
 */
#include "door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

static bool is_other_file(const struct uds_addr *addr)
{
    struct stat st;

    return addr->kind == UDS_ADDR_PATH && lstat(addr->name, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static int fail(struct sbx_error *error, const char *address, const struct uds_addr *addr, int err)
{
    const char *why = strerror(err), *knob = "";

    if (err == EADDRINUSE && is_other_file(addr)) {
        why = "address in use";
        knob = ": what is there is no socket; remove it or choose another address";
    } else if (err == EADDRINUSE) {
        why = "address in use";
        knob = ": another broker listens there; stop it or choose another address";
    } else if (err == ENOENT) {
        why = "its directory does not exist";
        knob = ": make it or choose another address";
    } else if (err == EACCES) {
        knob = ": choose an address that you may write to";
    }
    error->err = err;
    snprintf(error->text, sizeof(error->text), "listen: %.300s: %s%s", address, why, knob);
    return -err;
}

/* The cleaner wants absolute names without symbolic links on the way. NULL and errno on failure. */
static char *absolute_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == path ? strdup("/")
                              : strndup(slash ? path : ".", slash ? (size_t)(slash - path) : 1);
    char *real = dir ? realpath(dir, NULL) : NULL, *result = NULL;

    if (real && asprintf(&result, "%s/%s", real[1] ? real : "", slash ? slash + 1 : path) < 0)
        result = NULL;
    free(real);
    free(dir);
    return result;
}

static int register_path(struct door *door, const struct uds_addr *addr)
{
    int r;

    if (addr->kind != UDS_ADDR_PATH)
        return 0;
    door->path = absolute_path(addr->name);
    if (!door->path)
        return errno ? -errno : -ENOMEM;
    r = sbx_cleaner_add_path(door->cleaner, door->path);
    if (r < 0) {
        free(door->path);
        door->path = NULL;
    }
    return r;
}

int door_open(struct door *door,
              const char *address,
              mode_t mode,
              sbx_cleaner *cleaner,
              struct sbx_error *error)
{
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct uds_addr addr;
    char text[UDS_ADDR_PATH_MAX + 16];
    int r = uds_addr_parse(address, &addr);

    *door = (struct door){.cleaner = cleaner};
    options.mode = mode;
    if (r == 0)
        r = uds_addr_format(&addr, text, sizeof(text));
    if (r == 0)
        r = register_path(door, &addr);
    if (r == 0)
        r = uds_listener_new(&door->listener, &addr, &options);
    if (r == 0 && !(door->address = strdup(text)))
        r = -ENOMEM;
    if (r < 0) {
        door_close(door);
        return fail(error, address, &addr, -r);
    }
    return 0;
}

void door_close(struct door *door)
{
    door->listener = uds_listener_free(door->listener);
    if (door->path)
        (void)sbx_cleaner_remove_path(door->cleaner, door->path);
    free(door->path);
    free(door->address);
    *door = (struct door){0};
}
