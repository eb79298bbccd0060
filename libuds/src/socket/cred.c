/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end. Two sources only: what the socket itself says (SO_PEER*, fixed at connect), and what can be
 * asked of a pidfd. A pid number by itself is never looked up.
 *
 * What has to come from /proc/PID goes in three steps: the pid is read from the pidfd (fdinfo), the fact is read, and
 * then the pidfd must still say "running". A pid is given to a new process only after the old one was reaped, so if it
 * runs afterwards, it was the same process all the time.
 *
 * Before 6.5 a socket gives no pidfd and all facts that need one stay unknown: pidfd_open(2) on the pid of SO_PEERCRED
 * could already name somebody else.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/un.h>

#include <uds/cred.h>

#include "cleanup.h"
#include "socket/kernel.h"

#define EACH_NS (((1u << UDS_NS_COUNT) - 1) << 16) /* UDS_CRED_NS_OF() of all */
#define ANY_NS  ((uint32_t)UDS_CRED_NS | EACH_NS)
#define NEED_PIDFD \
    ((uint32_t)UDS_CRED_PIDFD | (uint32_t)UDS_CRED_CGROUP | (uint32_t)UDS_CRED_CGROUP_ID | ANY_NS)

static const struct {
    const char *name;
    unsigned long request;
} namespaces[UDS_NS_COUNT] = {
    [UDS_NS_NET] = {"net", UDSI_PIDFD_GET_NET_NAMESPACE},
    [UDS_NS_IPC] = {"ipc", UDSI_PIDFD_GET_IPC_NAMESPACE},
    [UDS_NS_MNT] = {"mnt", UDSI_PIDFD_GET_MNT_NAMESPACE},
    [UDS_NS_PID] = {"pid", UDSI_PIDFD_GET_PID_NAMESPACE},
    [UDS_NS_USER] = {"user", UDSI_PIDFD_GET_USER_NAMESPACE},
    [UDS_NS_UTS] = {"uts", UDSI_PIDFD_GET_UTS_NAMESPACE},
    [UDS_NS_CGROUP] = {"cgroup", UDSI_PIDFD_GET_CGROUP_NAMESPACE},
};

const char *uds_ns_name(enum uds_ns ns)
{
    return (unsigned)ns < UDS_NS_COUNT ? namespaces[ns].name : "?";
}

static void cred_init(struct uds_cred *cred)
{
    memset(cred, 0, sizeof(*cred));
    cred->uid = (uid_t)-1;
    cred->gid = (gid_t)-1;
    cred->pidfd = -1;
}

void uds_cred_clear(struct uds_cred *cred)
{
    if (!cred)
        return;
    udsi_close(cred->pidfd);
    cred_init(cred);
}

static bool out_of_fds(int error)
{
    return error == EMFILE || error == ENFILE;
}

/* A pidfd becomes readable when its process has exited, before it is reaped. */
static bool is_running(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return poll(&p, 1, 0) == 0;
}

/* Reads a small file of /proc. Returns its length, NUL-terminated, or -errno; -EFBIG if it does not fit. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;

    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(fd, buf + used, size - used);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used == size)
            return -EFBIG;
    }
    buf[used] = '\0';
    return (ssize_t)used;
}

/* The pid as /proc shows it: > 0; 0 not visible there; -ESRCH reaped; -EBADF no pidfd. */
static int pid_in_proc(int pidfd)
{
    char path[64], text[1024];

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    ssize_t n = read_small(path, text, sizeof(text));
    if (n < 0)
        return (int)n;
    const char *line = strstr(text, "\nPid:");
    if (!line)
        return -EBADF;
    long pid = strtol(line + 5, NULL, 10);
    return pid < 0 ? -ESRCH : (int)pid;
}

/* PIDFD_GET_INFO. Returns what of @want there is; 0 on kernels before 6.13, or when the peer is not in our pid namespace. */
static uint64_t get_info(int pidfd, uint64_t want, struct udsi_pidfd_info *info)
{
    memset(info, 0, sizeof(*info));
    info->mask = want;
    if (ioctl(pidfd, UDSI_PIDFD_GET_INFO, info) < 0)
        return 0;
    return info->mask & want;
}

