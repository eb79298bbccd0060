/* SPDX-License-Identifier: MIT */
/*
 * The last step: find the program, execve it, and where that fails say which file was the missing one. ENOENT from
 * execve can mean the program, its #! line's interpreter or its ELF loader; the user of a jail needs to know which.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/elf.h>

#include "init.h"

/* "KEY=" of what the launcher could not know is to be what we know of KEY. */
static char *fill_in(const char *entry, char *const *known)
{
    size_t length = strlen(entry);
    if (length > 0 && entry[length - 1] == '=')
        for (; *known; known++)
            if (strncmp(*known, entry, length) == 0)
                return *known;
    /* No copy: where we share PID 1's memory it would stay there. */
    return (char *)(uintptr_t)entry;
}

/* A block of @count strings, one behind the other, as an array for execve. */
static char **unpack(const char *block, uint64_t count, char *const *known)
{
    char **array = calloc(count + 1, sizeof *array);
    if (!array)
        return NULL;
    for (uint64_t i = 0; i < count; i++) {
        array[i] = fill_in(block, known);
        block += strlen(block) + 1;
    }
    return array;
}

static const char *find_in(char *const *env, const char *name)
{
    size_t length = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

/* @first, and what of @second it does not name; both are ours. */
static char **merge(char **first, uint64_t nfirst, char **second, uint64_t nsecond)
{
    char **all = first ? calloc(nfirst + nsecond + 1, sizeof *all) : NULL;
    if (!all)
        return NULL;
    uint64_t n = nfirst;
    memcpy(all, first, nfirst * sizeof *all);
    for (uint64_t i = 0; i < nsecond; i++) {
        size_t length = strcspn(second[i], "=") + 1;
        uint64_t k = 0;
        while (k < nfirst && strncmp(first[k], second[i], length) != 0)
            k++;
        if (k == nfirst)
            all[n++] = second[i];
    }
    return all;
}

/* The ELF loader that @fd asks for, or -1. */
static int read_interpreter(int fd, const unsigned char *head, char *ret, size_t size)
{
    Elf64_Ehdr elf;
    Elf64_Phdr program;
    memcpy(&elf, head, sizeof elf);
    if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof program)
        return -1;
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        off_t at = (off_t)(elf.e_phoff + i * sizeof program);
        if (pread(fd, &program, sizeof program, at) != (ssize_t)sizeof program)
            return -1;
        if (program.p_type != PT_INTERP)
            continue;
        size_t length = program.p_filesz < size - 1 ? program.p_filesz : size - 1;
        ssize_t n = pread(fd, ret, length, (off_t)program.p_offset);
        if (n <= 0)
            return -1;
        ret[n] = '\0';
        return 0;
    }
    return -1;
}

/* After execve of @path failed with ENOENT: which file is not there? */
static int explain(struct init *init, const char *path, int err)
{
    unsigned char head[256] = {0};
    char interpreter[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return init_fail(init, err, "%s", path);
    ssize_t n = read(fd, head, sizeof head - 1);
    int found = -1;
    if (n > 2 && head[0] == '#' && head[1] == '!') {
        char *start = (char *)head + 2 + strspn((char *)head + 2, " \t");
        start[strcspn(start, " \t\n")] = '\0';
        snprintf(interpreter, sizeof interpreter, "%s", start);
        found = 0;
    } else if (n >= (ssize_t)sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0) {
        found = read_interpreter(fd, head, interpreter, sizeof interpreter);
    }
    close(fd);
    if (found < 0 || access(interpreter, F_OK) == 0)
        return init_fail(init, err, "%s", path);
    return init_fail(init, err, "%s, the interpreter of %s", interpreter, path);
}

/* As execvp(3): what is no format of the kernel's is a script for the shell. */
static void exec_shell(const char *path, char **argv, char **env)
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **shell = calloc(count + 2, sizeof *shell);
    if (!shell)
        return;
    shell[0] = (char[]){"/bin/sh"};
    shell[1] = (char *)(uintptr_t)path;
    for (size_t i = 1; i < count; i++)
        shell[i + 1] = argv[i];
    execve(shell[0], shell, env);
}

static int try_exec(struct init *init, const char *path, char **argv, char **env)
{
    execve(path, argv, env);
    int err = errno;
    if (err == ENOEXEC && init->style_bwrap)
        exec_shell(path, argv, env);
    return err == ENOENT ? explain(init, path, err) : init_fail(init, err, "%s", path);
}

/* As execvpe: the first hit wins, EACCES is remembered. */
static int search_path(struct init *init, const char *name, char **argv, char **env)
{
    const char *path = find_in(env, "PATH");
    int denied = 0;
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        char candidate[4096];
        size_t length = strcspn(p, ":");
        int n = snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, p, name);
        p += length + (p[length] == ':');
        if (n < 0 || (size_t)n >= sizeof candidate || (candidate[0] != '/' && !init->style_bwrap))
            continue;
        bool there = access(candidate, F_OK) == 0;
        /* EACCES: a directory that we may not look into, as root's own; what is in it nobody has asked for. */
        if (!there && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
            continue;
        /* Else a filter forbids access(2), and this tells. */
        int r = try_exec(init, candidate, argv, env);
        if (r == -ENOENT && !there)
            init->detail[0] = '\0';
        else if (r != -EACCES)
            return r;
        else
            denied = r;
    }
    return denied ? denied : init_fail(init, ENOENT, "%s, in PATH", name);
}

int init_exec(struct init *init, const struct sbxi_step *step)
{
    char listen_pid[32], watchdog_pid[32], pwd[sizeof init->cwd + 4];
    int pid = init->pid ? init->pid : getpid();
    snprintf(listen_pid, sizeof listen_pid, "LISTEN_PID=%d", pid);
    snprintf(watchdog_pid, sizeof watchdog_pid, "WATCHDOG_PID=%d", pid);
    snprintf(pwd, sizeof pwd, "PWD=%s", init->cwd);
    const struct sbxi_request *request = init->request;
    char *const nothing[] = {NULL};
    char *const known[] = {listen_pid, watchdog_pid, init->style_bwrap ? pwd : NULL, NULL};
    /* What it was passed is told by its own environment. */
    char *const about_passed[] = {request && request->npassed ? listen_pid : NULL, NULL};
    char **argv = request ? unpack(init_request_argv(request), request->argc, nothing)
                          : unpack(init_a(init, step), step->args[0], nothing);
    char **env = unpack(init_b(init, step), step->args[1], known);
    if (request && env)
        env = merge(unpack(init_request_env(request), request->envc, about_passed), request->envc,
                    env, step->args[1]);
    if (!argv || !env || !argv[0])
        return -ENOMEM;
    const char *file = argv[0];
    argv += step->args[2];
    return strchr(file, '/') ? try_exec(init, file, argv, env) : search_path(init, file, argv, env);
}
