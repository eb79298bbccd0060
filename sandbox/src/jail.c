/* SPDX-License-Identifier: MIT */
/*
 * What a jail must hold so that its binaries start: each binary, its interpreter (PT_INTERP or "#!", also behind
 * /usr/bin/env), and the shared objects that ELF headers name, found where the dynamic loader would find them.
 *
 * Paths in the result are paths as looked up: a loader that asks for /lib/x86_64-linux-gnu/libc.so.6 will ask for just
 * that inside, whether /lib is a directory or a link to usr/lib. Whoever builds the jail follows links on the way
 * and makes them again inside (root.c), so both layouts of /usr work and $ORIGIN is the same inside as outside.
 *
 * The loader's order: RPATH of the object and of those that led to it (if it has no RUNPATH), its RUNPATH, the
 * directories of ld.so.conf, the built-in ones. A candidate of another class or machine is passed over, as the
 * loader does. When something was found by ld.so.conf alone, /etc/ld.so.cache goes into the jail, because the loader
 * finds it by that.
 *
 * Files are opened here and read by the confined child (jail-reader.c). dlopen(3) leaves no trace in headers: what a
 * program loads that way is named by its user.
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/jail.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "cleanup.h"
#include "elf-head.h"
#include "error.h"
#include "jail-groups.h"
#include "jail-reader.h"
#include "jail-search.h"

enum {
    MAX_OBJECTS = 1024,
    MAX_SCRIPTS = 4
};

/* One loaded object of the binary at hand; they form a tree by @loader. */
struct object {
    char *path;
    char *origin; /* its directory, for $ORIGIN */
    struct sbxi_elf *elf;
    size_t loader; /* who needs it; itself for the binary */
};

struct jail {
    struct sbxi_jail_reader reader;
    struct sbxi_strings files; /* the result */
    struct sbxi_strings conf;
    const char *binary; /* for error texts */
    struct object *objects;
    size_t nobjects;
    struct sbx_error *error;
};

static int open_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static int add_file(struct jail *j, const char *path)
{
    return sbxi_strings_has(&j->files, path) ? 0 : sbxi_strings_add(&j->files, path);
}

static void drop_objects(struct jail *j)
{
    for (size_t i = 0; i < j->nobjects; i++) {
        free(j->objects[i].path);
        free(j->objects[i].origin);
        free(j->objects[i].elf);
    }
    free(j->objects);
    j->objects = NULL;
    j->nobjects = 0;
}