/* The "0::/path" line of /proc/PID/cgroup. */
static int read_cgroup(int proc_pid, struct uds_cred *cred)
{
    char path[64];
    const size_t size = 4 * sizeof(cred->cgroup); /* v1 hierarchies come before */
    _cleanup_free_ char *text = malloc(size);

    if (!text)
        return -ENOMEM;
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", proc_pid);
    ssize_t n = read_small(path, text, size);
    if (n < 0)
        return (int)n;

    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return -ENODATA;
    line += line == text ? 3 : 4;
    size_t len = strcspn(line, "\n");
    if (len == 0 || len >= sizeof(cred->cgroup))
        return -EFBIG;
    memcpy(cred->cgroup, line, len);
    cred->cgroup[len] = '\0';
    return 0;
}

/* Returns 0 and the inode number, or -errno. Race-free by itself: the kernel asks the pidfd's own process. */
static int ns_by_pidfd(int pidfd, unsigned long request, uint64_t *ret)
{
    struct stat st;
    _cleanup_close_ int fd = ioctl(pidfd, request, 0);

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    *ret = st.st_ino;
    return 0;
}

/* The pid as /proc shows it, asked for once and only by who needs it: 0 = not asked yet. */
static int ns_by_proc(int pidfd, int *proc_pid, const char *name, uint64_t *ret)
{
    char path[64];
    struct stat st;

    if (*proc_pid == 0)
        *proc_pid = pid_in_proc(pidfd);
    if (*proc_pid <= 0)
        return *proc_pid == 0 ? -ENODATA : *proc_pid;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", *proc_pid, name);
    if (stat(path, &st) < 0)
        return -errno;
    *ret = st.st_ino;
    return 0;
}

static int add_namespaces(struct uds_cred *cred, int pidfd, uint32_t facts)
{
    uint64_t found[UDS_NS_COUNT] = {0};
    uint32_t known = 0;
    int proc_pid = 0;
    bool by_proc = false;

    for (size_t i = 0; i < UDS_NS_COUNT; i++) {
        if (!(facts & (UDS_CRED_NS | UDS_CRED_NS_OF(i))))
            continue;
        int r = ns_by_pidfd(pidfd, namespaces[i].request, &found[i]);
        if (r == -ENOTTY || r == -EINVAL) { /* before 6.11 */
            r = ns_by_proc(pidfd, &proc_pid, namespaces[i].name, &found[i]);
            by_proc = true;
        }
        if (out_of_fds(-r))
            return r;
        if (r == 0)
            known |= UDS_CRED_NS_OF(i);
    }
    if (by_proc && !is_running(pidfd))
        return 0;
    memcpy(cred->ns, found, sizeof(found));
    cred->known |= known | (known == EACH_NS ? (uint32_t)UDS_CRED_NS : 0);
    return 0;
}

/* Everything that a pidfd can tell. Only a lack of descriptors or memory is an error. */
static int add_by_pidfd(struct uds_cred *cred, int pidfd, uint32_t facts)
{
    struct udsi_pidfd_info info;

    if ((facts & UDS_CRED_CGROUP_ID) && get_info(pidfd, UDSI_PIDFD_INFO_CGROUPID, &info) != 0) {
        cred->cgroup_id = info.cgroupid;
        cred->known |= UDS_CRED_CGROUP_ID;
    }
    if (facts & UDS_CRED_CGROUP) {
        int proc_pid = pid_in_proc(pidfd);
        int r = proc_pid > 0 ? read_cgroup(proc_pid, cred) : proc_pid;
        if (r == -ENOMEM || (r < 0 && out_of_fds(-r)))
            return r;
        if (r == 0 && proc_pid > 0 && is_running(pidfd))
            cred->known |= UDS_CRED_CGROUP;
        else
            cred->cgroup[0] = '\0';
    }
    return facts & ANY_NS ? add_namespaces(cred, pidfd, facts) : 0;
}

#define OVERFLOW_ID 65534u /* fs.overflowuid and overflowgid: nobody changes them */

enum map {
    MAP_UNSEEN = 0,
    MAP_WHOLE, /* as in the first user namespace: every id has a number, 65534 is somebody */
    MAP_PART,
};
static atomic_int noted_uid_map, noted_gid_map;

/* Does /proc/self/uid_map or gid_map give every id a number? MAP_UNSEEN and errno if it cannot be read. */
static enum map read_map(const char *path)
{
    unsigned inside, outside, count;
    char text[4096];
    ssize_t n = read_small(path, text, sizeof(text));

