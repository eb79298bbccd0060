/* SPDX-License-Identifier: MIT */
/*
 * Where the dynamic loader looks, as lists of directories: RUNPATH and RPATH with their $-words, ld.so.conf with its
 * includes, and what is built into Debian's loader. Subdirectories for newer processors (glibc-hwcaps) are not
 * considered: the loader goes on to the plain directory where they are missing, as they are in a jail.
 */

#include "jail-search.h"

#include <elf.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum {
    MAX_STRINGS = 4096,
    MAX_DEPTH = 4,
    MAX_LINES = 1024
};

int sbxi_strings_add(struct sbxi_strings *s, const char *text)
{
    if (s->n >= MAX_STRINGS)
        return -E2BIG;
    char **grown = reallocarray(s->v, s->n + 2, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    s->v = grown;
    s->v[s->n] = strdup(text);
    if (!s->v[s->n])
        return -ENOMEM;
    s->v[++s->n] = NULL;
    return 0;
}

bool sbxi_strings_has(const struct sbxi_strings *s, const char *text)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i], text) == 0)
            return true;
    return false;
}

void sbxi_strings_deinit(struct sbxi_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    *s = (struct sbxi_strings){0};
}

static const char *triplet(int bits, uint16_t machine)
{
    switch (machine) {
    case EM_X86_64:
        return bits == 64 ? "x86_64-linux-gnu" : "x86_64-linux-gnux32";
    case EM_386:
        return "i386-linux-gnu";
    case EM_AARCH64:
        return "aarch64-linux-gnu";
    case EM_ARM:
        return "arm-linux-gnueabihf";
    case EM_RISCV:
        return "riscv64-linux-gnu";
    default:
        return NULL;
    }
}

static const char *platform(uint16_t machine)
{
    return machine == EM_X86_64    ? "x86_64"
           : machine == EM_AARCH64 ? "aarch64"
           : machine == EM_386     ? "i686"
                                   : "";
}

/* If @p begins with $WORD or ${WORD}: its length, otherwise 0. */
static size_t word_at(const char *p, const char *word)
{
    size_t len = strlen(word);
    if (p[0] != '$')
        return 0;
    if (p[1] == '{')
        return strncmp(p + 2, word, len) == 0 && p[2 + len] == '}' ? len + 3 : 0;
    return strncmp(p + 1, word, len) == 0 ? len + 1 : 0;
}

static bool append(char *ret, size_t *n, const char *text, size_t len)
{
    if (*n + len >= PATH_MAX)
        return false;
    memcpy(ret + *n, text, len);
    *n += len;
    ret[*n] = '\0';
    return true;
}

static bool expand_one(char ret[PATH_MAX],
                       const char *text,
                       size_t len,
                       const char *origin,
                       int bits,
                       uint16_t machine)
{
    char lib[64];
    const char *arch = triplet(bits, machine);
    snprintf(lib, sizeof lib, arch ? "lib/%s" : "lib", arch);
    const struct {
        const char *word, *value;
    } words[] = {{"ORIGIN", origin}, {"LIB", lib}, {"PLATFORM", platform(machine)}};
    size_t n = 0;
    ret[0] = '\0';
    for (const char *p = text; p < text + len;) {
        size_t skip = 0;
        for (size_t w = 0; w < 3 && !skip; w++) {
            skip = word_at(p, words[w].word);
            if (skip && !append(ret, &n, words[w].value, strlen(words[w].value)))
                return false;
        }
        if (!skip && !append(ret, &n, p, 1))
            return false;
        p += skip ? skip : 1;
    }
    while (n > 1 && ret[n - 1] == '/')
        ret[--n] = '\0';
    return ret[0] == '/';
}

int sbxi_search_expand(
    struct sbxi_strings *dirs, const char *list, const char *origin, int bits, uint16_t machine)
{
    for (const char *p = list; *p;) {
        size_t len = strcspn(p, ":");
        char dir[PATH_MAX];
        if (len && expand_one(dir, p, len, origin, bits, machine)) {
            int r = sbxi_strings_add(dirs, dir);
            if (r < 0)
                return r;
        }
        p += len + (p[len] == ':');
    }
    return 0;
}

static int read_conf(struct sbxi_strings *dirs, const char *path, int depth);

static int include(struct sbxi_strings *dirs, const char *from, const char *pattern, int depth)
{
    char whole[PATH_MAX * 2];
    const char *slash = strrchr(from, '/');
    if (pattern[0] == '/' || !slash)
        snprintf(whole, sizeof whole, "%s", pattern);
    else
        snprintf(whole, sizeof whole, "%.*s/%s", (int)(slash - from), from, pattern);
    glob_t found;
    if (glob(whole, 0, NULL, &found) != 0)
        return 0;
    int r = 0;
    for (size_t i = 0; i < found.gl_pathc && r >= 0; i++)
        r = read_conf(dirs, found.gl_pathv[i], depth + 1);
    globfree(&found);
    return r;
}

static int read_conf(struct sbxi_strings *dirs, const char *path, int depth)
{
    _cleanup_fclose_ FILE *file = depth <= MAX_DEPTH ? fopen(path, "re") : NULL;
    _cleanup_free_ char *line = NULL;
    size_t cap = 0;
    int r = 0;
    for (int i = 0; file && i < MAX_LINES && r >= 0 && getline(&line, &cap, file) > 0; i++) {
        line[strcspn(line, "#\n")] = '\0';
        char *p = line + strspn(line, " \t");
        for (size_t n = strlen(p); n && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '/');)
            p[--n] = '\0';
        if (strncmp(p, "include", 7) == 0 && (p[7] == ' ' || p[7] == '\t'))
            r = include(dirs, path, p + 7 + strspn(p + 7, " \t"), depth);
        else if (p[0] == '/')
            r = sbxi_strings_add(dirs, p);
    }
    return r;
}

int sbxi_search_conf(struct sbxi_strings *dirs, const char *path)
{
    return read_conf(dirs, path, 0);
}

int sbxi_search_defaults(struct sbxi_strings *dirs, int bits, uint16_t machine)
{
    const char *arch = triplet(bits, machine);
    static const char *const parents[] = {"/lib", "/usr/lib"};
    char dir[128];
    int r = 0;
    for (size_t i = 0; arch && i < 2 && r >= 0; i++) {
        snprintf(dir, sizeof dir, "%s/%s", parents[i], arch);
        r = sbxi_strings_add(dirs, dir);
    }
    for (size_t i = 0; bits == 64 && i < 2 && r >= 0; i++) {
        snprintf(dir, sizeof dir, "%s64", parents[i]);
        r = sbxi_strings_add(dirs, dir);
    }
    for (size_t i = 0; i < 2 && r >= 0; i++)
        r = sbxi_strings_add(dirs, parents[i]);
    return r;
}
