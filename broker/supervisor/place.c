/* SPDX-License-Identifier: MIT */
/*
 * Places: run directory ─ broker-PID (0700) ─ one directory per sandbox (0755) ─ broker.sock.
 *
 * A sandbox's directory is bound read-only at /run/uds inside; the directory and not the socket
 * file, because a bound file stays dead after the listener is made anew. The socket in it is a
 * credential: whoever connects through it *is* that sandbox. On the host the way to it leads
 * through broker-PID, which only we may pass; inside, only that one directory is in sight. Its mode
 * is 0600 for the payload's host uid; that uid exists only once the sandbox runs, so during the
 * start the mode is 0666 behind the closed directory.
 *
 * Everything is registered with the cleaner before it is made.
 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "error.h"

enum {
    PLACE_LOCK_MAX = sizeof(((struct place *)0)->socket) + sizeof(".lock")
};

int place_default_run_dir(char *buf, size_t size)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    uid_t us = geteuid();
    int n;

    if (us == 0)
        n = snprintf(buf, size, "/run/uds");
    else if (xdg && xdg[0] == '/')
        n = snprintf(buf, size, "%s/uds", xdg);
    else
        n = snprintf(buf, size, "/tmp/uds-%u", (unsigned)us);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Register, then make. -EEXIST is handed back without words. */
static int
make_directory(const char *path, mode_t mode, sbx_cleaner *cleaner, struct sbx_error *error)
{
    int r = sbx_cleaner_add_path(cleaner, path);

    if (r < 0)
        return error_set(error, -r, "cleaner: register %.300s: %s", path, strerror(-r));
    if (mkdir(path, mode) < 0) {
        r = -errno;
        sbx_cleaner_remove_path(cleaner, path);
        return r == -EEXIST ? r : error_set(error, -r, "mkdir: %.300s: %s", path, strerror(-r));
    }
    /* The umask is the caller's affair, this directory's mode is ours. */
    if (chmod(path, mode) < 0)
        return error_set(error, errno, "chmod: %.300s: %s", path, strerror(errno));
    return 0;
}

int place_make_instance(
    const char *run_dir, sbx_cleaner *cleaner, char *ret_path, size_t size, struct sbx_error *error)
{
    /* A pid may be used again while a directory of its former owner still waits to be swept. */
    for (unsigned i = 0; i < 100; i++) {
        int n = i ? snprintf(ret_path, size, "%s/broker-%d.%u", run_dir, (int)getpid(), i)
                  : snprintf(ret_path, size, "%s/broker-%d", run_dir, (int)getpid());
        struct stat st;
        int r;

        if (n < 0 || (size_t)n >= size)
            return error_set(error, ENAMETOOLONG, "run directory: %.300s: path too long", run_dir);
        if (lstat(ret_path, &st) == 0)
            continue;
        r = make_directory(ret_path, 0700, cleaner, error);
        if (r != -EEXIST)
            return r;
    }
    return error_set(error, EEXIST, "run directory: %.300s: full of broker-* directories", run_dir);
}

void place_remove_directory(const char *path, sbx_cleaner *cleaner)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        sbx_cleaner_remove_path(cleaner, path);
}

/* A lock file is beside a listener while it is made or closed: killed then, we would leave a directory that is not empty. */
static void lock_of(const struct place *place, char ret[PLACE_LOCK_MAX])
{
    snprintf(ret, PLACE_LOCK_MAX, "%s.lock", place->socket);
}

static int open_listener(struct place *place, struct sbx_error *error)
{
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    struct uds_addr addr;
    char lock[PLACE_LOCK_MAX];
    int r = uds_addr_parse(place->socket, &addr);

    lock_of(place, lock);
    options.mode = 0666;
    if (r == 0)
        r = sbx_cleaner_add_path(place->cleaner, place->socket);
    if (r == 0)
        r = sbx_cleaner_add_path(place->cleaner, lock);
    if (r == 0)
        r = uds_listener_new(&place->listener, &addr, &options);
    return r < 0 ? error_set(error, -r, "listen: %.300s: %s", place->socket, strerror(-r)) : 0;
}

int place_make(struct place *place,
               const char *instance,
               const char *name,
               sbx_cleaner *cleaner,
               struct sbx_error *error)
{
    int n = snprintf(place->dir, sizeof(place->dir), "%s/%s", instance, name);
    int r;

    place->cleaner = cleaner;
    if (n < 0 || (size_t)n >= sizeof(place->dir)) {
        place->dir[0] = 0;
        return error_set(error, ENAMETOOLONG, "run directory: %.300s: path too long", instance);
    }
    snprintf(place->socket, sizeof(place->socket), "%s/broker.sock", place->dir);
    r = make_directory(place->dir, 0755, cleaner, error);
    if (r < 0) {
        place->dir[0] = 0;
        return r == -EEXIST ? error_set(error, EEXIST, "mkdir: %.300s/%s: exists", instance, name)
                            : r;
    }
    return open_listener(place, error);
}

int place_unlock(struct place *place, struct sbx_error *error)
{
    if (chmod(place->socket, 0666) < 0)
        return error_set(error, errno, "chmod: %.300s: %s", place->socket, strerror(errno));
    return 0;
}

int place_lock(struct place *place, uid_t uid, gid_t gid, struct sbx_error *error)
{
    /* Nobody but us can change the names on the way here, so paths are as good as descriptors. */
    if (lchown(place->socket, uid, gid) < 0)
        return error_set(error, errno, "chown: %.300s: %s", place->socket, strerror(errno));
    if (chmod(place->socket, 0600) < 0)
        return error_set(error, errno, "chmod: %.300s: %s", place->socket, strerror(errno));
    return 0;
}

void place_clear(struct place *place)
{
    if (place->listener) {
        char lock[PLACE_LOCK_MAX];

        lock_of(place, lock);
        place->listener = uds_listener_free(place->listener);
        sbx_cleaner_remove_path(place->cleaner, place->socket);
        sbx_cleaner_remove_path(place->cleaner, lock);
    }
    if (place->dir[0])
        place_remove_directory(place->dir, place->cleaner);
    *place = (struct place){0};
}
