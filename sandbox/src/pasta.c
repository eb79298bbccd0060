/* SPDX-License-Identifier: MIT */
/*
 * pasta(1): what a sandbox sends to its network card, an ordinary process outside sends for it by sockets of its own. That
 * process is ours from its first moment to its last: the cleaner knows it before it is pasta, it ends with the sandbox.
 *
 * It parses what the sandbox sends, so it is nobody either: it enters the sandbox's user namespace before it is executed,
 * with root's id there (outside: the first of the range, or the caller's own) and rights over nothing but the sandbox. It
 * gets three descriptors, of which the first is the network namespace, as no path leads there for its ids.
 *
 * Without options it would forward ports both ways and show the host's loopback under the gateway's address.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <uds/fdset.h>

#include "child-process.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "netlink.h"
#include "running.h"

enum {
    READY_MS = 10000
};

static const char *find_program(void)
{
    static const char *const places[] = {"/usr/bin/pasta", "/usr/local/bin/pasta"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* It makes its card with ids that on the host are nobody's, or as rootless the caller's. */
static int check_tun(const sbx_plan *plan, struct sbx_error *error)
{
    static const char tun[] = "/dev/net/tun";
    struct stat st;
    int err = stat(tun, &st) < 0 ? errno : 0;
    if (!err && (plan->privileged || plan->joined_user))
        err = (st.st_mode & 06) == 06 ? 0 : EACCES;
    else if (!err)
        err = access(tun, R_OK | W_OK) < 0 ? errno : 0;
    if (!err)
        return 0;
    return sbxi_error(error, err, "sandbox %s: net: pasta: %s: %s; %s", plan->name, tun,
                      strerror(err),
                      err == ENOENT ? "have the tun driver loaded (modprobe tun)"
                                    : "have it opened to all (chmod 666), which gives nobody a "
                                      "right over a network");
}

int sbxi_pasta_check(const sbx_plan *plan, struct sbx_error *error)
{
    if (!find_program())
        return sbxi_error(error, ENOENT,
                          "sandbox %s: net: pasta: there is none in /usr/bin or /usr/local/bin; "
                          "have it installed (Debian: passt), or use another --net",
                          plan->name);
    if (!(plan->isolate & SBX_NS_USER) && !plan->joined_user)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: net: pasta: it runs with ids of the sandbox's user "
                          "namespace, and there is none; leave \"user\" in isolate",
                          plan->name);
    return check_tun(plan, error);
}

static const char *const arguments[] = {
    "pasta",
    "--foreground",
    "--quiet",
    "--config-net",
    "--netns-only",
    "--netns",
    "/proc/self/fd/0",
    "--no-netns-quit",
    "--no-map-gw",
    "-t",
    "none",
    "-u",
    "none",
    "-T",
    "none",
    "-U",
    "none",
    NULL,
};
static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};

struct child {
    const char *program;
    int leash, userns, netns, words;
    bool ours; /* the ids that we have may stay: the namespace has one, and it is ours */
    uid_t uid; /* or else its root's, or these where it has none */
    gid_t gid;
};

/* Root of the user namespace, or who the payload is; never who we are outside. */
static bool become_insider(const struct child *child)
{
    if (syscall(SYS_setresgid, 0, 0, 0) == 0 && syscall(SYS_setresuid, 0, 0, 0) == 0)
        return true;
    return syscall(SYS_setresgid, child->gid, child->gid, child->gid) == 0 &&
           prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_setresuid, child->uid, child->uid, child->uid) == 0;
}

