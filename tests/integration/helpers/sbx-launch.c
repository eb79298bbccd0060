/* SPDX-License-Identifier: MIT */
/*
 * The sandbox library from a shell: every field of a spec as an option, the report and the result as "key value" lines on
 * the descriptor given by --report. For tests; people use `uds run`.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sbx/sandbox.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

enum {
    MOST = 64
};

struct options {
    struct sbx_spec spec;
    const char *jail[MOST], *env[MOST], *masks[MOST];
    struct sbx_bind binds[MOST];
    struct sbx_named_fd fds[MOST], env_fds[MOST];
    struct sbx_rlimit limits[MOST];
    struct sbx_filter filter;
    size_t njail, nenv, nmasks;
    const char *run_dir;
    int repeat, at_once;
    bool dry_run;
    int report, stop_ms, signal;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "sbx-launch: %s: %s\n", what, why);
    exit(125);
}

static uint32_t bits(char *text, int (*parse)(const char *, uint32_t *))
{
    uint32_t all = 0, bit;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        if (parse(word, &bit) < 0)
            fail(word, "unknown word");
        all |= bit;
    }
    return all;
}

/* "left=right" or "left:right" cut in two. */
static char *cut(char *text, char at)
{
    char *right = strchr(text, at);
    if (!right)
        fail(text, "needs two parts");
    *right = '\0';
    return right + 1;
}

/* ---- the options: one row each says where a value goes ---- */

#define TAKER(name) static void name(struct options *o, void *field, char *value)

TAKER(set_true)
{
    (void)o, (void)value;
    *(bool *)field = true;
}

TAKER(set_text)
{
    (void)o;
    *(const char **)field = value;
}

TAKER(set_int)
{
    (void)o;
    *(int *)field = atoi(value);
}

TAKER(set_id)
{
    (void)o;
    *(uint32_t *)field = (uint32_t)atoi(value);
}

TAKER(set_count)
{
    (void)o;
    *(uint64_t *)field = strtoull(value, NULL, 0);
}

TAKER(set_bytes)
{
    (void)o;
    if (sbx_parse_bytes(value, field) < 0)
        fail(value, "bytes");
}

TAKER(set_percent)
{
    (void)o;
    if (sbx_parse_percent(value, field) < 0)
        fail(value, "percent");
}

TAKER(set_isolate)
{
    (void)field;
    o->spec.isolate = bits(value, sbx_ns_parse);
}

TAKER(set_degrade)
{
    (void)field;
    o->spec.degrade = bits(value, sbx_degrade_parse);
}

TAKER(no_seccomp)
{
    (void)field, (void)value;
    o->spec.seccomp = SBX_SECCOMP_NONE;
}

TAKER(add_jail)
{
    (void)field;
    o->jail[o->njail++] = value;
    o->spec.jail = o->jail;
    o->spec.root = SBX_ROOT_JAIL;
}

TAKER(add_env)
{
    (void)field;
    o->env[o->nenv++] = value;
    o->spec.env = o->env;
}

TAKER(add_mask)
{
    (void)field;
    o->masks[o->nmasks++] = value;
    o->spec.masks = o->masks;
    o->spec.run_dir = o->run_dir;
}

static void add_bind(struct options *o, char *value, bool writable)
{
    char *right = cut(value, ':');
    o->binds[o->spec.nbinds++] = (struct sbx_bind){value, right, writable, false};
    o->spec.binds = o->binds;
}

TAKER(add_ro_bind)
{
    (void)field;
    add_bind(o, value, false);
}

TAKER(add_rw_bind)
{
    (void)field;
    add_bind(o, value, true);
}

TAKER(add_fd)
{
    (void)field;
    char *right = cut(value, '=');
    o->fds[o->spec.nfds++] = (struct sbx_named_fd){value, atoi(right)};
    o->spec.fds = o->fds;
}

TAKER(add_env_fd)
{
    (void)field;
    char *right = cut(value, '=');
    o->env_fds[o->spec.nenv_fds++] = (struct sbx_named_fd){value, atoi(right)};
    o->spec.env_fds = o->env_fds;
}