    if (n < 0 && n != -EFBIG) {
        errno = (int)-n;
        return MAP_UNSEEN;
    }
    if (n >= 0 && sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
        count == UINT32_MAX)
        return MAP_WHOLE;
    return MAP_PART;
}

int uds_cred_init(void)
{
    enum map uid_map = read_map("/proc/self/uid_map");
    enum map gid_map = uid_map == MAP_UNSEEN ? MAP_UNSEEN : read_map("/proc/self/gid_map");

    if (gid_map == MAP_UNSEEN)
        return -errno;
    noted_uid_map = (int)uid_map;
    noted_gid_map = (int)gid_map;
    return 0;
}

/* Is this a number that names one id? */
static bool names_somebody(uint32_t id, const char *path, atomic_int *noted)
{
    enum map map;

    if (id == UINT32_MAX)
        return false;
    if (id != OVERFLOW_ID)
        return true;
    map = read_map(path);
    return (map != MAP_UNSEEN ? map : (enum map)atomic_load(noted)) == MAP_WHOLE;
}

static void set_ids(struct uds_cred *cred, uid_t uid, gid_t gid)
{
    if (names_somebody(uid, "/proc/self/uid_map", &noted_uid_map)) {
        cred->uid = uid;
        cred->known |= UDS_CRED_UID;
    }
    if (names_somebody(gid, "/proc/self/gid_map", &noted_gid_map)) {
        cred->gid = gid;
        cred->known |= UDS_CRED_GID;
    }
}