/* Of a process that may have threads: nothing but system calls. */
static _Noreturn void become_pasta(const struct child *child)
{
    sigset_t none;
    char byte;
    if (read(child->leash, &byte, 1) != 1)
        _exit(1); /* who started us has gone */
    for (int signo = 1; signo < NSIG;
         signo++) /* it takes an ignored SIGPIPE for a failure of its own */
        signal(signo, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (!child->ours)
        (void)syscall(SYS_setgroups, 0, NULL);
    bool entered =
        setns(child->userns, CLONE_NEWUSER) == 0 && (child->ours || become_insider(child));
    if (!entered || sbxi_raise_ambient() < 0 || chdir("/") < 0 || dup2(child->netns, 0) < 0 ||
        dup2(child->words, 1) < 0 || dup2(child->words, 2) < 0 || close_range(3, ~0U, 0) < 0)
        _exit(1);
    execve(child->program, (char *const *)(uintptr_t)arguments,
           (char *const *)(uintptr_t)environment);
    _exit(1);
}

/* Do these messages tell of a default route? pasta adds it when addresses are there and the card is up. */
static bool is_default_route(const char *bytes, size_t length)
{
    struct nlmsghdr header;
    struct rtmsg route;
    for (size_t at = 0; at + NLMSG_SPACE(sizeof route) <= length;
         at += NLMSG_ALIGN(header.nlmsg_len)) {
        memcpy(&header, bytes + at, sizeof header);
        memcpy(&route, bytes + at + NLMSG_HDRLEN, sizeof route);
        if (header.nlmsg_len < NLMSG_LENGTH(sizeof route) || header.nlmsg_len > length - at)
            return false;
        if (header.nlmsg_type == RTM_NEWROUTE && route.rtm_dst_len == 0 &&
            route.rtm_type == RTN_UNICAST)
            return true;
    }
    return false;
}

/* The last line that it has said, as the first may be of what it tried before. */
static void read_words(int words, char *ret, size_t size)
{
    off_t end = lseek(words, 0, SEEK_END), from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t n = pread(words, ret, size - 1, from);
    ret[n > 0 ? n : 0] = '\0';
    while (n > 0 && ret[n - 1] == '\n')
        ret[--n] = '\0';
    char *line = strrchr(ret, '\n');
    if (line)
        memmove(ret, line + 1, strlen(line));
}

static int
await_ready(const sbx *s, const sbx_plan *plan, int watch, int words, struct sbx_error *error)
{
    uint64_t until = sbxi_now_ms() + READY_MS;
    for (;;) {
        char bytes[4096];
        char text[256];
        struct pollfd fds[] = {{.fd = watch, .events = POLLIN},
                               {.fd = s->network.pasta_fd, .events = POLLIN}};
        uint64_t now = sbxi_now_ms();
        int r = now < until ? poll(fds, 2, (int)(until - now)) : 0;
        if (r < 0 && errno != EINTR)
            return -errno;
        ssize_t n = fds[0].revents ? recv(watch, bytes, sizeof bytes, MSG_DONTWAIT) : 0;
        if (n > 0 && is_default_route(bytes, (size_t)n))
            return 0;
        if (r > 0 && !fds[1].revents)
            continue;
        read_words(words, text, sizeof text);
        if (fds[1].revents)
            return sbxi_error(error, ECHILD, "sandbox %s: net: pasta ended at once: %s", plan->name,
                              text[0] ? text : "it said nothing");
        if (r == 0)
            return sbxi_error(error, ETIMEDOUT,
                              "sandbox %s: net: pasta has made no route for %d s: %s; the host "
                              "itself needs one to the outside",
                              plan->name, READY_MS / 1000, text);
    }
}

static int start(sbx *s, const struct child *child, int go)
{
    pid_t pid = sbxi_fork_unseen(&s->network.pasta_fd);
    if (pid == 0)
        become_pasta(child);
    if (pid < 0)
        return pid;
    s->network.pasta = s->report.net.pasta = pid;
    int r = s->cleaner ? sbx_cleaner_add_process(s->cleaner, pid, s->network.pasta_fd) : 0;
    return r < 0 ? r : send(go, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int sbxi_pasta_start(sbx *s, const sbx_plan *plan, int userns, int netns, struct sbx_error *error)
{
    int leash[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, leash) < 0)
        return -errno;
    _cleanup_close_ int go = leash[1], theirs = leash[0];
    _cleanup_close_ int words = -1;
    _cleanup_close_ int watch =
        sbxi_netlink_socket(userns, netns, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
    int r = uds_memfd_create("pasta", &words);
    const struct child child = {.program = find_program(),
                                .leash = theirs,
                                .userns = userns,
                                .netns = netns,
                                .words = words,
                                .ours = !plan->own_ids,
                                .uid = plan->uid,
                                .gid = plan->gid};
    if (r == 0)
        r = watch < 0 ? watch : child.program ? 0 : -ENOENT;
    if (r == 0)
        r = start(s, &child, go);
    if (r < 0)
        return sbxi_error(error, -r, "sandbox %s: net: pasta: %s", plan->name, strerror(-r));
    return await_ready(s, plan, watch, words, error);
}

void sbxi_pasta_end(sbx *s)
{
    struct sbxi_network *network = &s->network;
    if (!network->pasta)
        return;
    if (network->pasta_fd >= 0)
        sbxi_kill_and_reap(network->pasta_fd);
    if (s->cleaner)
        sbx_cleaner_remove_process(s->cleaner, network->pasta);
    network->pasta = 0;
    sbxi_closep(&network->pasta_fd);
}
