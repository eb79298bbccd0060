/* SPDX-License-Identifier: MIT */
/*
 * A policy from the JSON that container engines take: the OCI runtime's linux.seccomp, and the form with includes and
 * excludes that Docker and Podman ship. What we cannot do (SCMP_ACT_NOTIFY, SCMP_ACT_TRACE) is refused; names that this
 * machine does not know are passed over, as the engines do, because their files list the calls of every architecture.
 *
 * The reader below knows as much JSON as that takes. A cursor that is `bad` stays so, and every function then does
 * nothing, so that one look at the end is enough.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/utsname.h>

#include "calls.h"
#include "error.h"

enum {
    DEPTH = 16,
    NAME = 128,
    NAMES = 1024,
    ARGS = 16,
    ERRNO_MAX = 4095, /* of the kernel; more would become another */
};

struct json {
    const char *start, *at;
    unsigned depth;
    bool bad;
    char why[NAME + 64];
};

static void fail(struct json *j, const char *why, const char *what)
{
    if (!j->bad)
        snprintf(j->why, sizeof j->why, "%s%s%.*s", why, *what ? ": " : "", NAME, what);
    j->bad = true;
}

static char peek(struct json *j)
{
    j->at += strspn(j->at, " \t\r\n");
    return j->bad ? '\0' : *j->at;
}

static bool take(struct json *j, char c)
{
    if (peek(j) != c)
        return false;
    j->at++;
    return true;
}

static void expect(struct json *j, char c)
{
    if (!take(j, c))
        fail(j, "is no JSON, for want of a", (char[]){c, '\0'});
}

/* The four digits of \u, as a character of ours: what is none of ASCII is in no name that we know, so any will do for it. */
static char read_code(struct json *j)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF", *found = strchr(digits, j->at[1]);
        if (!j->at[1] || !found) {
            fail(j, "is no JSON", "\\u");
            return '?';
        }
        code = code * 16 + (unsigned)(found - digits) % 16;
        j->at++;
    }
    if (code == 0)
        fail(j, "a text with a zero in it", "");
    return code < 0x80 ? (char)code : '?';
}

/* At the backslash; ends at the last character of it. */
static char read_escape(struct json *j)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *found = *++j->at ? strchr(escapes, *j->at) : NULL;
    if (*j->at == 'u')
        return read_code(j);
    if (!found)
        fail(j, "is no JSON", "\\");
    return found ? meant[found - escapes] : '?';
}

/* What is longer than @size is cut: no name that we know is. */
static void read_text(struct json *j, char *ret, size_t size)
{
    size_t n = 0;
    *ret = '\0';
    expect(j, '"');
    for (; !j->bad && *j->at && *j->at != '"'; j->at++) {
        char c = *j->at == '\\' ? read_escape(j) : *j->at;
        if (n + 1 < size)
            ret[n++] = c;
        if (j->bad)
            break;
    }
    ret[n] = '\0';
    expect(j, '"');
}

static uint64_t read_number(struct json *j)
{
    char *end;
    if (peek(j) < '0' || peek(j) > '9') {
        fail(j, "a number is missing", "");
        return 0;
    }
    errno = 0;
    uint64_t value = strtoull(j->at, &end, 10);
    if (errno || *end == '.' || *end == 'e' || *end == 'E')
        fail(j, "a number is too large, or no whole one", "");
    j->at = end;
    return value;
}

/* One that is kept in less than it was written with must not become another by that. */
static unsigned read_small(struct json *j, unsigned most)
{
    uint64_t value = read_number(j);
    if (value > most)
        fail(j, "a number is too large, or no whole one", "");
    return value > most ? 0 : (unsigned)value;
}

/* As a loop's condition: enters the list or the map on the first call, leaves it on the last. */
static bool next(struct json *j, bool *entered, char open, char close)
{
    if (!*entered) {
        *entered = true;
        expect(j, open);
        if (++j->depth > DEPTH)
            fail(j, "is nested too deeply", "");
        if (!take(j, close))
            return !j->bad;
    } else if (take(j, ',')) {
        return true;
    } else {
        expect(j, close);
    }
    j->depth--;
    return false;
}

static bool next_item(struct json *j, bool *entered)
{
    return next(j, entered, '[', ']');
}

static bool next_key(struct json *j, bool *entered, char key[NAME])
{
    if (!next(j, entered, '{', '}'))
        return false;
    read_text(j, key, NAME);
    expect(j, ':');
    return !j->bad;
}

