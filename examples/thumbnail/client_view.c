/* SPDX-License-Identifier: MIT */
/*
 * What the decoder says it sees, beside what the host's kernel says: two columns. The decoder is not trusted, so that
 * the right column never comes from it: the process is looked up by its pid namespace and read from the host's /proc.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>

#include "client.h"
#include "host.h"
#include "text.h"

struct seen {
    struct session *session;
    bool answered;
    bool shares; /* a namespace with us, which the stack file did not ask for */
};

static void row(const char *what, const char *inside, const char *outside)
{
    if (outside[0] == '\0')
        (void)printf("  %-16s  %s\n", what, inside);
    else
        (void)printf("  %-16s  %-24s  %s\n", what, inside, outside);
}

static uint64_t namespace_of(const Thumbnail__ViewReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_namespaces; i++)
        if (strcmp(reply->namespaces[i]->name, name) == 0)
            return reply->namespaces[i]->inode;
    return 0;
}

static void join(char *buf, size_t size, char *const *items, size_t count)
{
    buf[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(buf);

        (void)snprintf(buf + length, size - length, "%s%s", i == 0 ? "" : " ", items[i]);
    }
}

static void show_namespaces(const Thumbnail__ViewReply *reply)
{
    for (size_t i = 0; i < reply->n_namespaces; i++) {
        const Thumbnail__Namespace *namespace = reply->namespaces[i];
        uint64_t host = host_namespace(namespace->name);
        char what[32], inside[32], outside[48];

        (void)snprintf(what, sizeof(what), "%s namespace", namespace->name);
        (void)snprintf(inside, sizeof(inside), "%llu", (unsigned long long)namespace->inode);
        (void)snprintf(outside, sizeof(outside), "%-12llu %s", (unsigned long long)host,
                       host == namespace->inode ? "THE SAME" : "different");
        row(what, inside, outside);
    }
}

static void show_identity(const Thumbnail__ViewReply *reply, const struct host_process *process)
{
    char inside[64], outside[128], mine[256], names[65] = "";

    (void)snprintf(inside, sizeof(inside), "%u", reply->uid);
    if (process->known)
        (void)snprintf(outside, sizeof(outside), "really %u", process->uid);
    else
        (void)snprintf(outside, sizeof(outside), "not to be seen by uid %u", getuid());
    row("uid", inside, outside);
    (void)snprintf(inside, sizeof(inside), "%d, sees %u process%s", reply->pid, reply->processes,
                   reply->processes == 1 ? "" : "es");
    if (process->known)
        (void)snprintf(outside, sizeof(outside), "really %d", process->pid);
    row("pid", inside, outside);
    join(inside, sizeof(inside), reply->interfaces, reply->n_interfaces);
    host_interfaces(mine, sizeof(mine));
    row("network", reply->n_interfaces == 0 ? "none" : inside, mine);
    (void)gethostname(names, sizeof(names) - 1);
    row("host name", reply->hostname, names);
}

#define NPROC_USUAL 4096 /* from here on it is the system's default and limits nobody */

/* "RLIMIT_DATA 64 MiB, RLIMIT_NPROC 8": those that stand in for a cgroup. */
static void join_rlimits(const Thumbnail__ViewReply *reply, char *buf, size_t size)
{
    buf[0] = '\0';
    for (size_t i = 0; i < reply->n_limits; i++) {
        const Thumbnail__Limit *limit = reply->limits[i];
        size_t length = strlen(buf);
        const char *comma = length == 0 ? "" : ", ";
        bool bytes =
            strcmp(limit->name, "RLIMIT_DATA") == 0 || strcmp(limit->name, "RLIMIT_AS") == 0;
        unsigned long long value = limit->value;

        if (limit->unlimited)
            continue;
        if (bytes)
            (void)snprintf(buf + length, size - length, "%s%s %llu MiB", comma, limit->name,
                           value >> 20);
        else if (strcmp(limit->name, "RLIMIT_NPROC") == 0 && value < NPROC_USUAL)
            (void)snprintf(buf + length, size - length, "%s%s %llu", comma, limit->name, value);
    }
}

static void show_limits(const Thumbnail__ViewReply *reply, const struct host_process *process)
{
    const char *path = strrchr(reply->cgroup, ':'); /* "9:memory:/path" */
    char text[512] = "none";

    row("cgroup", path == NULL ? reply->cgroup : path + 1,
        !process->known        ? "not to be seen"
        : process->same_cgroup ? "none of its own"
                               : process->cgroup);
    if (process->known && !process->same_cgroup)
        (void)snprintf(text, sizeof(text), "cpu %s, memory %llu MiB, pids %llu",
                       process->cpu[0] == '\0' ? "no limit" : process->cpu,
                       (unsigned long long)(process->memory >> 20),
                       (unsigned long long)process->pids);
    row("cgroup limits", "", text);
    join_rlimits(reply, text, sizeof(text));
    row("rlimits", text[0] == '\0' ? "none that matter" : text, "");
}

static void show_rest(const Thumbnail__ViewReply *reply)
{
    char text[1024];

    if (reply->cap_effective == 0 && reply->cap_bounding == 0)
        (void)snprintf(text, sizeof(text), "none, and none to gain");
    else
        (void)snprintf(text, sizeof(text), "%llx, bounding %llx",
                       (unsigned long long)reply->cap_effective,
                       (unsigned long long)reply->cap_bounding);
    row("capabilities", text, "");
    (void)snprintf(text, sizeof(text), "%s, seccomp %s",
                   reply->no_new_privs ? "no_new_privs" : "NEW PRIVILEGES",
                   reply->seccomp == 2 ? "filter" : "OFF");
    row("confinement", text, "");
    join(text, sizeof(text), reply->root, reply->n_root);
    row("/ holds", text, "");
    for (size_t i = 0; i < reply->n_files; i++)
        row(i == 0 ? "all its files" : "", reply->files[i], "");
    if (reply->files_more > 0) {
        (void)snprintf(text, sizeof(text), "… and %u more", reply->files_more);
        row("", text, "");
    }
}

