/* SPDX-License-Identifier: MIT */
/* From spec to steps: what is refused before anything is made, and the order that safety rests on. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "error.h"
#include "guard.h"
#include "plan.h"

static const char *const argv_true[] = {"/bin/true", NULL};
static const char *const jail_true[] = {"/bin/true", NULL};

static struct sbx_spec make_spec(void)
{
    struct sbx_spec spec = SBX_SPEC_INIT;
    spec.argv = argv_true;
    spec.name = "unit";
    return spec;
}

static sbx_plan *make_plan(const struct sbx_spec *spec)
{
    struct sbx_error error = {0};
    sbx_plan *plan = NULL;
    cr_assert_eq(sbx_plan_new(&plan, spec, &error), 0, "%s", error.text);
    return plan;
}

static void refuse(const struct sbx_spec *spec, int err, const char *word)
{
    struct sbx_error error = {0};
    sbx_plan *plan = NULL;
    cr_assert_eq(sbx_plan_new(&plan, spec, &error), -err, "%s", word);
    cr_assert_null(plan);
    cr_assert_eq(error.err, err);
    cr_assert(strstr(error.text, word), "\"%s\" does not say \"%s\"", error.text, word);
}

static size_t find(const sbx_plan *plan, uint32_t op, size_t from)
{
    for (size_t i = from; i < plan->nsteps; i++)
        if (plan->steps[i].op == op)
            return i;
    return SIZE_MAX;
}

Test(plan, refuses_what_makes_no_sense)
{
    UDS_TEST_GUARD;
    static const char *const none[] = {NULL}, *const relative[] = {"bin/true", NULL};
    const struct sbx_bind bind = {.source = "/no/such/path", .target = "/x"};
    const struct sbx_named_fd colon = {.name = "a:b", .fd = 0};
    struct sbx_spec spec = make_spec();
    spec.name = "no spaces";
    refuse(&spec, EINVAL, "name");
    spec = make_spec();
    spec.argv = none;
    refuse(&spec, EINVAL, "command");
    spec.argv = relative;
    refuse(&spec, EINVAL, "absolute");
    spec = make_spec();
    spec.root = SBX_ROOT_JAIL;
    refuse(&spec, EINVAL, "jail");
    spec.jail = relative;
    refuse(&spec, EINVAL, "absolute");
    spec = make_spec();
    spec.binds = &bind;
    spec.nbinds = 1;
    refuse(&spec, ENOENT, "/no/such/path");
    spec.isolate &= ~(uint32_t)SBX_NS_MOUNT;
    refuse(&spec, EINVAL, "mount");
    spec = make_spec();
    spec.fds = &colon;
    spec.nfds = 1;
    refuse(&spec, EINVAL, "fd");
    spec = make_spec();
    spec.landlock_no_reopen = true;
    refuse(&spec, EINVAL, "jail");
    spec = make_spec();
    spec.limits.memory_bytes = 4096;
    refuse(&spec, EINVAL, "memory");
    spec = make_spec();
    spec.isolate = SBX_NS_PID;
    refuse(&spec, geteuid() == 0 ? EINVAL : EPERM, "user");
}

Test(plan, gives_up_rights_in_the_one_safe_order)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    spec.root = SBX_ROOT_JAIL;
    spec.jail = jail_true;
    spec.landlock_no_reopen = true;
    spec.degrade = SBX_DEGRADE_LANDLOCK;
    sbx_plan *plan = make_plan(&spec);
    static const uint32_t order[] = {SBXI_DROP_BOUNDS,  SBXI_FORK,  SBXI_OOM_SCORE, SBXI_NO_CAPS,
                                     SBXI_NO_NEW_PRIVS, SBXI_CHDIR, SBXI_FDS,       SBXI_RLIMIT,
                                     SBXI_SECCOMP,      SBXI_EXEC};
    size_t at = 0;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        at = find(plan, order[i], at);
        cr_assert_neq(at, SIZE_MAX, "step %u is missing or early", order[i]);
        at++;
    }
    cr_assert_eq(at, plan->nsteps, "nothing comes after exec");
    if (plan->guarded)
        cr_assert_lt(find(plan, SBXI_NO_NEW_PRIVS, 0), find(plan, SBXI_LANDLOCK, 0));
    sbx_plan_free(plan);
}

Test(plan, names_the_host_before_the_pivot_only)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    for (int jail = 0; jail < 2; jail++) {
        spec.root = jail ? SBX_ROOT_JAIL : SBX_ROOT_HOST_RO;
        spec.jail = jail ? jail_true : NULL;
        sbx_plan *plan = make_plan(&spec);
        size_t pivot = find(plan, SBXI_PIVOT, 0);
        cr_assert_neq(pivot, SIZE_MAX);
        cr_assert_eq(find(plan, SBXI_OPEN, pivot), SIZE_MAX, "a host path after the pivot");
        cr_assert_eq(find(plan, SBXI_PROC, pivot), SIZE_MAX, "procfs after the pivot");
        for (uint32_t op = SBXI_UNCOVER; op <= SBXI_SEAL; op++) {
            size_t first = find(plan, op, 0);
            cr_assert(first == SIZE_MAX || first > pivot, "step %u on the host's root", op);
        }
        sbx_plan_free(plan);
    }
}

Test(plan, recreates_the_links_that_lead_to_a_file)
{
    UDS_TEST_GUARD;
    char dir[] = "/var/tmp/plan-test-XXXXXX", real[64], link[64], up[64];
    cr_assert(mkdtemp(dir));
    snprintf(real, sizeof real, "%s/real", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    snprintf(up, sizeof up, "%s/up", dir);
    int fd = open(real, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(symlink("./up", link), 0);
    cr_assert_eq(symlink(real, up), 0);
    const char *const jail[] = {link, NULL};
    struct sbx_spec spec = make_spec();
    spec.root = SBX_ROOT_JAIL;
    spec.jail = jail;
    sbx_plan *plan = make_plan(&spec);
    size_t links = 0, files = 0;
    for (size_t i = 0; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        links +=
            step->op == SBXI_SYMLINK && (!strcmp(step->a, link) || !strcmp(step->a, up)) && step->b;
        files += step->op == SBXI_ATTACH && !strcmp(step->a, real);
    }
    cr_assert_eq(links, 2);
    cr_assert_eq(files, 1);
    sbx_plan_free(plan);
    unlink(link);
    unlink(up);
    unlink(real);
    rmdir(dir);
}

Test(plan, keeps_fallback_limits_for_where_there_is_no_cgroup)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    spec.limits.memory_bytes = 64 << 20;
    spec.limits.pids = 5;
    sbx_plan *plan = make_plan(&spec);
    size_t found = 0;
    for (size_t i = 0; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (step->op != SBXI_RLIMIT || step->args[0] == RLIMIT_CORE)
            continue;
        cr_assert(step->flags & SBXI_F_NO_CGROUP);
        found++;
    }
    cr_assert_eq(found, 2);
    sbx_plan_free(plan);
}

Test(plan, prints_a_line_a_step)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    sbx_plan *plan = make_plan(&spec);
    char *text = NULL;
    size_t size = 0, lines = 0;
    FILE *out = open_memstream(&text, &size);
    sbx_plan_print(plan, out);
    fclose(out);
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    cr_assert_geq(lines, plan->nsteps);
    cr_assert(strstr(text, "exec /bin/true"));
    free(text);
    sbx_plan_free(plan);
}

Test(plan, asked_for_everything_takes_nothing_less)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    if (geteuid() == 0)
        cr_skip_test("root has an id range");
    spec.assert_all = true;
    refuse(&spec, EPERM, "ids");
}

/* U+009B begins commands to some terminals, as ESC [ does. */
Test(error, lets_no_control_characters_through)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    sbxi_error(&error, EINVAL,
               "a\x1b[1m \xc2\x9b"
               "1m \xc2\xa9");
    cr_expect_str_eq(error.text, "a?[1m ??1m \xc2\xa9");
}
