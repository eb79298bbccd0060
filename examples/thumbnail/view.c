/* SPDX-License-Identifier: MIT */
/*
 * The world as a process sees it from inside: /proc/self, the interfaces, the files below /. No list of what should
 * be there is compiled in: it reports what is there. What cannot be read stays empty or says why.
 */
#include "view.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FILES_MAX 64u

/* The strings of a repeated field; grows, owned until list_free(). */
struct list {
    char **items;
    size_t count;
};

static void list_add(struct list *list, const char *text)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    char *copy = strdup(text);

    if (items != NULL)
        list->items = items;
    if (items == NULL || copy == NULL) {
        free(copy);
        return;
    }
    list->items[list->count++] = copy;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_sort(struct list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

/* First line of a file of /proc, without the newline. */
static void read_line(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        (void)snprintf(buf, size, "(%s)", strerrorname_np(errno));
        return;
    }
    if (fgets(buf, (int)size, file) == NULL)
        buf[0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    (void)fclose(file);
}

static uint64_t status_number(const char *key, int base)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    uint64_t value = 0;

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            value = strtoull(line + strlen(key) + 1, NULL, base);
    (void)fclose(file);
    return value;
}

static void see_interfaces(struct list *list)
{
    FILE *file = fopen("/proc/self/net/dev", "re");
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *name = line + strspn(line, " ");
        char *end = strchr(name, ':');
        struct ifreq request = {0};
        char text[IFNAMSIZ + 16];

        if (end == NULL || (size_t)(end - name) >= IFNAMSIZ)
            continue;
        *end = '\0';
        memcpy(request.ifr_name, name, (size_t)(end - name));
        if (ioctl(sock, SIOCGIFFLAGS, &request) < 0)
            (void)snprintf(text, sizeof(text), "%s", request.ifr_name);
        else
            (void)snprintf(text, sizeof(text), "%s (%s)", request.ifr_name,
                           request.ifr_flags & IFF_UP ? "up" : "down");
        list_add(list, text);
    }
    if (file != NULL)
        (void)fclose(file);
    if (sock >= 0)
        (void)close(sock);
}

static void see_root(struct list *list)
{
    DIR *dir = opendir("/");
    const struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            list_add(list, entry->d_name);
    (void)closedir(dir);
    list_sort(list);
}

static bool is_kernel_tree(const char *path)
{
    return strcmp(path, "/proc") == 0 || strcmp(path, "/sys") == 0 || strcmp(path, "/dev") == 0;
}

static uint32_t see_files(struct list *list)
{
    char root[] = "/";
    char *const roots[] = {root, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    uint32_t more = 0;

    if (fts == NULL)
        return 0;
    while ((entry = fts_read(fts)) != NULL) {
        if (entry->fts_info == FTS_D && is_kernel_tree(entry->fts_path))
            (void)fts_set(fts, entry, FTS_SKIP);
        if (entry->fts_info != FTS_F)
            continue;
        if (list->count < FILES_MAX)
            list_add(list, entry->fts_path);
        else
            more++;
        if (more > 100000)
            break; /* the whole host: nobody needs the exact number */
    }
    (void)fts_close(fts);
    list_sort(list);
    return more;
}

static uint32_t count_processes(void)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    uint32_t count = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            count++;
    (void)closedir(dir);
    return count;
}

#define NAMESPACES 7

static void see_namespaces(Thumbnail__Namespace *out, Thumbnail__Namespace **list, size_t *count)
{
    static const char *const names[NAMESPACES] = {"user", "mnt", "pid",   "net",
                                                  "ipc",  "uts", "cgroup"};

    for (size_t i = 0; i < NAMESPACES; i++) {
        char path[64];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        if (stat(path, &st) < 0)
            continue;
        thumbnail__namespace__init(&out[*count]);
        out[*count].name = (char *)(uintptr_t)names[i]; /* protobuf-c reads it only */
        out[*count].inode = st.st_ino;
        list[*count] = &out[*count];
        (*count)++;
    }
}

#define LIMITS 5

static void see_limits(Thumbnail__Limit *out, Thumbnail__Limit **list, size_t *count)
{
    static const struct {
        __rlimit_resource_t resource;
        const char *name;
    } limits[LIMITS] = {{RLIMIT_DATA, "RLIMIT_DATA"},
                        {RLIMIT_AS, "RLIMIT_AS"},
                        {RLIMIT_NPROC, "RLIMIT_NPROC"},
                        {RLIMIT_NOFILE, "RLIMIT_NOFILE"},
                        {RLIMIT_CORE, "RLIMIT_CORE"}};

    for (size_t i = 0; i < LIMITS; i++) {
        struct rlimit limit;

        if (getrlimit(limits[i].resource, &limit) < 0)
            continue;
        thumbnail__limit__init(&out[*count]);
        out[*count].name = (char *)(uintptr_t)limits[i].name;
        out[*count].unlimited = limit.rlim_cur == RLIM_INFINITY;
        out[*count].value = limit.rlim_cur == RLIM_INFINITY ? 0 : limit.rlim_cur;
        list[*count] = &out[*count];
        (*count)++;
    }
}

void view_answer(Thumbnail__ViewReply_Closure closure, void *closure_data)
{
    Thumbnail__ViewReply reply;
    Thumbnail__Namespace namespaces[NAMESPACES], *namespace_list[NAMESPACES];
    Thumbnail__Limit limits[LIMITS], *limit_list[LIMITS];
    struct list interfaces = {NULL, 0}, root = {NULL, 0}, files = {NULL, 0};
    char uid_map[128], cgroup[512], hostname[65] = "";

    thumbnail__view_reply__init(&reply);
    see_namespaces(namespaces, namespace_list, &reply.n_namespaces);
    reply.namespaces = namespace_list;
    see_limits(limits, limit_list, &reply.n_limits);
    reply.limits = limit_list;
    see_interfaces(&interfaces);
    reply.interfaces = interfaces.items;
    reply.n_interfaces = interfaces.count;
    see_root(&root);
    reply.root = root.items;
    reply.n_root = root.count;
    reply.files_more = see_files(&files);
    reply.files = files.items;
    reply.n_files = files.count;
    reply.uid = getuid();
    reply.gid = getgid();
    read_line("/proc/self/uid_map", uid_map, sizeof(uid_map));
    reply.uid_map = uid_map;
    read_line("/proc/self/cgroup", cgroup, sizeof(cgroup));
    reply.cgroup = cgroup;
    reply.cap_effective = status_number("CapEff", 16);
    reply.cap_bounding = status_number("CapBnd", 16);
    reply.no_new_privs = status_number("NoNewPrivs", 10) != 0;
    reply.seccomp = (uint32_t)status_number("Seccomp", 10);
    reply.pid = getpid();
    reply.processes = count_processes();
    (void)gethostname(hostname, sizeof(hostname) - 1);
    reply.hostname = hostname;
    closure(&reply, closure_data);
    list_free(&interfaces);
    list_free(&root);
    list_free(&files);
}