static int push_object(
    struct jail *j, const char *path, const char *real, const struct sbxi_elf *elf, size_t loader)
{
    if (j->nobjects >= MAX_OBJECTS)
        return -E2BIG;
    struct object *grown = reallocarray(j->objects, j->nobjects + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    j->objects = grown;
    struct object o = {
        .path = strdup(path), .origin = strdup(real), .elf = malloc(sizeof *elf), .loader = loader};
    if (!o.path || !o.origin || !o.elf) {
        free(o.path);
        free(o.origin);
        free(o.elf);
        return -ENOMEM;
    }
    *strrchr(o.origin, '/') = '\0';
    memcpy(o.elf, elf, sizeof *elf);
    j->objects[j->nobjects++] = o;
    return 0;
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* 1: @path is an object for @like's class and machine, and is taken; 0: it is not. */
static int
try_candidate(struct jail *j, const char *path, const struct sbxi_elf *like, size_t loader)
{
    _cleanup_close_ int fd = open_file(path);
    if (fd < 0)
        return 0;
    _cleanup_free_ struct sbxi_elf *elf = malloc(sizeof *elf);
    if (!elf)
        return -ENOMEM;
    int r = sbxi_jail_reader_read(&j->reader, fd, elf);
    if (r < 0)
        return sbxi_error(j->error, -r, "jail: %s: cannot be read as a library", path);
    if (elf->err || elf->bits != like->bits || elf->machine != like->machine)
        return 0;
    r = add_file(j, path);
    if (r >= 0)
        r = push_object(j, path, path, elf, loader);
    return r < 0 ? r : 1;
}

static int
try_dirs(struct jail *j, const struct sbxi_strings *dirs, const char *name, size_t needer)
{
    for (size_t i = 0; i < dirs->n; i++) {
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/%s", dirs->v[i], name);
        if (n < 0 || (size_t)n >= sizeof path)
            continue;
        int r = try_candidate(j, path, j->objects[needer].elf, needer);
        if (r != 0)
            return r;
    }
    return 0;
}

static int try_list(struct jail *j, const char *list, size_t owner, const char *name, size_t needer)
{
    struct sbxi_strings dirs = {0};
    const struct sbxi_elf *elf = j->objects[owner].elf;
    int r = sbxi_search_expand(&dirs, list, j->objects[owner].origin, elf->bits, elf->machine);
    if (r >= 0)
        r = try_dirs(j, &dirs, name, needer);
    sbxi_strings_deinit(&dirs);
    return r;
}

static int try_rpaths(struct jail *j, const char *name, size_t needer)
{
    if (j->objects[needer].elf->runpath[0])
        return 0;
    for (size_t i = needer;; i = j->objects[i].loader) {
        if (!j->objects[i].elf->runpath[0]) {
            int r = try_list(j, j->objects[i].elf->rpath, i, name, needer);
            if (r != 0)
                return r;
        }
        if (j->objects[i].loader == i)
            return 0;
    }
}

static int try_system(struct jail *j, const char *name, size_t needer)
{
    const struct sbxi_elf *elf = j->objects[needer].elf;
    struct sbxi_strings defaults = {0};
    int r = sbxi_search_defaults(&defaults, elf->bits, elf->machine);
    /* The built-in directories first: what is there needs no cache inside, and ld.so.conf names them too. */
    if (r >= 0)
        r = try_dirs(j, &defaults, name, needer);
    sbxi_strings_deinit(&defaults);
    if (r != 0)
        return r;
    r = try_dirs(j, &j->conf, name, needer);
    if (r > 0 && access("/etc/ld.so.cache", R_OK) == 0) {
        int r2 = add_file(j, "/etc/ld.so.cache");
        return r2 < 0 ? r2 : r;
    }
    return r;
}

static bool is_loaded(const struct jail *j, const char *name)
{
    for (size_t i = 0; i < j->nobjects; i++)
        if (strcmp(base(j->objects[i].path), name) == 0)
            return true;
    return false;
}

static int missing(struct jail *j, const char *name, size_t needer)
{
    const struct object *o = &j->objects[needer];
    const char *path = o->elf->runpath[0] ? o->elf->runpath : o->elf->rpath;
    return sbxi_error(
        j->error, ENOENT,
        "jail: %s: needs %.200s%s%s: not found in %s%.200s%sld.so.conf's directories or "
        "/lib and /usr/lib; install it, or name what provides it",
        j->binary, name, needer ? " (by " : "", needer ? base(o->path) : "",
        path[0] ? (needer ? "): RUNPATH (" : "RUNPATH (") : (needer ? "): " : ""), path,
        path[0] ? "), " : "");
}

static int find_needed(struct jail *j, const char *name, size_t needer)
{
    int r;
    if (is_loaded(j, name))
        return 0;
    if (strchr(name, '/')) {
        if (name[0] != '/' || strstr(name, "/../"))
            return sbxi_error(
                j->error, EINVAL,
                "jail: %s: needs %.200s: a relative path depends on where it is started", j->binary,
                name);
        r = try_candidate(j, name, j->objects[needer].elf, needer);
    } else {
        r = try_rpaths(j, name, needer);
        if (r == 0)
            r = try_list(j, j->objects[needer].elf->runpath, needer, name, needer);
        if (r == 0)
            r = try_system(j, name, needer);
    }
    return r == 0 ? missing(j, name, needer) : r < 0 ? r : 0;
}

/* Breadth first, as the loader loads. */
static int resolve_objects(struct jail *j)
{
    for (size_t i = 0; i < j->nobjects; i++) {
        size_t at = 0;
        for (uint32_t k = 0; k < j->objects[i].elf->nneeded; k++) {
            const char *name = j->objects[i].elf->needed + at;
            at += strlen(name) + 1;
            int r = find_needed(j, name, i);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int add_binary(struct jail *j, const char *path, int scripts);

/* "#!/usr/bin/env python3": the argument is the interpreter as well, looked up in the usual PATH. */
static int add_env_argument(struct jail *j, const char *argument, int scripts)
{
    static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                       "/usr/bin",        "/sbin",          "/bin"};
    const char *p = strncmp(argument, "-S", 2) == 0 ? argument + 2 : argument;
    p += strspn(p, " \t");
    char name[256], path[PATH_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(p, " \t"), p);
    if (!name[0] || strchr(name, '='))
        return 0;
    if (name[0] == '/')
        return add_binary(j, name, scripts + 1);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return add_binary(j, path, scripts + 1);
    }
    return sbxi_error(
        j->error, ENOENT,
        "jail: %s: its \"#!\" line asks env for %.200s: not found in the usual PATH; name "
        "the interpreter by its path",
        j->binary, name);
}

static int add_script(struct jail *j, const struct sbxi_elf *elf, int scripts)
{
    if (scripts >= MAX_SCRIPTS || elf->interpreter[0] != '/')
        return sbxi_error(j->error, ELOOP, "jail: %s: its \"#!\" interpreter %s cannot be used",
                          j->binary, elf->interpreter);
    int r = add_binary(j, elf->interpreter, scripts + 1);
    if (r >= 0 && strcmp(base(elf->interpreter), "env") == 0)
        r = add_env_argument(j, elf->argument, scripts);
    return r;
}

static int add_program(struct jail *j, const char *path, const struct sbxi_elf *elf)
{
    char real[PATH_MAX];
    if (!realpath(path, real)) /* the kernel tells the loader $ORIGIN, and it follows links */
        return -errno;
    if (elf->interpreter[0]) {
        struct stat st;
        if (elf->interpreter[0] != '/' || stat(elf->interpreter, &st) < 0)
            return sbxi_error(j->error, ENOENT,
                              "jail: %s: its program interpreter %.200s is missing; install it",
                              j->binary, elf->interpreter);
        int r = add_file(j, elf->interpreter);
        if (r < 0)
            return r;
    }
    int r = push_object(j, path, real, elf, 0);
    if (r >= 0)
        r = resolve_objects(j);
    drop_objects(j);
    return r;
}

static int add_binary(struct jail *j, const char *path, int scripts)
{
    if (path[0] != '/')
        return sbxi_error(j->error, EINVAL, "jail: %s: must be an absolute path", path);
    _cleanup_close_ int fd = open_file(path);
    if (fd < 0 && fd != -EISDIR)
        return scripts ? sbxi_error(j->error, -fd, "jail: %s: its interpreter %s: %s; install it",
                                    j->binary, path, strerror(-fd))
                       : sbxi_error(j->error, -fd, "jail: %s: %s", path, strerror(-fd));
    int r = add_file(j, path);
    if (r < 0 || fd < 0) /* a directory or a device: as it is */
        return r;
    _cleanup_free_ struct sbxi_elf *elf = malloc(sizeof *elf);
    if (!elf)
        return -ENOMEM;
    r = sbxi_jail_reader_read(&j->reader, fd, elf);
    if (r < 0)
        return sbxi_error(j->error, -r, "jail: %s: the reader of ELF headers died of it", path);
    if (elf->err == ENOEXEC)
        return 0; /* a plain file */
    if (elf->err)
        return sbxi_error(j->error, elf->err,
                          "jail: %s: its ELF header or \"#!\" line is malformed", path);
    return sbxi_elf_is_script(elf) ? add_script(j, elf, scripts) : add_program(j, path, elf);
}

static int add_of_group(const char *path, void *userdata)
{
    struct jail *j = userdata;
    int r = add_binary(j, path, 0);
    drop_objects(j);
    return r;
}

static int add_group(struct jail *j, const char *name)
{
    int r = sbxi_jail_group(name, add_of_group, j);
    if (r == -EINVAL)
        return sbxi_error(j->error, EINVAL, "jail: %s: the groups are @nss, @locale and @tls",
                          name);
    if (r == -ENOENT && (!j->error || !j->error->err))
        return sbxi_error(j->error, ENOENT, "jail: %s: this host has no file of it", name);
    return r;
}

int sbx_jail_list(const char *const *binaries, char ***ret_paths, struct sbx_error *error)
{
    struct jail j = {.error = error};
    int r = sbxi_jail_reader_start(&j.reader);
    if (r < 0)
        return sbxi_error(error, -r, "jail: the reader of ELF headers cannot be started: %s",
                          strerror(-r));
    r = sbxi_search_conf(&j.conf, "/etc/ld.so.conf");
    for (size_t i = 0; binaries[i] && r >= 0; i++) {
        j.binary = binaries[i];
        r = binaries[i][0] == '@' ? add_group(&j, binaries[i]) : add_binary(&j, binaries[i], 0);
        drop_objects(&j);
    }
    sbxi_jail_reader_end(&j.reader);
    sbxi_strings_deinit(&j.conf);
    if (r >= 0 && !j.files.v)
        r = -EINVAL;
    if (r < 0) {
        if (r == -ENOMEM || r == -E2BIG || r == -EINVAL)
            if (error && !error->err)
                sbxi_error(error, -r, "jail: %s", strerror(-r));
        sbxi_strings_deinit(&j.files);
        return r;
    }
    *ret_paths = j.files.v;
    return 0;
}
