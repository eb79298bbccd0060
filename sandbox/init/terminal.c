/* SPDX-License-Identifier: MIT */
/*
 * The payload's own terminal. It is made in the sandbox, by the payload's ids, so that it is theirs and tty(1) can name
 * it; the other end goes to the launcher. Neither end is opened by a name that a payload could have put there: the first
 * must be a terminal's, the second comes from it (CVE-2025-52565 was a /dev/pts/0 that was none).
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "init.h"

static int send_master(int master)
{
    struct sbxi_event event = {.type = SBXI_TERMINAL_MADE};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof master)] = {0};
    struct iovec iov = {&event, sizeof event};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof master);
    memcpy(CMSG_DATA(cmsg), &master, sizeof master);
    return sendmsg(SBXI_FD_CONTROL, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* We lead a session that has no terminal yet. */
static int settle(int slave, const struct sbxi_terminal *terminal)
{
    if ((terminal->has_modes && tcsetattr(slave, TCSANOW, &terminal->modes) < 0) ||
        ioctl(slave, TIOCSWINSZ, &terminal->size) < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
        return -errno;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(slave, fd) < 0)
            return -errno;
    return 0;
}

int init_act_terminal(struct init *init, const struct sbxi_step *step)
{
    struct sbxi_terminal terminal;
    int unlocked = 0, slave = -1;
    if (init->request && !init->request->has_terminal)
        return 0;
    if (init->request)
        terminal = init->request->terminal;
    else
        memcpy(&terminal, init_a(init, step), sizeof terminal);
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0)
        return init_fail(init, errno, "/dev/ptmx");
    int r = ioctl(master, TIOCSPTLCK, &unlocked) < 0 ? -errno : 0;
    if (r == 0 && (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        r = -errno;
    if (r == 0)
        r = settle(slave, &terminal);
    if (r == 0)
        r = send_master(master);
    close(master);
    if (slave >= 0)
        close(slave);
    return r;
}
