/* SPDX-License-Identifier: MIT */
/* A list of mounts becomes steps: what touches the host before the pivot, the rest after it and in the list's order. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "guard.h"
#include "plan.h"

static const char *const argv_true[] = {"/bin/true", NULL};
static const char *const layers[] = {"/", "/usr", NULL};

static struct sbx_spec make_spec(const struct sbx_mount *mounts, size_t count)
{
    struct sbx_spec spec = SBX_SPEC_INIT;
    spec.argv = argv_true;
    spec.name = "unit";
    spec.root = SBX_ROOT_EMPTY;
    spec.mounts = mounts;
    spec.nmounts = count;
    return spec;
}

static struct sbx_mount make_mount(enum sbx_mount_type type, const char *target)
{
    struct sbx_mount mount = SBX_MOUNT_INIT;
    mount.type = type;
    mount.target = target;
    return mount;
}

static size_t find(const sbx_plan *plan, uint32_t op, const char *a)
{
    for (size_t i = 0; i < plan->nsteps; i++)
        if (plan->steps[i].op == op && (!a || strcmp(plan->steps[i].a, a) == 0))
            return i;
    return SIZE_MAX;
}

static void refuse(struct sbx_mount mount, int err, const char *word)
{
    struct sbx_error error = {0};
    struct sbx_spec spec = make_spec(&mount, 1);
    sbx_plan *plan = NULL;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), -err, "%s: %s", word, error.text);
    cr_assert(strstr(error.text, word), "\"%s\" does not say \"%s\"", error.text, word);
}

Test(mounts, touch_the_host_before_the_pivot_and_the_root_in_order_after_it)
{
    UDS_TEST_GUARD;
    struct sbx_mount list[6] = {
        make_mount(SBX_MOUNT_TMPFS, "/a"),       make_mount(SBX_MOUNT_BIND, "/a/b"),
        make_mount(SBX_MOUNT_BIND_DATA, "/a/c"), make_mount(SBX_MOUNT_OVERLAY, "/a/d"),
        make_mount(SBX_MOUNT_FILE, "/a/e"),      make_mount(SBX_MOUNT_REMOUNT_RO, "/a"),
    };
    list[1].source = "/usr";
    list[1].readonly = true;
    list[2].fd = list[4].fd = 0;
    list[3].layers = layers;
    struct sbx_spec spec = make_spec(list, 6);
    struct sbx_error error = {0};
    sbx_plan *plan;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    size_t pivot = find(plan, SBXI_PIVOT, NULL);
    size_t before[] = {find(plan, SBXI_OPEN, "/usr"), find(plan, SBXI_DATA, NULL),
                       find(plan, SBXI_OVERLAY, NULL), find(plan, SBXI_GIVEN, NULL)};
    size_t after[] = {pivot,
                      find(plan, SBXI_TMPFS, "/a"),
                      find(plan, SBXI_ATTACH, "/a/b"),
                      find(plan, SBXI_ATTACH, "/a/c"),
                      find(plan, SBXI_ATTACH, "/a/d"),
                      find(plan, SBXI_FILE, "/a/e"),
                      find(plan, SBXI_SEAL, "/a"),
                      find(plan, SBXI_ENTER, NULL),
                      find(plan, SBXI_FORK, NULL)};
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++)
        cr_expect_lt(before[i], pivot, "%zu", i);
    for (size_t i = 1; i < sizeof after / sizeof after[0]; i++)
        cr_expect_lt(after[i - 1], after[i], "%zu", i);
    cr_expect(plan->steps[before[0]].flags & SBXI_F_RDONLY);
    cr_expect_str_eq(plan->steps[before[2]].a, "/usr", "the highest layer is the first");
    sbx_plan_free(plan);
}

Test(mounts, are_refused_where_they_cannot_be_meant)
{
    UDS_TEST_GUARD;
    struct sbx_mount mount = make_mount(SBX_MOUNT_DIR, "relative");
    refuse(mount, EINVAL, "absolute");
    mount = make_mount(SBX_MOUNT_DIR, "/x");
    mount.mode = 010000;
    refuse(mount, EINVAL, "07777");
    mount = make_mount(SBX_MOUNT_BIND, "/x");
    mount.source = "/no/such";
    refuse(mount, ENOENT, "/no/such");
    mount.source = NULL;
    refuse(mount, EBADF, "not open");
    mount = make_mount(SBX_MOUNT_OVERLAY, "/x");
    refuse(mount, EINVAL, "a layer");
    mount.layers = layers;
    mount.source = "/usr";
    refuse(mount, EINVAL, "go together");
    mount = make_mount(SBX_MOUNT_SYMLINK, "/x");
    refuse(mount, EINVAL, "a link to nothing");
    mount = make_mount((enum sbx_mount_type)99, "/x");
    refuse(mount, EINVAL, "unknown type");
}

Test(mounts, need_a_mount_namespace)
{
    UDS_TEST_GUARD;
    struct sbx_mount mount = make_mount(SBX_MOUNT_DIR, "/x");
    struct sbx_spec spec = make_spec(&mount, 1);
    struct sbx_error error = {0};
    sbx_plan *plan = NULL;
    spec.root = SBX_ROOT_HOST_RO;
    spec.isolate &= ~(uint32_t)SBX_NS_MOUNT;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), -EINVAL);
    cr_assert(strstr(error.text, "mount namespace"));
}

Test(mounts, are_entered_also_where_a_bind_of_a_stack_goes_to_the_root)
{
    UDS_TEST_GUARD;
    struct sbx_bind bind = {.source = "/usr", .target = "/"};
    struct sbx_spec spec = make_spec(NULL, 0);
    struct sbx_error error = {0};
    sbx_plan *plan;
    spec.binds = &bind;
    spec.nbinds = 1;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    size_t enter = find(plan, SBXI_ENTER, NULL);
    cr_assert_neq(enter, SIZE_MAX, "it would stay in what is below");
    cr_assert_gt(enter, find(plan, SBXI_ATTACH, "/"));
    sbx_plan_free(plan);
}
