/* SPDX-License-Identifier: MIT */
/*
 * Identity: who is at the other end, as the kernel says it, and may it come in?
 *
 *   identity ADDRESS       tells whoever connects who he is, and whether this program would serve him
 *
 * Nothing of it comes from what the peer says: it need not say a word, nor use libuds. What the kernel could not attest is
 * unknown, and unknown is never a yes.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/addr.h>
#include <uds/cred.h>
#include <uds/listener.h>

/* pid, uid and gid always come. The rest costs reads of /proc, and is paid for where it is asked for. */
#define FACTS (UDS_CRED_GROUPS | UDS_CRED_LABEL | UDS_CRED_PIDFD | UDS_CRED_CGROUP | UDS_CRED_NS)

/* One line. A fact whose bit is not set has no value, whatever lies in its field. */
static void tell(FILE *out, bool known, const char *name, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fprintf(out, "%-18s", name);
    vfprintf(out, known ? format : "unknown", values);
    fputc('\n', out);
    va_end(values);
}

static void describe(FILE *out, const struct uds_cred *cred)
{
    tell(out, cred->known & UDS_CRED_PID, "pid", "%d", (int)cred->pid);
    tell(out, cred->known & UDS_CRED_UID, "uid", "%u", (unsigned)cred->uid);
    tell(out, cred->known & UDS_CRED_GID, "gid", "%u", (unsigned)cred->gid);
    tell(out, cred->known & UDS_CRED_GROUPS, "groups", "%zu", cred->ngroups);
    tell(out, cred->known & UDS_CRED_LABEL, "label", "%s", cred->label);
    tell(out, cred->known & UDS_CRED_PIDFD, "held by a pidfd",
         "yes"); /* the pid cannot be re-used */
    tell(out, cred->known & UDS_CRED_CGROUP, "cgroup", "%s", cred->cgroup);
    for (int i = 0; i < UDS_NS_COUNT; i++) {
        char name[32];

        snprintf(name, sizeof(name), "%s namespace", uds_ns_name((enum uds_ns)i));
        tell(out, cred->known & UDS_CRED_NS, name, "%llu", (unsigned long long)cred->ns[i]);
    }
}

/* A connection can be asked, too: uds_conn_get_cred(). */
static void serve_one(int fd)
{
    char text[8192] = "";
    struct uds_cred cred;
    int r = uds_cred_from_socket(fd, FACTS, &cred);
    FILE *out = fmemopen(text, sizeof(text), "w");

    if (r < 0 || !out) {
        fprintf(stderr, "identity: a client: %s\n", strerror(r < 0 ? -r : errno));
        return;
    }
    describe(out, &cred);
    /* The rule. While the pidfd is held, and only then, the pid above cannot have become somebody else's. */
    bool welcome = (cred.known & UDS_CRED_UID) && cred.uid == geteuid();
    fprintf(out, "%s\n", welcome ? "welcome" : "not served: only my own user is");
    fclose(out);
    uds_cred_clear(&cred); /* closes the pidfd */
    (void)send(fd, text, strlen(text),
               MSG_NOSIGNAL | MSG_DONTWAIT); /* who left, or does not read, has none */
}

int main(int argc, char **argv)
{
    struct uds_listener_options options = UDS_LISTENER_OPTIONS_INIT;
    uds_listener *listener;
    struct uds_addr addr;
    int r = argc == 2 ? uds_addr_parse(argv[1], &addr) : -EINVAL;

    options.mode = 0666; /* the file lets everybody connect: who is served depends on who it is */
    if (r == 0)
        r = uds_listener_new(&listener, &addr, &options);
    if (r < 0) {
        fprintf(stderr, "identity: %s: %s\n", argc == 2 ? argv[1] : "one address", strerror(-r));
        return 1;
    }
    printf("listening on %s\n", argv[1]);
    fflush(stdout);
    int fd;
    do {
        struct pollfd waiting = {.fd = uds_listener_get_fd(listener), .events = POLLIN};

        poll(&waiting, 1, -1);
        fd = uds_listener_accept(listener);
        if (fd >= 0) {
            serve_one(fd);
            close(fd);
        }
    } while (fd >= 0 || fd == -EAGAIN || fd == -ECONNABORTED); /* gone again: not our trouble */
    fprintf(stderr, "identity: accept: %s\n", strerror(-fd));
    uds_listener_free(listener);
    return 1;
}
