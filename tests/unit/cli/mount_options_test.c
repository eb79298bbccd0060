/* SPDX-License-Identifier: MIT */
/* The options of which a root is made, as `uds run` and bwrap read them. */

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "guard.h"
#include "mount-options.h"

static const struct sbx_mount *at(const struct mount_options *o, size_t i)
{
    cr_assert_lt(i, o->mounts.count);
    return (const struct sbx_mount *)o->mounts.items + i;
}

static void
take(struct mount_options *o, const char *name, const char *a, const char *b, const char *c)
{
    const char *const values[] = {a, b, c};
    cr_assert(mount_option(o, name, values), "%s: %s", name, o->problem);
}

static void
refuse(struct mount_options *o, const char *name, const char *a, const char *b, const char *word)
{
    const char *const values[] = {a, b, NULL};
    cr_assert_not(mount_option(o, name, values), "%s", name);
    cr_assert(strstr(o->problem, word), "\"%s\" does not say \"%s\"", o->problem, word);
}

Test(mount_options, knows_how_many_values_each_has)
{
    UDS_TEST_GUARD;
    cr_expect_eq(mount_option_values("overlay"), 3);
    cr_expect_eq(mount_option_values("ro-bind-try"), 2);
    cr_expect_eq(mount_option_values("perms"), 1);
    cr_expect_eq(mount_option_values("chdir"), 0);
}

Test(mount_options, keeps_the_order_and_what_each_says)
{
    UDS_TEST_GUARD;
    struct mount_options o = MOUNT_OPTIONS_INIT;
    take(&o, "ro-bind", "/", "/a", NULL);
    take(&o, "dev-bind-try", "/no/such", "/b", NULL);
    take(&o, "bind-fd", "7", "/c", NULL);
    take(&o, "symlink", "any text", "/d", NULL);
    cr_assert_eq(o.mounts.count, 4);
    cr_expect(at(&o, 0)->readonly && !at(&o, 0)->devices && !at(&o, 0)->optional);
    cr_expect(at(&o, 1)->optional && at(&o, 1)->devices && !at(&o, 1)->readonly);
    cr_expect_str_eq(at(&o, 1)->source, "/no/such");
    cr_expect(at(&o, 2)->fd == 7 && at(&o, 2)->source == NULL);
    cr_expect_str_eq(at(&o, 3)->source, "any text");
    cr_expect_eq(at(&o, 3)->type, SBX_MOUNT_SYMLINK);
    cr_expect_str_eq(at(&o, 3)->target, "/d");
    mount_options_free(&o);
}

Test(mount_options, modifies_the_next_option_and_no_other)
{
    UDS_TEST_GUARD;
    struct mount_options o = MOUNT_OPTIONS_INIT;
    take(&o, "perms", "0700", NULL, NULL);
    take(&o, "size", "4096", NULL, NULL);
    take(&o, "tmpfs", "/a", NULL, NULL);
    take(&o, "tmpfs", "/b", NULL, NULL);
    cr_expect(at(&o, 0)->mode == 0700 && at(&o, 0)->size_bytes == 4096);
    cr_expect(at(&o, 1)->mode == -1 && at(&o, 1)->size_bytes == 0);
    cr_expect(mount_options_end(&o));
    take(&o, "perms", "0700", NULL, NULL);
    cr_expect_not(mount_options_end(&o));
    refuse(&o, "bind", "/", "/x", "--perms must be followed");
    mount_options_free(&o);
}

Test(mount_options, gives_layers_to_the_overlay_behind_them)
{
    UDS_TEST_GUARD;
    struct mount_options o = MOUNT_OPTIONS_INIT;
    refuse(&o, "tmp-overlay", "/x", NULL, "at least one --overlay-src");
    take(&o, "overlay-src", "/", NULL, NULL);
    refuse(&o, "ro-overlay", "/x", NULL, "at least two --overlay-src");
    take(&o, "overlay-src", "/usr", NULL, NULL);
    take(&o, "ro-overlay", "/x", NULL, NULL);
    cr_assert_eq(o.mounts.count, 1);
    cr_expect_str_eq(at(&o, 0)->layers[0], "/");
    cr_expect_str_eq(at(&o, 0)->layers[1], "/usr");
    cr_expect_null(at(&o, 0)->layers[2]);
    take(&o, "overlay-src", "/usr", NULL, NULL);
    cr_expect_not(mount_options_end(&o));
    cr_expect_not(mount_option(&o, "chdir", NULL), "another option between them");
    take(&o, "overlay", "/usr", "/tmp", "/y");
    cr_expect(strcmp(at(&o, 1)->source, "/usr") == 0 && strcmp(at(&o, 1)->work, "/tmp") == 0);
    cr_expect_not(at(&o, 1)->readonly);
    mount_options_free(&o);
}

Test(mount_options, refuses_numbers_that_are_none)
{
    UDS_TEST_GUARD;
    static const char *const sizes[] = {
        "0", "", "1x", "-1", " 1", "18446744073709551616", "9223372036854775809"};
    static const char *const modes[] = {"", "8", "10000", "-1", "0x1"};
    static const char *const fds[] = {"", "-1", "1x", "2147483648"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mount_options o = MOUNT_OPTIONS_INIT;
        refuse(&o, "size", sizes[i], NULL, "--size");
        mount_options_free(&o);
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct mount_options o = MOUNT_OPTIONS_INIT;
        refuse(&o, "perms", modes[i], NULL, "octal");
        refuse(&o, "chmod", modes[i], "/x", "octal");
        mount_options_free(&o);
    }
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        struct mount_options o = MOUNT_OPTIONS_INIT;
        refuse(&o, "file", fds[i], "/x", "Invalid fd");
        mount_options_free(&o);
    }
}

Test(mount_options, wants_an_absolute_target_but_of_bubblewraps)
{
    UDS_TEST_GUARD;
    struct mount_options o = MOUNT_OPTIONS_INIT;
    refuse(&o, "dir", "x", NULL, "absolute");
    o.bwrap = true;
    take(&o, "dir", "x", NULL, NULL);
    cr_expect_str_eq(at(&o, 0)->target, "/x");
    refuse(&o, "bind", "/no/such", "/x", "Can't find source path /no/such");
    mount_options_free(&o);
}
