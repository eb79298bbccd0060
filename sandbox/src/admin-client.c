/* SPDX-License-Identifier: MIT */
/* Asking the launchers of our own sandboxes: each has a socket beside its record. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sbx/admin.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "admin.h"
#include "cleanup.h"
#include "demand.h"
#include "error.h"
#include "peer.h"
#include "rundir.h"

enum {
    LIST_S = 1,
    LISTENS_MS = 200,
    EXEC_S = 5
};

static bool is_socket_name(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".sock") == 0;
}

/* The launcher behind @name, or -errno. */
static int call(int records, const char *name, int seconds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = seconds};
    int length =
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", records, name);
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    return sbxi_take_fd(&fd);
}

static int ask(int fd,
               const void *request,
               size_t size,
               const int *fds,
               size_t nfds,
               struct sbxi_admin_answer *ret)
{
    int r = sbxi_send_fds(fd, request, size, fds, nfds);
    if (r < 0)
        return r == -EPIPE ? -EACCES : r;
    ssize_t n;
    do
        n = recv(fd, ret, sizeof *ret, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : errno == ECONNRESET ? -EACCES : -errno;
    if (n == 0) /* it hung up on us */
        return -EACCES;
    if (n != (ssize_t)sizeof *ret)
        return -EBADMSG;
    ret->text[sizeof ret->text - 1] = '\0';
    ret->listed.name[sizeof ret->listed.name - 1] = '\0';
    ret->listed.backend[sizeof ret->listed.backend - 1] = '\0';
    ret->listed.cgroup[sizeof ret->listed.cgroup - 1] = '\0';
    return 0;
}

/* One that hangs up refuses us, or has ended. */
static int ask_once(int records,
                    const char *name,
                    const void *request,
                    size_t size,
                    const struct sbxi_parcel *parcel,
                    struct sbxi_admin_answer *ret)
{
    _cleanup_close_ int fd = call(records, name, EXEC_S);
    if (fd < 0)
        return fd == -EAGAIN ? -ETIMEDOUT : fd;
    int r = sbxi_peer_prove(fd);
    if (r >= 0)
        r = ask(fd, request, size, parcel->fds, parcel->n, ret);
    if (r != -EACCES)
        return r;
    _cleanup_close_ int again = call(records, name, LIST_S);
    return again == -ECONNREFUSED || again == -ENOENT ? -ECONNRESET : r;
}

struct visit {
    int (*each)(const struct sbx_listed *listed, const char *socket, void *userdata);
    void *userdata;
};

static int visit_one(int records, const char *name, const struct visit *visit)
{
    struct sbxi_admin_request request = {.op = SBXI_ADMIN_LIST};
    struct sbxi_admin_answer answer;
    _cleanup_close_ int fd = call(records, name, LIST_S);
    if (fd < 0 || sbxi_peer_prove(fd) < 0)
        return 0; /* as below */
    for (; ask(fd, &request, sizeof request, NULL, 0, &answer) == 0 && answer.err == 0;
         request.value = answer.number) {
        int r = visit->each(&answer.listed, name, visit->userdata);
        if (r != 0)
            return r;
    }
    return 0; /* one that is just going, or refuses us, has none to show */
}

/* The directory of records, or -ENOENT without words: there never was one. */
static int open_records(const char *run_dir, struct sbx_error *error)
{
    char path[PATH_MAX];
    _cleanup_close_ int run = sbxi_rundir_open(path, run_dir, false, error);
    if (run < 0)
        return run;
    int records = sbxi_rundir_open_sub(run, "records", false);
    if (records < 0 && records != -ENOENT)
        return sbxi_error(error, -records, "sandboxes: %s/records: %s", path, strerror(-records));
    return records;
}

static DIR *open_list(int records)
{
    int copy = openat(records, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    return copy < 0 ? NULL : fdopendir(copy);
}

static int visit_all(int records, const struct visit *visit)
{
    _cleanup_closedir_ DIR *dir = open_list(records);
    int r = 0;
    if (!dir)
        return -errno;
    const struct dirent *e;
    while (r == 0 && (e = readdir(dir)))
        if (is_socket_name(e->d_name))
            r = visit_one(records, e->d_name, visit);
    return r;
}

/* ---- list ---- */

struct listing {
    int (*each)(const struct sbx_listed *listed, void *userdata);
    void *userdata;
};

static int list_one(const struct sbx_listed *listed, const char *socket, void *userdata)
{
    const struct listing *listing = userdata;
    (void)socket;
    return listing->each(listed, listing->userdata);
}

int sbx_list(const char *run_dir,
             int (*each)(const struct sbx_listed *listed, void *userdata),
             void *userdata,
             struct sbx_error *error)
{
    struct listing listing = {each, userdata};
    const struct visit visit = {list_one, &listing};
    _cleanup_close_ int records = open_records(run_dir, error);
    return records == -ENOENT ? 0 : records < 0 ? records : visit_all(records, &visit);
}

/* ---- exec ---- */

struct search {
    const char *name;
    int64_t pid; /* that the name is, or 0 */
    int64_t found, by_pid;
    char socket[256], pid_socket[256];
    size_t count;
    char pids[128];
};

static int match(const struct sbx_listed *listed, const char *socket, void *userdata)
{
    struct search *search = userdata;
    if (search->pid > 0 && search->pid == listed->init_pid) {
        search->by_pid = listed->init_pid;
        snprintf(search->pid_socket, sizeof search->pid_socket, "%s", socket);
    }
    if (listed->waiting || strcmp(search->name, listed->name) != 0)
        return 0;
    size_t length = strlen(search->pids);
    snprintf(search->pids + length, sizeof search->pids - length, "%s%lld", length ? ", " : "",
             (long long)listed->init_pid);
    search->found = listed->init_pid;
    snprintf(search->socket, sizeof search->socket, "%s", socket);
    search->count++;
    return 0;
}

static int find(int records, struct search *search, struct sbx_error *error)
{
    const struct visit visit = {match, search};
    int r = records == -ENOENT ? 0 : visit_all(records, &visit);
    if (r < 0)
        return sbxi_error(error, -r, "sandbox %s: the run directory: %s", search->name,
                          strerror(-r));
    if (search->count > 1)
        return sbxi_error(error, ENOTUNIQ,
                          "sandbox %s: %zu run under this name: use the pid of one: %s",
                          search->name, search->count, search->pids);
    if (search->count == 0 && search->by_pid) {
        search->found = search->by_pid;
        memcpy(search->socket, search->pid_socket, sizeof search->socket);
    }
    if (!search->found)
        return sbxi_error(error, ENOENT,
                          "sandbox %s: none of yours runs under this name or pid here: see uds "
                          "sandbox ls",
                          search->name);
    return 0;
}

static int
refused(const char *name, int r, const struct sbxi_admin_answer *answer, struct sbx_error *error)
{
    if (answer->text[0])
        return sbxi_error(error, -r, "%s", answer->text);
    return sbxi_error(error, -r, "sandbox %s: its launcher: %s", name,
                      r == -ETIMEDOUT    ? "it does not answer, it may be stopped"
                      : r == -ECONNRESET ? "it has ended before it answered"
                      : r == -EACCES     ? "it refuses us: it is for processes of its user that "
                                           "are in no sandbox"
                                         : strerror(-r));
}

static int request_exec(int records,
                        const struct search *search,
                        const struct sbxi_parcel *parcel,
                        struct sbx_error *error)
{
    const struct sbxi_admin_request request = {.op = SBXI_ADMIN_EXEC, .value = search->found};
    struct sbxi_admin_answer answer = {0};
    int r = ask_once(records, search->socket, &request, sizeof request, parcel, &answer);
    if (r == 0 && answer.err > 0 && answer.err < 4096)
        r = -answer.err;
    return r < 0 ? refused(search->name, r, &answer, error) : 0;
}

int sbx_exec_named(sbx_session **ret,
                   const char *run_dir,
                   const char *name,
                   const struct sbx_exec *exec,
                   struct sbx_error *error)
{
    struct search search = {.name = name};
    struct sbxi_parcel parcel;
    sbx_session *session = NULL;
    char *end;
    long long pid = strtoll(name, &end, 10);
    search.pid = *name && !*end ? pid : 0;
    _cleanup_close_ int records = open_records(run_dir, error);
    if (records < 0 && records != -ENOENT)
        return records;
    int r = find(records, &search, error);
    if (r == 0)
        r = sbxi_session_new(&session, &parcel, exec, name, error);
    if (r < 0)
        return r;
    r = request_exec(records, &search, &parcel, error);
    sbxi_parcel_close(&parcel);
    if (r < 0)
        sbx_session_free(session);
    else
        *ret = session;
    return r;
}

/* ---- limits ---- */

struct owner {
    const char *group;
    int64_t init_pid;
    char socket[256];
};

static int is_owner(const struct sbx_listed *listed, const char *socket, void *userdata)
{
    struct owner *owner = userdata;
    const char *base = strrchr(listed->cgroup, '/');
    if (!base || strcmp(base + 1, owner->group) != 0)
        return 0;
    owner->init_pid = listed->init_pid;
    snprintf(owner->socket, sizeof owner->socket, "%s", socket);
    return 1;
}

int sbxi_admin_set_limits(const char *run_dir,
                          const char *group,
                          const struct sbx_limits *limits,
                          struct sbx_error *error)
{
    struct owner owner = {.group = group};
    const struct visit visit = {is_owner, &owner};
    struct sbxi_admin_start request = {.request = {.op = SBXI_ADMIN_LIMITS}};
    struct sbxi_admin_answer answer = {0};
    _cleanup_close_ int records = open_records(run_dir, error);
    /* A launcher listens some milliseconds after it has started. */
    for (int i = 0; records >= 0 && i < LISTENS_MS && visit_all(records, &visit) == 0; i++)
        poll(NULL, 0, 1);
    if (records < 0 || !owner.init_pid)
        return records < 0 ? records : -ENOENT;
    memset(&request.limits, 0, sizeof request.limits);
    request.request.value = owner.init_pid;
    request.limited = 1;
    request.limits = *limits;
    const struct sbxi_parcel nothing = {.n = 0};
    int r = ask_once(records, owner.socket, &request, sizeof request, &nothing, &answer);
    if (r == 0 && answer.err > 0 && answer.err < 4096)
        r = -answer.err;
    return r < 0 ? refused(group, r, &answer, error) : 0;
}

/* ---- start ---- */

static int fill_start(struct sbxi_admin_start *ret,
                      const char *entry,
                      const struct sbx_adoption *what,
                      struct sbx_error *error)
{
    const char *name = what && what->name ? what->name : "";
    const char *hostname = what && what->hostname ? what->hostname : "";
    int r;
    if (strlen(entry) >= sizeof ret->entry || strlen(name) >= sizeof ret->name ||
        strlen(hostname) >= sizeof ret->hostname)
        return sbxi_error(error, ENAMETOOLONG, "start: %.64s: a name is too long", entry);
    if (what && what->limits && (r = sbxi_limits_check(what->limits, error)) < 0)
        return r;
    memset(ret, 0, sizeof *ret);
    ret->request.op = SBXI_ADMIN_START;
    memcpy(ret->entry, entry, strlen(entry));
    memcpy(ret->name, name, strlen(name));
    memcpy(ret->hostname, hostname, strlen(hostname));
    ret->limited = what && what->limits;
    if (ret->limited)
        ret->limits = *what->limits;
    return 0;
}

/* The first launcher that knows it: 0, or what that one says; -ENOENT none does. */
static int request_start(int records,
                         const struct sbxi_admin_start *start,
                         const struct sbxi_parcel *parcel,
                         struct sbx_error *error)
{
    _cleanup_closedir_ DIR *dir = open_list(records);
    const struct dirent *e;
    int silent = 0;
    while (dir && (e = readdir(dir))) {
        struct sbxi_admin_answer answer = {0};
        if (!is_socket_name(e->d_name))
            continue;
        int r = ask_once(records, e->d_name, start, sizeof *start, parcel, &answer);
        if (r == 0 && answer.err == 0)
            return 0;
        if (r == 0)
            r = answer.err > 0 && answer.err < 4096 ? -answer.err : -EBADMSG;
        if (r == -ETIMEDOUT || r == -ECONNRESET)
            silent = r; /* another may know it */
        else if (r != -ECONNREFUSED && (r != -ENOENT || answer.text[0]))
            return refused(start->entry, r, &answer, error);
    }
    if (silent)
        return refused(start->entry, silent, &(struct sbxi_admin_answer){0}, error);
    return sbxi_error(error, ENOENT,
                      "start %s: no broker of yours that runs has a sandbox or a template of this "
                      "name: see its stack file, and --run-dir",
                      start->entry);
}

int sbx_start_named(sbx_session **ret,
                    const char *run_dir,
                    const char *entry,
                    const struct sbx_adoption *what,
                    struct sbx_error *error)
{
    struct sbxi_admin_start start;
    struct sbxi_parcel parcel = {.n = 0};
    sbx_session *session = NULL;
    int r = fill_start(&start, entry, what, error);
    if (r < 0)
        return r;
    _cleanup_close_ int records = open_records(run_dir, error);
    if (records < 0 && records != -ENOENT)
        return records;
    if (what)
        r = sbxi_session_new(&session, &parcel, &what->exec, entry, error);
    if (r == 0)
        r = request_start(records, &start, &parcel, error);
    sbxi_parcel_close(&parcel);
    if (r < 0)
        sbx_session_free(session);
    else if (what)
        *ret = session;
    return r;
}
