/* SPDX-License-Identifier: MIT */
/* Which files and directories are acted on, and which are refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "guard.h"
#include "trust.h"

struct scene {
    char dir[64], file[96];
};

static void scene_clear(struct scene *s)
{
    unlink(s->file);
    rmdir(s->file);
    rmdir(s->dir);
}

static struct scene scene_make(void)
{
    struct scene s;
    int fd;

    strcpy(s.dir, "/tmp/uds-trust-XXXXXX");
    cr_assert_not_null(mkdtemp(s.dir));
    snprintf(s.file, sizeof(s.file), "%s/stack.yaml", s.dir);
    fd = open(s.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(chmod(s.file, 0644), 0);
    return s;
}

#define SCENE struct scene s __attribute__((cleanup(scene_clear))) = scene_make()

static int try_open(const char *path, struct sbx_error *error)
{
    int fd = -1, r;

    *error = (struct sbx_error){0};
    r = trust_open(path, &fd, error);
    if (r == 0)
        close(fd);
    return r;
}

Test(trust, takes_a_file_that_only_its_owner_can_write)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    cr_expect_eq(try_open(s.file, &error), 0, "%s", error.text);
}

Test(trust, refuses_a_file_that_everybody_may_write)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    cr_assert_eq(chmod(s.file, 0646), 0);
    cr_expect_eq(try_open(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, s.file));
    cr_expect_not_null(strstr(error.text, "everybody may write it"));
}

Test(trust, refuses_a_file_that_its_group_may_write)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    cr_assert_eq(chmod(s.file, 0664), 0);
    cr_expect_eq(try_open(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, "its group may write it"));
}

Test(trust, refuses_a_file_of_another_user)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    if (geteuid() != 0)
        cr_skip_test("needs root to give a file away");
    cr_assert_eq(chown(s.file, 4242, 0), 0);
    cr_expect_eq(try_open(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, "belongs to another user"));
}

Test(trust, refuses_for_root_a_directory_in_which_others_can_replace_the_file)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    if (geteuid() != 0)
        cr_skip_test("only root's stack files are judged by their directory");
    cr_assert_eq(chmod(s.dir, 0777), 0);
    cr_expect_eq(try_open(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, "directory"));
    cr_assert_eq(chmod(s.dir, 01777), 0);
    cr_expect_eq(try_open(s.file, &error), 0, "sticky: %s", error.text);
}

Test(trust, judges_the_directory_behind_a_symbolic_link)
{
    UDS_TEST_GUARD;
    SCENE;
    char link[64] = "/tmp/uds-trust-link-XXXXXX";
    struct sbx_error error;
    int fd;

    if (geteuid() != 0)
        cr_skip_test("only root's stack files are judged by their directory");
    fd = mkstemp(link);
    cr_assert_geq(fd, 0);
    close(fd);
    unlink(link);
    cr_assert_eq(symlink(s.file, link), 0);
    cr_assert_eq(chmod(s.dir, 0777), 0);
    cr_expect_eq(try_open(link, &error), -EACCES);
    unlink(link);
}

Test(trust, refuses_what_is_no_file_and_does_not_wait_for_a_fifo)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error;

    unlink(s.file);
    cr_assert_eq(mkfifo(s.file, 0600), 0);
    cr_expect_eq(try_open(s.file, &error), -EINVAL);
    cr_expect_eq(try_open(s.dir, &error), -EINVAL);
    cr_expect_eq(try_open("/nonexistent/x.yaml", &error), -ENOENT);
    cr_expect_not_null(strstr(error.text, "/nonexistent/x.yaml"));
}

Test(trust, makes_a_run_directory_and_takes_it_again)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error = {0};
    struct stat st;

    unlink(s.file);
    cr_assert_eq(trust_directory(s.file, &error), 0, "%s", error.text);
    cr_assert_eq(stat(s.file, &st), 0);
    cr_expect_eq(st.st_mode & 022, 0);
    cr_expect_eq(trust_directory(s.file, &error), 0);
}

Test(trust, refuses_a_run_directory_that_is_not_ours_alone)
{
    UDS_TEST_GUARD;
    SCENE;
    struct sbx_error error = {0};

    cr_expect_eq(trust_directory(s.file, &error), -ENOTDIR);
    cr_expect_not_null(strstr(error.text, "is no directory"));
    unlink(s.file);
    cr_assert_eq(mkdir(s.file, 0700), 0);
    cr_assert_eq(chmod(s.file, 0777), 0);
    cr_expect_eq(trust_directory(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, "--run-dir"));
    if (geteuid() != 0)
        return;
    cr_assert_eq(chmod(s.file, 0700), 0);
    cr_assert_eq(chown(s.file, 4242, 4242), 0);
    cr_expect_eq(trust_directory(s.file, &error), -EACCES);
    cr_expect_not_null(strstr(error.text, "4242"));
}