static void add_groups(struct uds_cred *cred, int fd)
{
    socklen_t len = sizeof(cred->groups);

    /* -ERANGE: more than fit. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, cred->groups, &len) < 0)
        return;
    cred->ngroups = len / sizeof(gid_t);
    for (size_t i = 0; i < cred->ngroups; i++) {
        if (!names_somebody(cred->groups[i], "/proc/self/gid_map", &noted_gid_map))
            return;
    }
    cred->known |= UDS_CRED_GROUPS;
}

static void add_label(struct uds_cred *cred, int fd)
{
    socklen_t len = sizeof(cred->label) - 1;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERSEC, cred->label, &len) < 0)
        len = 0;
    cred->label[len] = '\0';
    if (cred->label[0] != '\0')
        cred->known |= UDS_CRED_LABEL;
}

/*
 * A peer that was already reaped is EINVAL before 6.16, ESRCH or a pidfd later; ENODATA is a peer without a pid. Those,
 * and ENOPROTOOPT before 6.5, mean "unknown", never "somebody else".
 */
static int get_peer_pidfd(int fd, int *ret)
{
    int pidfd;
    socklen_t len = sizeof(pidfd);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
        return -errno;
    *ret = pidfd;
    return 0;
}

static int add_by_socket_pidfd(struct uds_cred *cred, int fd, uint32_t facts)
{
    _cleanup_close_ int pidfd = -1;
    int r = get_peer_pidfd(fd, &pidfd);

    if (r < 0)
        return out_of_fds(-r) ? r : 0;
    r = add_by_pidfd(cred, pidfd, facts);
    if (r < 0)
        return r;
    if (facts & UDS_CRED_PIDFD) {
        cred->pidfd = udsi_take_fd(&pidfd);
        cred->known |= UDS_CRED_PIDFD;
    }
    return 0;
}

int uds_cred_from_socket(int fd, uint32_t facts, struct uds_cred *ret)
{
    struct sockaddr_un sa;
    struct ucred peer;
    struct uds_cred cred;
    socklen_t len = sizeof(sa);

    /* SO_PEERCRED of a socket that is not connected succeeds with nonsense, that of a listening one names ourselves. */
    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
        return errno == ENOTCONN ? -ENOTCONN : -EINVAL;
    if (sa.sun_family != AF_UNIX)
        return -EINVAL;
    len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -EINVAL;

    cred_init(&cred);
    if (peer.pid > 0) {
        cred.pid = peer.pid;
        cred.known |= UDS_CRED_PID;
    }
    set_ids(&cred, peer.uid, peer.gid);
    if (facts & UDS_CRED_GROUPS)
        add_groups(&cred, fd);
    if (facts & UDS_CRED_LABEL)
        add_label(&cred, fd);
    if (facts & NEED_PIDFD) {
        int r = add_by_socket_pidfd(&cred, fd, facts);
        if (r < 0)
            return r;
    }
    *ret = cred;
    return 0;
}

/* "Uid:\treal\teffective\t…" of /proc/PID/status: the effective one. */
static bool status_id(const char *status, const char *key, uint32_t *ret)
{
    const char *line = strstr(status, key);
    unsigned real, effective;

    if (!line || sscanf(line + strlen(key), "%u %u", &real, &effective) != 2)
        return false;
    *ret = effective;
    return true;
}

static bool status_groups(const char *status, struct uds_cred *cred)
{
    const char *p = strstr(status, "\nGroups:");

    if (!p)
        return false;
    for (p += strlen("\nGroups:");;) {
        p += strspn(p, " \t");
        if (*p == '\n' || *p == '\0')
            return true;
        if (cred->ngroups == UDS_CRED_GROUPS_MAX)
            return false;
        char *end;
        cred->groups[cred->ngroups++] = (gid_t)strtoul(p, &end, 10);
        if (end == p)
            return false;
        p = end;
    }
}

/* uid, gid, groups and label of a process, from /proc; dropped again if it is not running any more. */
static int add_ids_by_proc(struct uds_cred *cred, int pidfd, int proc_pid, uint32_t facts)
{
    char path[64];
    const size_t size = 65536 + 4096; /* a list of groups can be that long */
    struct uds_cred found = *cred;
    uint32_t uid, gid;
    _cleanup_free_ char *status = malloc(size);

    if (!status)
        return -ENOMEM;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", proc_pid);
    ssize_t n = read_small(path, status, size);
    if (n < 0)
        return out_of_fds((int)-n) ? (int)n : 0;
    if (!(found.known & UDS_CRED_UID) && status_id(status, "\nUid:", &uid) &&
        status_id(status, "\nGid:", &gid))
        set_ids(&found, uid, gid);
    if ((facts & UDS_CRED_GROUPS) && status_groups(status, &found))
        found.known |= UDS_CRED_GROUPS;
    if (facts & UDS_CRED_LABEL) {
        (void)snprintf(path, sizeof(path), "/proc/%d/attr/current", proc_pid);
        n = read_small(path, found.label, sizeof(found.label));
        found.label[n < 0 ? 0 : strcspn(found.label, "\n")] = '\0';
        if (found.label[0] != '\0')
            found.known |= UDS_CRED_LABEL;
    }
    if (is_running(pidfd))
        *cred = found;
    return 0;
}

static int add_ids(struct uds_cred *cred, int pidfd, uint32_t facts)
{
    struct udsi_pidfd_info info;
    uint64_t got = get_info(pidfd, UDSI_PIDFD_INFO_PID | UDSI_PIDFD_INFO_CREDS, &info);
    int proc_pid = pid_in_proc(pidfd);

    if (got & UDSI_PIDFD_INFO_PID)
        cred->pid = (pid_t)info.tgid;
    else if (proc_pid > 0)
        cred->pid = proc_pid;
    if (cred->pid > 0)
        cred->known |= UDS_CRED_PID;
    if (got & UDSI_PIDFD_INFO_CREDS)
        set_ids(cred, info.euid, info.egid);
    bool more = (facts & (UDS_CRED_GROUPS | UDS_CRED_LABEL)) || !(cred->known & UDS_CRED_UID);
    if (proc_pid < 0 && out_of_fds(-proc_pid))
        return proc_pid;
    return more && proc_pid > 0 ? add_ids_by_proc(cred, pidfd, proc_pid, facts) : 0;
}

int uds_cred_from_pidfd(int pidfd, uint32_t facts, struct uds_cred *ret)
{
    struct uds_cred cred;

    /* Signal 0 tells a pidfd from anything else on every kernel. EPERM and EINVAL (other pid namespace) are pidfds. */
    if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && (errno == EBADF || errno == ESRCH))
        return -errno;
    if (!is_running(pidfd))
        return -ESRCH;

    _cleanup_close_ int held = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
    if (held < 0)
        return -errno;
    cred_init(&cred);
    int r = add_ids(&cred, held, facts);
    if (r < 0)
        return r;
    r = add_by_pidfd(&cred, held, facts);
    if (r < 0)
        return r;
    if (facts & UDS_CRED_PIDFD) {
        cred.pidfd = udsi_take_fd(&held);
        cred.known |= UDS_CRED_PIDFD;
    }
    *ret = cred;
    return 0;
}
