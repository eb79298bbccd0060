/* SPDX-License-Identifier: MIT */

/* Walks through hostile trees: nothing outside is seen or touched, and nothing is opened that could block or act. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/xattr.h>

#include "guard.h"
#include "walk.h"

struct seen {
    char paths[64][300];
    size_t n;
    bool below[64], whiteout[64], opaque[64];
};

/* A disk: tmpfs keeps what users say of a file, as rootless overlays do, since Linux 6.6 only. */
static char place[] = "/var/tmp/uds-walk-XXXXXX";
static int top = -1;

static void make_place(void)
{
    strcpy(place, "/var/tmp/uds-walk-XXXXXX");
    cr_assert_not_null(mkdtemp(place));
    top = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(top, 0);
}

static void drop_place(void)
{
    cr_assert_eq(sbxi_walk_clear(top), 0);
    close(top);
    cr_assert_eq(rmdir(place), 0, "something is left");
}

static int make(const char *path)
{
    size_t n = strlen(path);
    if (path[n - 1] == '/')
        return mkdirat(top, path, 0755);
    int fd = openat(top, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : close(fd);
}

static int see(const struct sbxi_walk_entry *e, void *userdata)
{
    struct seen *seen = userdata;
    if (seen->n == 64)
        return -E2BIG;
    snprintf(seen->paths[seen->n], sizeof seen->paths[0], "%s", e->path);
    seen->below[seen->n] = e->below;
    seen->whiteout[seen->n] = e->whiteout;
    seen->opaque[seen->n++] = e->opaque;
    return 0;
}

static size_t find(const struct seen *seen, const char *path)
{
    for (size_t i = 0; i < seen->n; i++)
        if (strcmp(seen->paths[i], path) == 0)
            return i;
    cr_assert_fail("%s was not seen", path);
    return 0;
}

static int walk(struct seen *seen, const char *upper, const char *const *layers, size_t n)
{
    struct sbxi_walk w = {.enter = see, .userdata = seen};
    int below[4], fd = openat(top, upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < n; i++)
        below[i] = openat(top, layers[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = sbxi_walk(&w, fd, below, n);
    for (size_t i = 0; i < n; i++)
        close(below[i]);
    close(fd);
    return r;
}

Test(walk, follows_no_link_and_opens_no_fifo)
{
    UDS_TEST_GUARD;
    struct seen seen = {.n = 0};
    make_place();
    make("u/");
    cr_assert_eq(symlinkat("/", top, "u/out"), 0);
    cr_assert_eq(symlinkat("../..", top, "u/up"), 0);
    cr_assert_eq(symlinkat("/proc/self/fd/0", top, "u/magic"), 0);
    cr_assert_eq(mkfifoat(top, "u/fifo", 0644), 0); /* would block for ever */
    make("u/a\nb");
    make("u/\x01:,\\");
    make("u/d/");
    make("u/d/f");
    cr_assert_eq(walk(&seen, "u", NULL, 0), 0);
    cr_assert_eq(seen.n, 8);
    find(&seen, "/a\nb");
    find(&seen, "/\x01:,\\");
    find(&seen, "/d/f");
    drop_place();
}

Test(walk, sees_layers_as_overlayfs_merges_them)
{
    UDS_TEST_GUARD;
    static const char *const dirs[] = {"u/",       "u/keep/",  "u/gone/", "u/link/",
                                       "l1/",      "l1/keep/", "l2/",     "l2/keep/",
                                       "l2/gone/", "l2/hid/",  "u/hid/"};
    static const char *const files[] = {"u/keep/one",  "u/keep/two",  "u/keep/new", "u/gone/x",
                                        "l1/keep/one", "l2/keep/two", "l2/gone/x",  "u/was",
                                        "l2/was",      "u/link/x",    "l2/hid/x",   "u/hid/x"};
    static const char *const layers[] = {"l1", "l2"};
    struct seen seen = {.n = 0};
    make_place();
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        cr_assert_eq(make(dirs[i]), 0, "%s", dirs[i]);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_assert_eq(make(files[i]), 0, "%s", files[i]);
    cr_assert_eq(symlinkat("keep", top, "l1/link"), 0);
    cr_assert_eq(mknodat(top, "l1/was", S_IFCHR, 0), 0); /* deleted in a layer: not there */
    cr_assert_eq(mknodat(top, "l1/hid", S_IFCHR, 0), 0);
    cr_assert_eq(mknodat(top, "u/del", S_IFCHR, 0), 0);
    int fd = openat(top, "u/gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(fsetxattr(fd, "user.overlay.opaque", "y", 1, 0), 0);
    close(fd);
    cr_assert_eq(walk(&seen, "u", layers, 2), 0);
    cr_expect(seen.below[find(&seen, "/keep/one")], "of the upper layer");
    cr_expect(seen.below[find(&seen, "/keep/two")], "of the lower layer");
    cr_expect(!seen.below[find(&seen, "/keep/new")]);
    cr_expect(seen.below[find(&seen, "/gone")] && seen.opaque[find(&seen, "/gone")]);
    cr_expect(!seen.below[find(&seen, "/gone/x")], "an opaque directory hides it");
    cr_expect(!seen.below[find(&seen, "/was")], "a whiteout hides it");
    cr_expect(!seen.below[find(&seen, "/hid/x")], "a whiteout hides what is in it");
    cr_expect(seen.below[find(&seen, "/link")]);
    cr_expect(!seen.below[find(&seen, "/link/x")], "a link to a directory is none");
    cr_expect(seen.whiteout[find(&seen, "/del")] && !seen.below[find(&seen, "/del")]);
    drop_place();
}

/* Thousands below each other: a walk says so, a removal removes them. */
Test(walk, is_bounded_in_depth_and_removal_is_not)
{
    UDS_TEST_GUARD;
    struct seen seen = {.n = 0};
    make_place();
    int at = dup(top);
    for (int i = 0; i < 3000; i++) {
        mkdirat(at, "d", i % 7 ? 0755 : 0700);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        close(at);
        at = next;
    }
    close(at);
    struct sbxi_walk w = {.enter = see, .userdata = &seen};
    cr_expect_eq(sbxi_walk(&w, top, NULL, 0), -E2BIG, "who is asked can stop it");
    drop_place();
}

static int pass(const struct sbxi_walk_entry *e, void *userdata)
{
    (void)e;
    (void)userdata;
    return 0;
}

Test(walk, says_where_it_is_too_deep)
{
    UDS_TEST_GUARD;
    struct sbxi_walk w = {.enter = pass};
    make_place();
    int at = dup(top);
    for (int i = 0; i < 300; i++) {
        mkdirat(at, "d", 0755);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    cr_expect_eq(sbxi_walk(&w, top, NULL, 0), -ELOOP);
    cr_expect_eq(strlen(w.path), 2 * SBXI_WALK_DEPTH, "%zu", strlen(w.path));
    drop_place();
}

Test(walk, removes_no_more_than_what_is_there)
{
    UDS_TEST_GUARD;
    struct stat st;
    make_place();
    make("keep");
    make("d/");
    cr_assert_eq(symlinkat("../keep", top, "d/link"), 0);
    cr_assert_eq(symlinkat("..", top, "d/up"), 0);
    cr_assert_eq(linkat(top, "keep", top, "d/hard", 0), 0);
    cr_assert_eq(sbxi_walk_remove(top, "d"), 0);
    cr_expect_eq(fstatat(top, "d", &st, 0), -1);
    cr_expect_eq(fstatat(top, "keep", &st, 0), 0);
    cr_expect_eq(st.st_nlink, 1u);
    cr_assert_eq(symlinkat("keep", top, "l"), 0);
    cr_assert_eq(sbxi_walk_remove(top, "l"), 0);
    cr_expect_eq(fstatat(top, "keep", &st, 0), 0);
    cr_expect_eq(sbxi_walk_remove(top, "nothing"), 0);
    drop_place();
}
