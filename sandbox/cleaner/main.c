/* SPDX-License-Identifier: MIT */
/*
 * uds-cleaner: outlives its owner by as long as it takes to remove what the owner made.
 *
 * The owner writes each thing into the record file before the thing exists. The cleaner makes nothing and reads nothing
 * until its owner ends, by whatever means, or says that it is done; then everything that the file names is killed and
 * removed, the file last. Till then it closes what takes the kernel long, of which the owner would be held up. The terminal's
 * signals do not reach it (a session of its own) and would be ignored: it must be the last to go.
 *
 * The file is the only state. A cleaner that was killed is replaced by one that reads it; one that died together with
 * its owner is replaced by sbx_gc() of whoever comes next.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "control.h"
#include "record.h"
#include "sweep.h"
#include "without.h"

enum {
    OWNER_DIES_MS = 1000
};

/* A fork of the owner that did not call sbx_cleaner_forget() keeps the control socket open, so its end alone does not
 * tell; the owner's pidfd does. Who made the socket is the owner, while it is our parent: an owner that died before we
 * came here has left us to PID 1 or a subreaper, whose end would be waited for in vain. -1: the owner is gone. */
static int open_owner(uint64_t *ret_since)
{
    struct ucred maker;
    socklen_t size = sizeof maker;
    if (getsockopt(SBXI_CONTROL_FD, SOL_SOCKET, SO_PEERCRED, &maker, &size) < 0)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, maker.pid, 0);
    if (fd >= 0 && getppid() == maker.pid) {
        (void)sbxi_record_start_time(maker.pid, ret_since);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* 1: the owner is done. 0: it is not. -1: it is gone. */
static int hear_owner(int owner)
{
    char word, space[CMSG_SPACE(SBXI_CONTROL_HOLD_MOST * sizeof(int))];
    struct iovec iov = {&word, sizeof word};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(SBXI_CONTROL_FD, &message, MSG_DONTWAIT) <= 0)
        return -1;
    if (word == SBXI_CONTROL_CLOSE) /* nothing has a number above our own but what was to be held */
        close_range((unsigned)owner + 1, ~0u, 0);
    return word != SBXI_CONTROL_HOLD && word != SBXI_CONTROL_CLOSE;
}

/* True: the owner is done. False: it is gone, and what it wanted closed need not be first. */
static bool wait_for_end(int owner)
{
    struct pollfd fds[2] = {{.fd = SBXI_CONTROL_FD, .events = POLLIN},
                            {.fd = owner, .events = POLLIN}};
    int said = 0;
    while (said == 0 && !fds[1].revents)
        if (poll(fds, 2, -1) > 0 && fds[0].revents) /* EINTR: a stop and continue */
            said = hear_owner(owner);
    return said == 1;
}

/* The control socket is closed before the owner's other descriptors are: until all are, its own sockets look as if
 * somebody listened on them. */
static void wait_until_dead(int owner)
{
    struct pollfd fd = {.fd = owner, .events = POLLIN};
    if (owner >= 0)
        poll(&fd, 1, OWNER_DIES_MS);
}

static int
sweep_and_unlink(const char *run_dir, const char *name, enum sbxi_sweep_mode mode, uint64_t since)
{
    _cleanup_close_ int dirfd = sbxi_sweep_open_dir(run_dir);
    bool gone = dirfd == -ENOENT || dirfd == -ENOTDIR; /* what we know we have open */
    if (dirfd < 0 && !gone)
        return dirfd;
    struct sbxi_sweep sweep = {.run_dir = run_dir,
                               .run_dirfd = gone ? -1 : dirfd,
                               .mode = mode,
                               .since = since,
                               .log = NULL};
    int r = sbxi_sweep_file(&sweep, SBXI_CONTROL_RECORD);
    if (r < 0 || sweep.remain) {
        fprintf(
            stderr,
            "uds-cleaner: %u things of %s/records/%s could not be removed: run `uds sandbox gc`\n",
            sweep.remain, run_dir, name);
        return r < 0 ? r : -EBUSY;
    }
    if (gone)
        return 0;
    _cleanup_close_ int records = openat(dirfd, "records", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return records < 0 ? -errno : sbxi_record_unlink(records, name);
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
    if (chdir("/") < 0 || sbxi_sweep_check_file(SBXI_CONTROL_RECORD) < 0) {
        fprintf(stderr, "uds-cleaner: %s/records/%s is no record file of ours\n", argv[1], argv[2]);
        return 1;
    }
    uint64_t since = 0;
    int owner = open_owner(&since);
    SBXI_BOUNDARY("cleaner");
    enum sbxi_sweep_mode mode =
        owner >= 0 && wait_for_end(owner) ? SBXI_SWEEP_END : SBXI_SWEEP_ORPHAN;
    if (mode == SBXI_SWEEP_ORPHAN)
        wait_until_dead(owner);
    if (SBXI_WITHOUT("cleaner") && mode == SBXI_SWEEP_ORPHAN)
        return 0;
    return sweep_and_unlink(argv[1], argv[2], mode, since) < 0;
}
