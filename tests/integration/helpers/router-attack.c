/* SPDX-License-Identifier: MIT */
/*
 * A router that was taken over. Runs in the real router's place (uds-broker --router), confines itself by the real
 * router's own code, and then tries what an attacker would: system calls against the machine, and every verb of the
 * supervisor with hostile arguments.
 *
 *   refused: WHAT: errno            the confinement held
 *   SUCCEEDED: WHAT                 it did not
 *   answer: VERB WHAT: STATUS text  what the supervisor said
 *   flood: VERB: N ok, N refused, N lost in N ms
 *   attack: over                    all done, the supervisor was still there
 *
 * Everything goes to stderr, which is the supervisor's. Then it waits for the control connection to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/rpc.h>

#include "confine.h"
#include "supervisor.pb-c.h"

#define SERVICE    "uds.supervisor.Supervisor/"
#define FLOOD      3000
#define WAIT_MS    10000
#define STASH_FD   0 /* fds 0 to 2 survive: a pidfd of init hides in the first */
#define OTHER_INIT 1

static pid_t supervisor;

static void report(const char *what, long result)
{
    int error = errno;
    if (result < 0)
        fprintf(stderr, "refused: %s: %s\n", what, strerrorname_np(error));
    else
        fprintf(stderr, "SUCCEEDED: %s\n", what);
}

