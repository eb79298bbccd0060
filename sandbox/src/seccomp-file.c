/* SPDX-License-Identifier: MIT */
/*
 * A policy from a file: lines of ours, or JSON as container engines have it.
 *
 *   base default|strict|none     what the lines change; at the beginning, default if it is not there
 *   otherwise ENOSYS|kill|allow  what becomes of calls that nothing names
 *   allow NAME…                  names or numbers
 *   deny NAME… [ENOSYS]          EPERM if no error is named
 *   kill NAME…
 *
 * A later line beats an earlier one. A name that nobody knows is an error: a rule that does nothing would not be noticed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "calls.h"
#include "cleanup.h"
#include "error.h"

enum {
    MOST = 1 << 20,
    WORDS = 512,
};

struct text {
    struct sbxi_policy *policy;
    const struct sbxi_seccomp *asked;
    struct sbx_error *error;
    unsigned line;
    bool based; /* nothing can be a base any more */
};

static int bad(const struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int bad(const struct text *t, const char *format, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    return sbxi_error(t->error, EINVAL, "sandbox: seccomp: %s:%u: %s; see uds-seccomp(5)",
                      t->asked->file, t->line, why);
}

/* "ENOSYS" → its number, 0 = there is no such. */
static int parse_errno(const char *text, size_t length)
{
    for (int number = 1; number < 134; number++) {
        const char *name = strerrorname_np(number);
        if (name && strlen(name) == length && strncmp(name, text, length) == 0)
            return number;
    }
    return 0;
}

static int parse_call(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return seccomp_syscall_resolve_name(text);
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    return *end || errno || number > 0xffff ? -1 : (int)number;
}

static int set_base(struct text *t, char **words, size_t n)
{
    if (n != 2 || t->based)
        return bad(t, "base is one of default, strict, none, before anything else");
    if (strcmp(words[1], "default") == 0)
        sbxi_policy_default(t->policy, t->asked);
    else if (strcmp(words[1], "strict") == 0)
        sbxi_policy_strict(t->policy);
    else if (strcmp(words[1], "none") == 0)
        t->policy->otherwise = SCMP_ACT_ERRNO(ENOSYS);
    else
        return bad(t, "base %s: is not default, strict or none", words[1]);
    t->based = true;
    return 0;
}

static int set_otherwise(struct text *t, char **words, size_t n)
{
    int err = n == 2 ? parse_errno(words[1], strlen(words[1])) : 0;
    if (err)
        t->policy->otherwise = SCMP_ACT_ERRNO((uint16_t)err);
    else if (n == 2 && strcmp(words[1], "kill") == 0)
        t->policy->otherwise = SCMP_ACT_KILL_PROCESS;
    else if (n == 2 && strcmp(words[1], "allow") == 0)
        t->policy->otherwise = SCMP_ACT_ALLOW;
    else
        return bad(t, "otherwise is an error as ENOSYS, or kill, or allow");
    return 0;
}

static int set_calls(struct text *t, char **words, size_t n, uint32_t action)
{
    if (n < 2)
        return bad(t, "%s: names no system call", words[0]);
    for (size_t i = 1; i < n; i++) {
        int number = parse_call(words[i]);
        if (number < 0)
            return bad(t, "'%s' is no system call of this machine%s; a number will do too",
                       words[i],
                       i > 1 && i == n - 1 && action != SCMP_ACT_ALLOW ? ", nor an error" : "");
        sbxi_policy_set(t->policy, number, action);
    }
    return 0;
}

static int read_line(struct text *t, char **words, size_t n)
{
    int err;
    if (strcmp(words[0], "base") == 0)
        return set_base(t, words, n);
    if (!t->based) {
        sbxi_policy_default(t->policy, t->asked);
        t->based = true;
    }
    if (strcmp(words[0], "otherwise") == 0)
        return set_otherwise(t, words, n);
    if (strcmp(words[0], "allow") == 0)
        return set_calls(t, words, n, SCMP_ACT_ALLOW);
    if (strcmp(words[0], "kill") == 0)
        return set_calls(t, words, n, SCMP_ACT_KILL_PROCESS);
    if (strcmp(words[0], "deny") != 0)
        return bad(t, "'%s' is not base, otherwise, allow, deny or kill", words[0]);
    err = parse_errno(words[n - 1], strlen(words[n - 1]));
    return set_calls(t, words, err ? n - 1 : n, SCMP_ACT_ERRNO((uint16_t)(err ? err : EPERM)));
}

static int read_lines(struct text *t, char *text)
{
    char *words[WORDS], *save, *next;
    int r = 0;
    for (char *line = text; r == 0 && line; line = next) {
        size_t n = 0;
        t->line++;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line[strcspn(line, "#")] = '\0';
        for (char *word = strtok_r(line, " \t\r", &save); word && n < WORDS;
             word = strtok_r(NULL, " \t\r", &save))
            words[n++] = word;
        if (n == WORDS)
            r = bad(t, "more than %d words", WORDS - 1);
        else if (n > 0)
            r = read_line(t, words, n);
    }
    if (r == 0 && !t->based)
        sbxi_policy_default(t->policy, t->asked);
    return r;
}

static int load(const char *path, char **ret, struct sbx_error *error)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return sbxi_error(error, errno,
                          "sandbox: seccomp: %s: %s; it is default, strict, none or a file's name",
                          path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > MOST)
        return sbxi_error(error, EINVAL, "sandbox: seccomp: %s: it must be a file of at most 1M",
                          path);
    char *text = calloc(1, (size_t)st.st_size + 1);
    if (!text)
        return -ENOMEM;
    ssize_t n = pread(fd, text, (size_t)st.st_size, 0);
    if (n != st.st_size || strlen(text) != (size_t)n) {
        free(text);
        return sbxi_error(error, EINVAL, "sandbox: seccomp: %s: it is no text", path);
    }
    *ret = text;
    return 0;
}

int sbxi_policy_read(struct sbxi_policy *policy,
                     const struct sbxi_seccomp *asked,
                     struct sbx_error *error)
{
    _cleanup_free_ char *text = NULL;
    struct text t = {.policy = policy, .asked = asked, .error = error};
    int r = load(asked->file, &text, error);
    if (r < 0)
        return r;
    return text[strspn(text, " \t\r\n")] == '{' ? sbxi_policy_read_oci(policy, asked, text, error)
                                                : read_lines(&t, text);
}