static void json_strings(const char *name, char *const *items, size_t count)
{
    (void)printf(", \"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i == 0 ? "" : ", ", stdout);
        json_string(stdout, items[i]);
    }
    (void)putchar(']');
}

static void show_json(const Thumbnail__ViewReply *reply, const struct host_process *process)
{
    (void)fputs("{\"namespaces\": {", stdout);
    for (size_t i = 0; i < reply->n_namespaces; i++) {
        (void)fputs(i == 0 ? "" : ", ", stdout);
        json_string(stdout, reply->namespaces[i]->name);
        (void)printf(": {\"inside\": %llu, \"host\": %llu}",
                     (unsigned long long)reply->namespaces[i]->inode,
                     (unsigned long long)host_namespace(reply->namespaces[i]->name));
    }
    (void)printf("}, \"uid\": %u, \"gid\": %u, \"pid\": %d, \"processes\": %u, ", reply->uid,
                 reply->gid, reply->pid, reply->processes);
    json_member(stdout, "uid_map", reply->uid_map);
    (void)fputs(", ", stdout);
    json_member(stdout, "cgroup", reply->cgroup);
    (void)fputs(", ", stdout);
    json_member(stdout, "hostname", reply->hostname);
    json_strings("interfaces", reply->interfaces, reply->n_interfaces);
    json_strings("root", reply->root, reply->n_root);
    json_strings("files", reply->files, reply->n_files);
    (void)fputs(", \"rlimits\": {", stdout);
    for (size_t i = 0; i < reply->n_limits; i++) {
        (void)fputs(i == 0 ? "" : ", ", stdout);
        json_string(stdout, reply->limits[i]->name);
        if (reply->limits[i]->unlimited)
            (void)fputs(": null", stdout);
        else
            (void)printf(": %llu", (unsigned long long)reply->limits[i]->value);
    }
    (void)printf("}, \"cap_effective\": %llu, \"cap_bounding\": %llu, \"no_new_privs\": %s, "
                 "\"seccomp\": %u, \"host\": {\"known\": %s, \"uid\": %u, \"pid\": %d, ",
                 (unsigned long long)reply->cap_effective, (unsigned long long)reply->cap_bounding,
                 reply->no_new_privs ? "true" : "false", reply->seccomp,
                 process->known ? "true" : "false", process->uid, process->pid);
    json_member(stdout, "cgroup", process->same_cgroup ? "" : process->cgroup);
    (void)fputs(", ", stdout);
    json_member(stdout, "cpu_limit", process->cpu);
    (void)printf(", \"memory_limit\": %llu, \"pids_limit\": %llu}}\n",
                 (unsigned long long)process->memory, (unsigned long long)process->pids);
}

static void clean(const Thumbnail__ViewReply *reply)
{
    (void)text_clean(reply->cgroup);
    (void)text_clean(reply->uid_map);
    (void)text_clean(reply->hostname);
    for (size_t i = 0; i < reply->n_namespaces; i++)
        (void)text_clean(reply->namespaces[i]->name);
    for (size_t i = 0; i < reply->n_limits; i++)
        (void)text_clean(reply->limits[i]->name);
    for (size_t i = 0; i < reply->n_interfaces; i++)
        (void)text_clean(reply->interfaces[i]);
    for (size_t i = 0; i < reply->n_root; i++)
        (void)text_clean(reply->root[i]);
    for (size_t i = 0; i < reply->n_files; i++)
        (void)text_clean(reply->files[i]);
}

static void on_view(const Thumbnail__ViewReply *reply, void *data)
{
    struct seen *seen = data;
    struct host_process process;

    session_note(seen->session);
    if (reply == NULL)
        return;
    seen->answered = true;
    for (size_t i = 0; i < reply->n_namespaces; i++)
        if (reply->namespaces[i]->inode == host_namespace(reply->namespaces[i]->name))
            seen->shares = true;
    host_find(namespace_of(reply, "pid"), reply->pid, &process);
    clean(reply);
    if (seen->session->json) {
        show_json(reply, &process);
        return;
    }
    row("", "the decoder says", "the host says");
    show_namespaces(reply);
    show_identity(reply, &process);
    show_limits(reply, &process);
    show_rest(reply);
}

static void start(ProtobufCService *service, void *arg)
{
    Thumbnail__ViewRequest request = THUMBNAIL__VIEW_REQUEST__INIT;

    thumbnail__thumbnailer__view(service, &request, on_view, arg);
}

int client_view(struct session *session)
{
    struct seen seen = {.session = session};
    char text[900];
    int r = session_call(session, start, &seen, NULL, 0);

    if (r == 0 && seen.answered)
        return seen.shares ? CLIENT_FAILED : CLIENT_OK;
    if (r < 0)
        (void)snprintf(text, sizeof(text), "%s", strerror(-r));
    else
        session_describe(session, text, sizeof(text));
    (void)fprintf(stderr, "thumbnail-client: view: %s\n", text);
    return CLIENT_FAILED;
}