static void attack_files(void)
{
    struct open_how how = {.flags = O_RDONLY};
    struct stat st;
    char *argv[] = {NULL}, *envp[] = {NULL};
    report("open /etc/passwd", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    report("open /", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    report("open /proc/self/status", open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    report("create /x", open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    report("openat2 /etc/passwd", syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how)));
    report("open_by_handle_at", syscall(SYS_open_by_handle_at, 3, &how, O_RDONLY));
    report("stat /etc/passwd", fstatat(AT_FDCWD, "/etc/passwd", &st, 0));
    report("stat /proc", stat("/proc/1", &st));
    report("readlink /proc/self/exe", readlink("/proc/self/exe", (char[16]){0}, 16));
    report("mkdir /x", mkdir("/x", 0700));
    report("chdir /", chdir("/"));
    report("execve /bin/sh", execve("/bin/sh", argv, envp));
    int memfd = memfd_create("x", MFD_CLOEXEC);
    report("fexecve a memfd", fexecve(memfd, argv, envp));
    close(memfd);
    report("chroot", chroot("/"));
    report("mount tmpfs", mount("tmpfs", "/", "tmpfs", 0, NULL));
    report("umount /", umount2("/", MNT_DETACH));
    report("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    report("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 0));
}

static void attack_network(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/run/uds/broker.sock"};
    int pair[2];
    report("socket AF_INET", socket(AF_INET, SOCK_STREAM, 0));
    report("socket AF_UNIX", socket(AF_UNIX, SOCK_STREAM, 0));
    report("socket AF_NETLINK", socket(AF_NETLINK, SOCK_RAW, 0));
    report("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    report("connect the control socket elsewhere",
           connect(3, (struct sockaddr *)&name, sizeof(name)));
    report("bind the control socket", bind(3, (struct sockaddr *)&name, sizeof(sa_family_t)));
    report("listen", listen(3, 1));
}

static void attack_processes(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    struct rlimit limit = {1, 1};
    report("kill the supervisor", kill(supervisor, 0));
    report("kill init", kill(1, 0));
    report("kill everything", kill(-1, 0));
    report("tgkill the supervisor", syscall(SYS_tgkill, supervisor, supervisor, 0));
    report("rt_sigqueueinfo", syscall(SYS_rt_sigqueueinfo, supervisor, SIGUSR1, NULL));
    report("ptrace the supervisor", ptrace(PTRACE_SEIZE, supervisor, NULL, NULL));
    report("ptrace traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    report("process_vm_readv", process_vm_readv(supervisor, &here, 1, &there, 1, 0));
    report("process_vm_writev", process_vm_writev(supervisor, &here, 1, &there, 1, 0));
    report("pidfd_open the supervisor", syscall(SYS_pidfd_open, supervisor, 0));
    report("pidfd_getfd of init", syscall(SYS_pidfd_getfd, STASH_FD, 0, 0));
    report("pidfd_send_signal to init", syscall(SYS_pidfd_send_signal, STASH_FD, 0, NULL, 0));
    report("prlimit of the supervisor", prlimit(supervisor, RLIMIT_NOFILE, &limit, NULL));
    report("kcmp", syscall(SYS_kcmp, supervisor, getpid(), 0, 0, 0));
    report("sched_setaffinity", syscall(SYS_sched_setaffinity, supervisor, 1, &byte));
    report("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    report("F_SETOWN on a socket", fcntl(3, F_SETOWN, supervisor));
    report("TIOCSTI", ioctl(2, TIOCSTI, "x"));
}

static void attack_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, 0}, {~0u, ~0u, 0}};
    struct rlimit limit = {100, 100};
    report("setuid 0", setuid(0));
    report("setgid 0", setgid(0));
    report("setresuid 0", setresuid(0, 0, 0));
    report("setfsuid 0", syscall(SYS_setfsuid, 0) < 0 ? -1 : 0);
    report("capset", syscall(SYS_capset, &header, all));
    report("prctl dumpable", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    report("prctl securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
    report("raise RLIMIT_NPROC", setrlimit(RLIMIT_NPROC, &limit));
    report("unshare a user namespace", syscall(SYS_unshare, 0x10000000));
    report("setns to init", syscall(SYS_setns, STASH_FD, 0x00020000));
    report("seccomp", syscall(SYS_seccomp, 1, 0, NULL));
    report("personality", syscall(SYS_personality, 0x0040000));
}

static void attack_kernel(void)
{
    union bpf_attr bpf = {.map_type = BPF_MAP_TYPE_ARRAY};
    struct io_uring_params ring = {0};
    struct perf_event_attr perf = {.size = sizeof(perf)};
    report("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &bpf, sizeof(bpf)));
    report("io_uring_setup", syscall(SYS_io_uring_setup, 1, &ring));
    report("perf_event_open", syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
    report("userfaultfd", syscall(SYS_userfaultfd, 0));
    report("keyctl", syscall(SYS_keyctl, 0, -3, 1));
    report("init_module", syscall(SYS_init_module, NULL, 0, ""));
    report("shmget", shmget(IPC_PRIVATE, 4096, 0600));
    report("msgget", msgget(IPC_PRIVATE, 0600));
    report("sethostname", sethostname("x", 1));
    report("syslog", syscall(SYS_syslog, 3, NULL, 0));
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    report("mmap executable memory", code == MAP_FAILED ? -1 : 0);
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    report("mprotect executable memory", mprotect(data, 4096, PROT_READ | PROT_EXEC));
}

static void look_at_descriptors(void)
{
    int open_fds = 0;
    for (int fd = 4; fd < 4096; fd++)
        open_fds += fcntl(fd, F_GETFD) >= 0;
    if (open_fds == 0)
        fputs("refused: inherited descriptors: EBADF\n", stderr);
    else
        fprintf(stderr, "SUCCEEDED: %d inherited descriptors\n", open_fds);
}

/* ---- the supervisor's verbs ---- */

/* A router answers what it is told; this one says yes and does nothing. */
static void on_call(uds_rpc_call *call, void *arg)
{
    (void)arg;
    (void)uds_rpc_call_reply(call, NULL, 0, NULL, 0);
}

static void ask(uds_rpc *rpc,
                const char *verb,
                const char *what,
                const void *body,
                size_t len,
                const int *fds,
                size_t nfds)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    request.method = verb;
    request.body = body;
    request.body_len = len;
    request.fds = fds;
    request.nfds = nfds;
    request.timeout_ms = WAIT_MS;
    int r = uds_rpc_request_wait(rpc, &request, &reply);
    const char *name = strrchr(verb, '/') != NULL ? strrchr(verb, '/') + 1 : verb;
    if (r < 0) {
        fprintf(stderr, "answer: %s %s: not sent or lost: %s\n", name, what, strerrorname_np(-r));
        return;
    }
    if (what[0] != '\0')
        fprintf(stderr, "answer: %s %s: %s %s\n", name, what, uds_status_name(reply.status),
                reply.detail);
    uds_msg_unref(reply.msg);
}

static void ask_id(uds_rpc *rpc, const char *verb, const char *what, uint32_t id)
{
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;
    uint8_t body[32];
    ref.id = id;
    ask(rpc, verb, what, body, uds__supervisor__sandbox_ref__pack(&ref, body), NULL, 0);
}

static void hostile_ids(uds_rpc *rpc)
{
    static const char *const verbs[] = {SERVICE "Start", SERVICE "Stats"};
    for (size_t i = 0; i < 2; i++) {
        ask_id(rpc, verbs[i], "id 0", 0);
        ask_id(rpc, verbs[i], "unknown id", 12345);
        ask_id(rpc, verbs[i], "id 2^31", 0x80000000u);
        ask_id(rpc, verbs[i], "id 2^32-1", UINT32_MAX);
        ask_id(rpc, verbs[i], "a declared id", 1);
    }
}

static void hostile_attests(uds_rpc *rpc)
{
    uint8_t body[32];
    int memfd = memfd_create("not a pidfd", MFD_CLOEXEC), fds[16], self = -1;
    socklen_t len = sizeof(self);
    Uds__Supervisor__AttestRequest request = UDS__SUPERVISOR__ATTEST_REQUEST__INIT;
    request.facts = UINT32_MAX;
    size_t size = uds__supervisor__attest_request__pack(&request, body);
    for (size_t i = 0; i < 16; i++)
        fds[i] = memfd;
    ask(rpc, SERVICE "Attest", "without a descriptor", body, size, NULL, 0);
    ask(rpc, SERVICE "Attest", "with a memfd", body, size, &memfd, 1);
    ask(rpc, SERVICE "Attest", "with 16 descriptors", body, size, fds, 16);
    ask(rpc, SERVICE "Attest", "with its own control socket", body, size, (int[]){3}, 1);
    ask(rpc, SERVICE "Attest", "with a pidfd of init", body, size, (int[]){STASH_FD}, 1);
    request.facts = 1; /* the pid: a question that is allowed */
    size = uds__supervisor__attest_request__pack(&request, body);
    ask(rpc, SERVICE "Attest", "the pid of a memfd", body, size, &memfd, 1);
    ask(rpc, SERVICE "Attest", "the pid of init", body, size, (int[]){STASH_FD}, 1);
    if (getsockopt(3, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &self, &len) == 0) {
        ask(rpc, SERVICE "Attest", "with a pidfd of the supervisor", body, size, &self, 1);
        close(self);
    }
    close(memfd);
}

static void hostile_bodies(uds_rpc *rpc)
{
    static const char *const verbs[] = {SERVICE "Start", SERVICE "Stats", SERVICE "Attest"};
    size_t huge_len = 15u << 20;
    uint8_t *huge = malloc(huge_len), nested[600], garbage[64];
    if (huge == NULL)
        return;
    memset(huge, 0x0a, huge_len);
    memset(garbage, 0xff, sizeof(garbage));
    for (size_t i = 0; i < sizeof(nested); i++)
        nested[i] = i % 2 == 0 ? 0x0a : 0x7f;
    for (size_t i = 0; i < 3; i++) {
        ask(rpc, verbs[i], "garbage", garbage, sizeof(garbage), NULL, 0);
        ask(rpc, verbs[i], "nested groups", nested, sizeof(nested), NULL, 0);
        ask(rpc, verbs[i], "empty", NULL, 0, NULL, 0);
        ask(rpc, verbs[i], "15 MiB", huge, huge_len, NULL, 0);
    }
    free(huge);
    ask(rpc, SERVICE "Exec", "unknown method", "x", 1, NULL, 0);
    ask(rpc, "uds.supervisor.Router/Configure", "its own verb", NULL, 0, NULL, 0);
    ask(rpc, "", "no method", NULL, 0, NULL, 0);
}

struct flood {
    unsigned ok, refused, open;
};

static void on_flood_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct flood *flood = arg;
    flood->open--;
    if (reply->status == UDS_STATUS_OK)
        flood->ok++;
    else
        flood->refused++;
}

static void flood(uds_rpc *rpc, const char *verb, bool with_fd)
{
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;
    struct flood flood = {0};
    uint8_t body[32];
    int memfd = memfd_create("flood", MFD_CLOEXEC);
    unsigned lost = 0;
    struct timespec begin, end;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    ref.id = 1;
    request.method = verb;
    request.body = body;
    request.body_len = uds__supervisor__sandbox_ref__pack(&ref, body);
    request.timeout_ms = WAIT_MS;
    request.fds = &memfd;
    request.nfds = with_fd ? 1 : 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < FLOOD; i++) {
        if (uds_rpc_request(rpc, &request, on_flood_reply, &flood, NULL) < 0)
            lost++;
        else
            flood.open++;
        if (with_fd && flood.open >= 64)
            ask_id(rpc, SERVICE "Stats", "", UINT32_MAX);
    }
    /* Calls are answered in order: when this one is, so are they. */
    ask_id(rpc, SERVICE "Stats", "", UINT32_MAX);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    fprintf(stderr, "flood: %s: %u ok, %u refused, %u lost in %lld ms\n", strrchr(verb, '/') + 1,
            flood.ok, flood.refused, lost + flood.open,
            (long long)(end.tv_sec - begin.tv_sec) * 1000 +
                (end.tv_nsec - begin.tv_nsec) / 1000000);
    while (flood.open > 0 && uds_conn_process(uds_rpc_get_conn(rpc)) >= 0) {
        uds_rpc_process_timeouts(rpc);
        usleep(1000);
    }
    close(memfd);
}

static void attack_supervisor(uds_rpc *rpc)
{
    hostile_ids(rpc);
    hostile_attests(rpc);
    hostile_bodies(rpc);
    flood(rpc, SERVICE "Stats", false);
    flood(rpc, SERVICE "Start", false);
    flood(rpc, SERVICE "Attest", true);
    fputs("attack: over\n", stderr);
}

/* Until the supervisor has gone. */
static void linger(uds_rpc *rpc)
{
    uds_msg *msg;
    uds_conn *conn = uds_rpc_get_conn(rpc);
    while (uds_conn_receive_wait(conn, &msg, -1) == 0)
        uds_msg_unref(msg);
}

int main(int argc, char **argv)
{
    struct confine_options options;
    const char *step;
    uds_conn *conn;
    uds_rpc *rpc;
    supervisor = getppid();
    int init = (int)syscall(SYS_pidfd_open, OTHER_INIT, 0);
    if (init >= 0)
        dup2(init, STASH_FD);
    if (confine_parse(argc, argv, &options) < 0) {
        fputs("router-attack: run by uds-broker --router\n", stderr);
        return 2;
    }
    int r = router_confine(&options, &step);
    if (r < 0) {
        fprintf(stderr, "router-attack: %s: %s\n", step, strerrorname_np(-r));
        return 1;
    }
    look_at_descriptors();
    attack_files();
    attack_network();
    attack_processes();
    attack_privileges();
    attack_kernel();
    if (uds_conn_new(&conn, options.control_fd, NULL) < 0 ||
        uds_rpc_new(&rpc, conn, NULL, NULL) < 0) {
        fputs("router-attack: no control connection\n", stderr);
        return 1;
    }
    uds_rpc_set_handler(rpc, on_call, NULL, 0);
    attack_supervisor(rpc);
    linger(rpc);
    uds_rpc_free(rpc);
    uds_conn_unref(conn);
    return 0;
}