/* Not recursive beyond DEPTH: next() sees to it. NOLINTNEXTLINE(misc-no-recursion) */
static void skip(struct json *j)
{
    char text[NAME];
    bool entered = false;
    char c = peek(j);
    if (c == '"') {
        read_text(j, text, sizeof text);
    } else if (c == '[') {
        while (next_item(j, &entered))
            skip(j);
    } else if (c == '{') {
        while (next_key(j, &entered, text))
            skip(j);
    } else {
        size_t n = strspn(j->at, "-+.0123456789abcdefghijklmnopqrstuvwxyzE");
        if (n == 0)
            fail(j, "is no JSON", "");
        j->at += n;
    }
}

static uint32_t parse_action(struct json *j, const char *text, uint16_t err)
{
    const struct {
        const char *name;
        uint32_t action;
    } actions[] = {
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
        {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(err)},
        {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, text) == 0)
            return actions[i].action;
    fail(j, "cannot be done here", text);
    return SCMP_ACT_KILL_PROCESS;
}

/* One entry of "syscalls", complete before any of it is used: its members come in any order. */
struct entry {
    int numbers[NAMES];
    size_t n;
    struct scmp_arg_cmp args[ARGS];
    unsigned nargs;
    char action[NAME];
    uint16_t err;
    bool applies;
};

static void add_name(struct json *j, struct entry *e)
{
    char name[NAME];
    read_text(j, name, sizeof name);
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0)
        return;
    if (e->n == NAMES)
        fail(j, "names too many calls at once", "");
    else
        e->numbers[e->n++] = number;
}