TAKER(add_rlimit)
{
    (void)field;
    unsigned long long most = strtoull(cut(value, '='), NULL, 0);
    o->limits[o->spec.nrlimits++] = (struct sbx_rlimit){atoi(value), most, most};
    o->spec.rlimits = o->limits;
}

/* A BPF program as it is loaded. */
TAKER(read_filter)
{
    (void)field;
    static char code[8 * 4096];
    FILE *file = fopen(value, "re");
    size_t length = file ? fread(code, 1, sizeof code, file) : 0;
    if (!length)
        fail(value, "no filter");
    fclose(file);
    o->filter = (struct sbx_filter){code, length};
    o->spec.filters = &o->filter;
    o->spec.nfilters = 1;
}

#define AT(field) offsetof(struct options, field)

static const struct entry {
    const char *name;
    int values;
    void (*take)(struct options *o, void *field, char *value);
    size_t at;
} entries[] = {
    {"jail", 1, add_jail, 0},
    {"env", 1, add_env, 0},
    {"mask", 1, add_mask, 0},
    {"bind", 1, add_ro_bind, 0},
    {"bind-rw", 1, add_rw_bind, 0},
    {"fd", 1, add_fd, 0},
    {"env-fd", 1, add_env_fd, 0},
    {"isolate", 1, set_isolate, 0},
    {"degrade", 1, set_degrade, 0},
    {"memory", 1, set_bytes, AT(spec.limits.memory_bytes)},
    {"pids", 1, set_count, AT(spec.limits.pids)},
    {"cpu", 1, set_percent, AT(spec.limits.cpu_percent)},
    {"timeout", 1, set_int, AT(spec.timeout_ms)},
    {"chdir", 1, set_text, AT(spec.chdir)},
    {"uid", 1, set_id, AT(spec.uid)},
    {"gid", 1, set_id, AT(spec.gid)},
    {"landlock", 0, set_true, AT(spec.landlock_no_reopen)},
    {"no-seccomp", 0, no_seccomp, 0},
    {"host-root", 0, set_true, AT(spec.host_root)},
    {"assert", 0, set_true, AT(spec.assert_all)},
    {"dry-run", 0, set_true, AT(dry_run)},
    {"report", 1, set_int, AT(report)},
    {"name", 1, set_text, AT(spec.name)},
    {"cgroup-parent", 1, set_text, AT(spec.cgroup_parent)},
    {"rlimit", 1, add_rlimit, 0},
    {"stop", 1, set_int, AT(stop_ms)},
    {"hostname", 1, set_text, AT(spec.hostname)},
    {"signal", 1, set_int, AT(signal)},
    {"repeat", 1, set_int, AT(repeat)},
    {"at-once", 1, set_int, AT(at_once)},
    {"run-dir", 1, set_text, AT(run_dir)},
    {"filter", 1, read_filter, 0},
    {"disable-userns", 0, set_true, AT(spec.disable_userns)},
};

static void read_options(struct options *o, int argc, char **argv)
{
    enum {
        COUNT = sizeof entries / sizeof entries[0]
    };
    struct option names[COUNT + 1] = {0};
    int index = 0;
    for (size_t i = 0; i < COUNT; i++)
        names[i] = (struct option){entries[i].name, entries[i].values, NULL, 0};
    for (int c; (c = getopt_long(argc, argv, "+", names, &index)) >= 0;) {
        if (c == '?')
            exit(125);
        entries[index].take(o, (char *)o + entries[index].at, optarg);
    }
}

static void print_report(const struct options *o, const sbx *s)
{
    struct sbx_report r = SBX_REPORT_INIT;
    sbx_get_report(s, &r);
    dprintf(o->report, "degraded %u\nuid_first %u\nuid_count %u\nhost_uid %u\ninit_pid %d\n",
            r.degraded, r.uid_first, r.uid_count, r.host_uid, (int)r.init_pid);
    dprintf(o->report, "backend %s\ncgroup %s\nrlimit %d\nguarded %d\nns", r.backend, r.cgroup,
            r.memory_is_rlimit, r.guarded);
    for (int i = 0; i < 7; i++)
        dprintf(o->report, " %" PRIu64, r.ns_inode[i]);
    dprintf(o->report, "\nrunning 1\n");
}

