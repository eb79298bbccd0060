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

static const struct option names[] = {
    {"jail", 1, NULL, 'j'},      {"env", 1, NULL, 'e'},
    {"mask", 1, NULL, 'k'},      {"bind", 1, NULL, 'b'},
    {"bind-rw", 1, NULL, 'B'},   {"fd", 1, NULL, 'f'},
    {"env-fd", 1, NULL, 'F'},    {"isolate", 1, NULL, 'i'},
    {"degrade", 1, NULL, 'd'},   {"memory", 1, NULL, 'm'},
    {"pids", 1, NULL, 'p'},      {"cpu", 1, NULL, 'c'},
    {"timeout", 1, NULL, 't'},   {"chdir", 1, NULL, 'C'},
    {"uid", 1, NULL, 'u'},       {"gid", 1, NULL, 'g'},
    {"landlock", 0, NULL, 'l'},  {"no-seccomp", 0, NULL, 's'},
    {"host-root", 0, NULL, 'h'}, {"assert", 0, NULL, 'a'},
    {"dry-run", 0, NULL, 'n'},   {"report", 1, NULL, 'R'},
    {"name", 1, NULL, 'N'},      {"rlimit", 1, NULL, 'r'},
    {"stop", 1, NULL, 'S'},      {"hostname", 1, NULL, 'H'},
    {"signal", 1, NULL, 'G'},    {"repeat", 1, NULL, 'P'},
    {"at-once", 1, NULL, 'O'},   {"run-dir", 1, NULL, 'U'},
    {"filter", 1, NULL, 'Q'},    {"disable-userns", 0, NULL, 'D'},
    {NULL, 0, NULL, 0},
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

/* A BPF program as it is loaded. */
static void read_filter(struct options *o, const char *path)
{
    static char code[8 * 4096];
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(code, 1, sizeof code, file) : 0;
    if (!length)
        fail(path, "no filter");
    fclose(file);
    o->filter = (struct sbx_filter){code, length};
    o->spec.filters = &o->filter;
    o->spec.nfilters = 1;
}

static void take_option(struct options *o, int option, char *value)
{
    struct sbx_spec *s = &o->spec;
    char *right;
    switch (option) {
    case 'j':
        o->jail[o->njail++] = value;
        s->jail = o->jail;
        s->root = SBX_ROOT_JAIL;
        break;
    case 'e':
        o->env[o->nenv++] = value;
        s->env = o->env;
        break;
    case 'k':
        o->masks[o->nmasks++] = value;
        s->masks = o->masks;
        break;
    case 'b':
    case 'B':
        right = cut(value, ':');
        o->binds[s->nbinds++] = (struct sbx_bind){value, right, option == 'B', false};
        s->binds = o->binds;
        break;
    case 'f':
        right = cut(value, '=');
        o->fds[s->nfds++] = (struct sbx_named_fd){value, atoi(right)};
        s->fds = o->fds;
        break;
    case 'F':
        right = cut(value, '=');
        o->env_fds[s->nenv_fds++] = (struct sbx_named_fd){value, atoi(right)};
        s->env_fds = o->env_fds;
        break;
    case 'r':
        right = cut(value, '=');
        o->limits[s->nrlimits++] =
            (struct sbx_rlimit){atoi(value), strtoull(right, NULL, 0), strtoull(right, NULL, 0)};
        s->rlimits = o->limits;
        break;
    case 'i':
        s->isolate = bits(value, sbx_ns_parse);
        break;
    case 'd':
        s->degrade = bits(value, sbx_degrade_parse);
        break;
    case 'm':
        if (sbx_parse_bytes(value, &s->limits.memory_bytes) < 0)
            fail(value, "bytes");
        break;
    case 'c':
        if (sbx_parse_percent(value, &s->limits.cpu_percent) < 0)
            fail(value, "percent");
        break;
    case 'p':
        s->limits.pids = strtoull(value, NULL, 0);
        break;
    case 't':
        s->timeout_ms = atoi(value);
        break;
    case 'C':
        s->chdir = value;
        break;
    case 'u':
        s->uid = (uid_t)atoi(value);
        break;
    case 'g':
        s->gid = (gid_t)atoi(value);
        break;
    case 'l':
        s->landlock_no_reopen = true;
        break;
    case 's':
        s->seccomp = SBX_SECCOMP_NONE;
        break;
    case 'h':
        s->host_root = true;
        break;
    case 'a':
        s->assert_all = true;
        break;
    case 'n':
        o->dry_run = true;
        break;
    case 'R':
        o->report = atoi(value);
        break;
    case 'N':
        s->name = value;
        break;
    case 'H':
        s->hostname = value;
        break;
    case 'S':
        o->stop_ms = atoi(value);
        break;
    case 'G':
        o->signal = atoi(value);
        break;
    case 'P':
        o->repeat = atoi(value);
        break;
    case 'O':
        o->at_once = atoi(value);
        break;
    case 'U':
        o->run_dir = value;
        break;
    case 'D':
        s->disable_userns = true;
        break;
    case 'Q':
        read_filter(o, value);
        break;
    default:
        exit(125);
    }
}

static void print_report(const struct options *o, const sbx *s)
{
    struct sbx_report r;
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
    struct sbx_result result;
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
    struct sbx_result result;
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
    int option;
    while ((option = getopt_long(argc, argv, "+", names, NULL)) >= 0)
        take_option(&o, option, optarg);
    for (int i = 0; i < 3; i++)
        o.spec.stdio[i] = i;
    if (o.report < 0)
        o.report = 2;
    o.spec.argv = (const char *const *)argv + optind;
    return run(&o);
}