static void read_arg(struct json *j, struct entry *e)
{
    static const char *const ops[] = {[SCMP_CMP_NE] = "SCMP_CMP_NE",
                                      [SCMP_CMP_LT] = "SCMP_CMP_LT",
                                      [SCMP_CMP_LE] = "SCMP_CMP_LE",
                                      [SCMP_CMP_EQ] = "SCMP_CMP_EQ",
                                      [SCMP_CMP_GE] = "SCMP_CMP_GE",
                                      [SCMP_CMP_GT] = "SCMP_CMP_GT",
                                      [SCMP_CMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ"};
    char key[NAME], op[NAME] = "";
    struct scmp_arg_cmp arg = {.op = SCMP_CMP_EQ};
    bool entered = false;
    while (next_key(j, &entered, key)) {
        if (strcmp(key, "index") == 0)
            arg.arg = read_small(j, ARGS);
        else if (strcmp(key, "value") == 0)
            arg.datum_a = read_number(j);
        else if (strcmp(key, "valueTwo") == 0)
            arg.datum_b = read_number(j);
        else if (strcmp(key, "op") == 0)
            read_text(j, op, sizeof op);
        else
            skip(j);
    }
    unsigned found = 0;
    for (unsigned i = 1; i < sizeof ops / sizeof ops[0]; i++)
        if (ops[i] && strcmp(ops[i], op) == 0)
            found = i;
    arg.op = (enum scmp_compare)found;
    if (!found || arg.arg > 5 || e->nargs == ARGS)
        fail(j, "an argument has no index from 0 to 5 or no known op", op);
    else
        e->args[e->nargs++] = arg;
}

static const char *machine(void)
{
    switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64:
        return "amd64";
    case SCMP_ARCH_AARCH64:
        return "arm64";
    default:
        return "";
    }
}

static bool is_kernel_at_least(const char *text)
{
    struct utsname name;
    unsigned want[2] = {0, 0}, have[2] = {0, 0};
    if (uname(&name) < 0 || sscanf(text, "%u.%u", &want[0], &want[1]) < 1)
        return false;
    (void)sscanf(name.release, "%u.%u", &have[0], &have[1]);
    return have[0] > want[0] || (have[0] == want[0] && have[1] >= want[1]);
}

/* Of a list: does every one hold, does one? */
static void
read_list(struct json *j, const struct sbxi_seccomp *asked, bool caps, bool *ret_all, bool *ret_any)
{
    char text[NAME];
    bool entered = false;
    *ret_all = true;
    *ret_any = false;
    while (next_item(j, &entered)) {
        unsigned bit;
        read_text(j, text, sizeof text);
        bool holds = caps ? sbx_cap_parse(text, &bit) == 0 && (asked->caps >> bit & 1)
                          : strcmp(text, machine()) == 0;
        *ret_all &= holds;
        *ret_any |= holds;
    }
}

/* "includes" and "excludes": conditions for the entry as a whole. */
static bool read_conditions(struct json *j, const struct sbxi_seccomp *asked, bool includes)
{
    char key[NAME], text[NAME];
    bool entered = false, applies = true, all, any;
    while (next_key(j, &entered, key)) {
        bool caps = strcmp(key, "caps") == 0;
        if (peek(j) == 'n') { /* null */
            skip(j);
        } else if (caps || strcmp(key, "arches") == 0) {
            read_list(j, asked, caps, &all, &any);
            applies &= includes ? (caps ? all : any) : !any;
        } else if (strcmp(key, "minKernel") == 0) {
            read_text(j, text, sizeof text);
            applies &= is_kernel_at_least(text) == includes;
        } else {
            fail(j, "a condition that is not known here", key);
        }
    }
    return applies;
}

static void read_entry(struct json *j, struct entry *e, const struct sbxi_seccomp *asked)
{
    char key[NAME];
    bool entered = false;
    while (next_key(j, &entered, key)) {
        bool list = false, names = strcmp(key, "names") == 0, args = strcmp(key, "args") == 0;
        bool includes = strcmp(key, "includes") == 0;
        if (peek(j) == 'n') /* null */
            skip(j);
        else if (names || args)
            while (next_item(j, &list))
                names ? add_name(j, e) : read_arg(j, e);
        else if (strcmp(key, "name") == 0)
            add_name(j, e);
        else if (strcmp(key, "action") == 0)
            read_text(j, e->action, sizeof e->action);
        else if (strcmp(key, "errnoRet") == 0)
            e->err = (uint16_t)read_small(j, ERRNO_MAX);
        else if (includes || strcmp(key, "excludes") == 0)
            e->applies &= read_conditions(j, asked, includes);
        else
            skip(j);
    }
}

/* Conditions are met together, unless two are of one argument: then each is a rule of its own, as runc reads it. */
static void
add_rules(struct sbxi_policy *policy, const struct entry *e, int number, uint32_t action)
{
    bool twice = e->nargs > 6;
    for (unsigned i = 0; i < e->nargs; i++)
        for (unsigned k = 0; k < i; k++)
            twice |= e->args[i].arg == e->args[k].arg;
    struct sbxi_call call = {.number = number, .action = action};
    for (unsigned i = 0; i < e->nargs; i++) {
        call.compare[call.ncompare++] = e->args[i];
        if (twice) {
            sbxi_policy_add(policy, &call);
            call.ncompare = 0;
        }
    }
    if (!twice)
        sbxi_policy_add(policy, &call);
}

static void read_calls(struct json *j, struct sbxi_policy *policy, const struct sbxi_seccomp *asked)
{
    bool entered = false;
    struct entry *e = malloc(sizeof *e);
    policy->failed |= !e;
    while (e && next_item(j, &entered)) {
        *e = (struct entry){.applies = true, .err = EPERM};
        read_entry(j, e, asked);
        uint32_t action = parse_action(j, e->action, e->err);
        for (size_t i = 0; e->applies && !j->bad && i < e->n; i++)
            add_rules(policy, e, e->numbers[i], action);
    }
    free(e);
}

int sbxi_policy_read_oci(struct sbxi_policy *policy,
                         const struct sbxi_seccomp *asked,
                         const char *text,
                         struct sbx_error *error)
{
    struct json j = {.start = text, .at = text};
    char key[NAME], otherwise[NAME] = "";
    uint16_t err = EPERM;
    bool entered = false;
    while (next_key(&j, &entered, key)) {
        if (strcmp(key, "defaultAction") == 0)
            read_text(&j, otherwise, sizeof otherwise);
        else if (strcmp(key, "defaultErrnoRet") == 0)
            err = (uint16_t)read_small(&j, ERRNO_MAX);
        else if (strcmp(key, "syscalls") == 0)
            read_calls(&j, policy, asked);
        else
            skip(&j);
    }
    if (peek(&j) != '\0')
        fail(&j, "is no JSON", "something follows its end");
    policy->otherwise = parse_action(&j, otherwise, err);
    if (!j.bad)
        return policy->failed ? -ENOMEM : 0;
    unsigned line = 1;
    for (const char *p = j.start; p < j.at; p++)
        line += *p == '\n';
    return sbxi_error(error, EINVAL, "sandbox: seccomp: %s:%u: %s; see uds-seccomp(5)", asked->file,
                      line, j.why);
}