static void print_result(const struct options *o, const struct sbx_result *r)
{
    static const char *const words[] = {"",        "exited",  "signaled",    "oom",
                                        "timeout", "stopped", "setup-failed"};
    dprintf(o->report, "outcome %s\nvalue %" PRIu64 "\npeak %" PRIu64 "\noom_kills %" PRIu64 "\n",
            words[r->outcome], r->value, r->stats.memory_peak_bytes, r->stats.oom_kills);
}

static size_t count_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 65536; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static unsigned long read_rss(void)
{
    unsigned long size = 0, rss = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%lu %lu", &size, &rss) != 2)
        rss = 0;
    if (file)
        fclose(file);
    return rss * 4;
}

static void
start_and_wait(const struct options *o, const sbx_plan *plan, sbx_cleaner *cleaner, int counts[3])
{
    static sbx *all[1024];
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    for (int i = 0; i < o->at_once; i++) {
        all[i] = NULL;
        if (sbx_start(&all[i], plan, cleaner, &error) < 0) {
            fprintf(stderr, "sbx-launch: start: %s\n", error.text);
            counts[2]++;
        }
    }
    for (int i = 0; i < o->at_once; i++) {
        if (!all[i])
            continue;
        bool fine = sbx_wait(all[i], &result) == 1 && result.outcome == SBX_EXITED && !result.value;
        counts[fine ? 0 : 1]++;
        sbx_free(all[i]);
    }
}

/* A launcher that lives long: what it holds after the first round it holds after the last. */
static int run_many(const struct options *o, const sbx_plan *plan)
{
    struct sbx_error error = {0};
    sbx_cleaner *cleaner = NULL;
    int counts[3] = {0}; /* ended well, otherwise, never started */
    size_t fds = 0;
    unsigned long rss = 0;
    if (sbx_cleaner_new(&cleaner, o->run_dir, &error) < 0) {
        fprintf(stderr, "sbx-launch: cleaner: %s\n", error.text);
        return 126;
    }
    for (int i = 0; i < o->repeat; i++) {
        start_and_wait(o, plan, cleaner, counts);
        fds = i ? fds : count_fds();
        rss = i ? rss : read_rss();
    }
    dprintf(o->report, "running 1\nfine %d\nother %d\nunstarted %d\nfds %zu\nfds_after %zu\n",
            counts[0], counts[1], counts[2], fds, count_fds());
    dprintf(o->report, "rss %lu\nrss_after %lu\n", rss, read_rss());
    sbx_cleaner_free(cleaner);
    return 0;
}

static int run(struct options *o)
{
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_plan *plan;
    sbx *s;
    if (sbx_plan_new(&plan, &o->spec, &error) < 0) {
        fprintf(stderr, "sbx-launch: plan: %s\n", error.text);
        return 125;
    }
    if (o->repeat) {
        int many = run_many(o, plan);
        sbx_plan_free(plan);
        return many;
    }
    if (o->dry_run) {
        sbx_plan_print(plan, stdout);
        sbx_plan_free(plan);
        return 0;
    }
    sbx_cleaner *cleaner = NULL;
    if ((o->run_dir && sbx_cleaner_new(&cleaner, o->run_dir, &error) < 0) ||
        sbx_start(&s, plan, cleaner, &error) < 0) {
        fprintf(stderr, "sbx-launch: start: %s\n", error.text);
        sbx_cleaner_free(cleaner);
        sbx_plan_free(plan);
        return 126;
    }
    print_report(o, s);
    if (o->signal)
        sbx_signal(s, o->signal);
    if (o->stop_ms >= 0)
        sbx_stop(s, o->stop_ms);
    int r = sbx_wait(s, &result);
    if (r == 1)
        print_result(o, &result);
    sbx_free(s);
    sbx_cleaner_free(cleaner);
    sbx_plan_free(plan);
    return r == 1 && result.outcome == SBX_EXITED ? (int)result.value : 124;
}

int main(int argc, char **argv)
{
    static struct options o = {.spec = SBX_SPEC_INIT, .report = -1, .stop_ms = -1, .at_once = 1};
    read_options(&o, argc, argv);
    for (int i = 0; i < 3; i++)
        o.spec.stdio[i] = i;
    if (o.report < 0)
        o.report = 2;
    o.spec.argv = (const char *const *)argv + optind;
    return run(&o);
}
