/* SPDX-License-Identifier: MIT */
/*
 * uds-cleaner: outlives its owner by as long as it takes to remove what the owner made.
 *
 * It is told of each thing before the thing exists, writes it into a free slot of the record file and only then
 * answers. It never makes anything itself. It ends when its owner does, by whatever means,
 * or on END; in both cases everything that the file names is killed and removed, the file last. The terminal's signals
 * do not reach it (a session of its own) and would be ignored: it must be the last to go.
 *
 * The file is the only state. A cleaner that was killed is replaced by one that reads it; one that died together with
 * its owner is replaced by sbx_gc() of whoever comes next.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "control.h"
#include "sweep.h"

enum {
    MAX_SLOTS = 65536,
    OWNER_DIES_MS = 1000
};

/* Mirror of the file, so that a slot is found without reading it. */
static struct sbxi_record *slots;
static size_t nslots;

static int load(void)
{
    struct stat st;
    int r = sbxi_sweep_check_file(SBXI_CONTROL_RECORD);
    if (r < 0 || fstat(SBXI_CONTROL_RECORD, &st) < 0)
        return r < 0 ? r : -errno;
    nslots = (size_t)st.st_size / sizeof *slots;
    slots = calloc(nslots + 1, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    if (nslots && pread(SBXI_CONTROL_RECORD, slots, nslots * sizeof *slots, 0) < 0)
        return -errno;
    return 0;
}

static int write_slot(size_t i, const struct sbxi_record *record)
{
    ssize_t n = pwrite(SBXI_CONTROL_RECORD, record, sizeof *record, (off_t)(i * sizeof *record));
    if (n != (ssize_t)sizeof *record)
        return n < 0 ? -errno : -ENOSPC;
    slots[i] = *record;
    return 0;
}

static int put(const struct sbxi_record *record)
{
    size_t i = 0;
    while (i < nslots && slots[i].kind != SBXI_RECORD_FREE)
        i++;
    if (i == nslots) {
        if (nslots >= MAX_SLOTS)
            return -ENOSPC;
        struct sbxi_record *grown = reallocarray(slots, nslots + 1, sizeof *slots);
        if (!grown)
            return -ENOMEM;
        slots = grown;
    }
    int r = write_slot(i, record);
    if (r >= 0 && i == nslots)
        nslots++;
    return r;
}

static void forget(const struct sbxi_record *record)
{
    static const struct sbxi_record empty;
    for (size_t i = nslots; i-- > 0;)
        if (slots[i].kind != SBXI_RECORD_FREE && sbxi_record_same(&slots[i], record)) {
            write_slot(i, &empty);
            return;
        }
}

static int add_all(const struct sbxi_control *request)
{
    for (uint32_t i = 0; i < request->n; i++) {
        int r = sbxi_record_check(&request->records[i]);
        if (r >= 0)
            r = put(&request->records[i]);
        if (r < 0) {
            while (i-- > 0)
                forget(&request->records[i]);
            return r;
        }
    }
    return 0;
}

static int serve(const struct sbxi_control *request, size_t len)
{
    size_t head = offsetof(struct sbxi_control, records);
    if (len < head || request->n > sizeof request->records / sizeof request->records[0] ||
        len != head + request->n * sizeof request->records[0])
        return -EBADMSG;
    switch (request->op) {
    case SBXI_CONTROL_ADD:
        return add_all(request);
    case SBXI_CONTROL_REMOVE:
        for (uint32_t i = 0; i < request->n; i++)
            forget(&request->records[i]);
        return 0;
    case SBXI_CONTROL_END:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

/* A fork of the owner that did not call sbx_cleaner_forget() keeps the control socket open, so its end alone does not
 * tell; the owner's pidfd does. -1: the owner is gone already, which the getppid() after it tells. */
static int open_owner(void)
{
    pid_t owner = getppid();
    int fd = (int)syscall(SYS_pidfd_open, owner, 0);
    if (fd >= 0 && getppid() == owner)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* True: the owner said END. False: it is gone. */
static bool loop(int owner)
{
    static struct sbxi_control request;
    struct pollfd fds[2] = {{.fd = SBXI_CONTROL_FD, .events = POLLIN},
                            {.fd = owner, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue; /* EINTR: a stop and continue */
        if (!fds[0].revents)
            return false;
        ssize_t n = recv(SBXI_CONTROL_FD, &request, sizeof request, MSG_DONTWAIT);
        if (n <= 0)
            return false;
        int32_t answer = serve(&request, (size_t)n);
        if (send(SBXI_CONTROL_FD, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
            return false;
        if (request.op == SBXI_CONTROL_END)
            return true;
    }
}

/* The control socket is closed before the owner's other descriptors are: until all are, its own sockets look as if
 * somebody listened on them. */
static void wait_until_dead(int owner)
{
    struct pollfd fd = {.fd = owner, .events = POLLIN};
    if (owner >= 0)
        poll(&fd, 1, OWNER_DIES_MS);
}

static int sweep_and_unlink(const char *run_dir, const char *name, enum sbxi_sweep_mode mode)
{
    _cleanup_close_ int dirfd = sbxi_sweep_open_dir(run_dir);
    if (dirfd < 0)
        return dirfd;
    struct sbxi_sweep sweep = {.run_dir = run_dir, .run_dirfd = dirfd, .mode = mode, .log = NULL};
    int r = sbxi_sweep_file(&sweep, SBXI_CONTROL_RECORD);
    if (r < 0 || sweep.remain) {
        fprintf(
            stderr,
            "uds-cleaner: %u things of %s/records/%s could not be removed: run `uds sandbox gc`\n",
            sweep.remain, run_dir, name);
        return r < 0 ? r : -EBUSY;
    }
    _cleanup_close_ int records = openat(dirfd, "records", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return records < 0 || unlinkat(records, name, 0) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
    static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                  SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    if (argc != 3 || strchr(argv[2], '/')) {
        fputs("uds-cleaner: started by libuds-sandbox, not by hand\n", stderr);
        return 2;
    }
    close_range(SBXI_CONTROL_RECORD + 1, ~0u, 0);
    prctl(PR_SET_DUMPABLE, 0);
    if (chdir("/") < 0 || load() < 0) {
        fprintf(stderr, "uds-cleaner: %s/records/%s cannot be used: %s\n", argv[1], argv[2],
                strerror(errno));
        return 1;
    }
    int owner = open_owner();
    enum sbxi_sweep_mode mode = owner >= 0 && loop(owner) ? SBXI_SWEEP_END : SBXI_SWEEP_ORPHAN;
    if (mode == SBXI_SWEEP_ORPHAN)
        wait_until_dead(owner);
    return sweep_and_unlink(argv[1], argv[2], mode) < 0;
}
