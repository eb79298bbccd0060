/* SPDX-License-Identifier: MIT */
/*
 * The view from outside: /proc of the host, and the cgroup files where the host keeps them. v1 hierarchies and the v2
 * tree are both looked at, since on a hybrid host a limit lives in one and the process in both.
 */
#include "host.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/stat.h>

uint64_t host_namespace(const char *name)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    return stat(path, &st) < 0 ? 0 : st.st_ino;
}

void host_interfaces(char *buf, size_t size)
{
    struct if_nameindex *list = if_nameindex();

    buf[0] = '\0';
    for (const struct if_nameindex *i = list; i != NULL && i->if_index != 0; i++) {
        size_t length = strlen(buf);

        (void)snprintf(buf + length, size - length, "%s%s", length == 0 ? "" : ", ", i->if_name);
    }
    if_freenameindex(list);
}

/* The value of "key:\t…" in /proc/PID/status: its last field for NSpid, its second for Uid. */
static bool read_status(const char *pid, long *ret_inner_pid, uid_t *ret_uid)
{
    char path[300], line[512];
    FILE *file;
    bool have_pid = false, have_uid = false;

    (void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "NSpid:", 6) == 0) {
            const char *last = strrchr(line, '\t');

            *ret_inner_pid = last == NULL ? 0 : strtol(last + 1, NULL, 10);
            have_pid = true;
        } else if (strncmp(line, "Uid:", 4) == 0) {
            char *end;

            (void)strtoul(line + 4, &end, 10); /* real; the next is effective */
            *ret_uid = (uid_t)strtoul(end, NULL, 10);
            have_uid = true;
        }
    }
    (void)fclose(file);
    return have_pid && have_uid;
}

/* ---- cgroup files ---- */

/* Where is the hierarchy of @controller ("" = v2) mounted? False if it is not. */
static bool find_mount(const char *controller, char *buf, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[2048];
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        char mount[1024], type[64], options[512];
        const char *dash = strstr(line, " - ");

        if (dash == NULL || sscanf(line, "%*s %*s %*s %*s %1023s", mount) != 1 ||
            sscanf(dash, " - %63s %*s %511s", type, options) != 2)
            continue;
        if (controller[0] == '\0') {
            found = strcmp(type, "cgroup2") == 0;
        } else if (strcmp(type, "cgroup") == 0) {
            char *save = NULL;

            for (char *word = strtok_r(options, ",", &save); word != NULL && !found;
                 word = strtok_r(NULL, ",", &save))
                found = strcmp(word, controller) == 0;
        }
        if (found)
            (void)snprintf(buf, size, "%s", mount);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* The path of process @pid in the hierarchy of @controller ("" = v2). */
static bool find_cgroup(const char *pid, const char *controller, char *buf, size_t size)
{
    char path[300], line[1024];
    FILE *file;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
    file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        char *list = strchr(line, ':');
        char *where = list == NULL ? NULL : strchr(list + 1, ':');

        if (where == NULL)
            continue;
        *list++ = '\0';
        *where++ = '\0';
        where[strcspn(where, "\n")] = '\0';
        if (controller[0] == '\0') {
            found = list[0] == '\0';
        } else {
            char *save = NULL;

            for (char *word = strtok_r(list, ",", &save); word != NULL && !found;
                 word = strtok_r(NULL, ",", &save))
                found = strcmp(word, controller) == 0;
        }
        if (found)
            (void)snprintf(buf, size, "%s", where);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* First line of a control file of that process. */
static bool
read_control(const char *pid, const char *controller, const char *name, char *buf, size_t size)
{
    char mount[1024], cgroup[1024], path[2300];
    FILE *file;
    bool ok;

    if (!find_mount(controller, mount, sizeof(mount)) ||
        !find_cgroup(pid, controller, cgroup, sizeof(cgroup)))
        return false;
    (void)snprintf(path, sizeof(path), "%s%s/%s", mount, cgroup, name);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    ok = fgets(buf, (int)size, file) != NULL;
    (void)fclose(file);
    return ok;
}

/* 0 for "max", for v1's "no limit" (a number just below 2^63) and for what cannot be read. */
static uint64_t
read_limit(const char *pid, const char *v1, const char *v1_name, const char *v2_name)
{
    char text[64];
    uint64_t value;

    if (!read_control(pid, v1, v1_name, text, sizeof(text)) &&
        !read_control(pid, "", v2_name, text, sizeof(text)))
        return 0;
    value = strtoull(text, NULL, 10);
    return value >= (UINT64_MAX >> 1) - 65536 ? 0 : value;
}

static void read_cpu(const char *pid, char *buf, size_t size)
{
    char quota[64], period[64] = "";
    const char *space;
    long long used, of;

    if (read_control(pid, "cpu", "cpu.cfs_quota_us", quota, sizeof(quota)))
        (void)read_control(pid, "cpu", "cpu.cfs_period_us", period, sizeof(period));
    else if (read_control(pid, "", "cpu.max", quota, sizeof(quota)) &&
             (space = strchr(quota, ' ')) != NULL)
        (void)snprintf(period, sizeof(period), "%s", space + 1);
    else
        return;
    used = strtoll(quota, NULL, 10); /* 0 for "max" */
    of = strtoll(period, NULL, 10);
    if (used > 0 && of > 0)
        (void)snprintf(buf, size, "%lld%% of a CPU", used * 100 / of);
}

static void read_cgroup(const char *pid, struct host_process *ret)
{
    static const char *const controllers[] = {"memory", "pids", "cpu", ""};
    char mine[512];

    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        if (!find_cgroup(pid, controllers[i], ret->cgroup, sizeof(ret->cgroup)))
            continue;
        ret->same_cgroup = find_cgroup("self", controllers[i], mine, sizeof(mine)) &&
                           strcmp(mine, ret->cgroup) == 0;
        break;
    }
    if (ret->same_cgroup)
        return; /* limits there, if any, are not its own */
    ret->memory = read_limit(pid, "memory", "memory.limit_in_bytes", "memory.max");
    ret->pids = read_limit(pid, "pids", "pids.max", "pids.max");
    read_cpu(pid, ret->cpu, sizeof(ret->cpu));
}

void host_find(uint64_t pid_namespace, pid_t pid, struct host_process *ret)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;

    *ret = (struct host_process){.known = false};
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[300];
        struct stat st;
        long inner = 0;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/ns/pid", entry->d_name);
        if (stat(path, &st) < 0 || st.st_ino != pid_namespace)
            continue;
        if (!read_status(entry->d_name, &inner, &ret->uid) || inner != pid)
            continue;
        ret->known = true;
        ret->pid = (pid_t)strtol(entry->d_name, NULL, 10);
        read_cgroup(entry->d_name, ret);
        break;
    }
    if (dir != NULL)
        (void)closedir(dir);
}
