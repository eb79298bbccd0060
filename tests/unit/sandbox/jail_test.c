/* SPDX-License-Identifier: MIT */

/* What a jail must hold, against this machine's own files and loader. */

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sbx/jail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "guard.h"
#include "jail-search.h"

static void free_list(char **paths)
{
    for (size_t i = 0; paths[i]; i++)
        free(paths[i]);
    free(paths);
}

static bool has(char *const *paths, const char *path)
{
    for (size_t i = 0; paths[i]; i++)
        if (strcmp(paths[i], path) == 0)
            return true;
    return false;
}

static bool has_base(char *const *paths, const char *name)
{
    for (size_t i = 0; paths[i]; i++)
        if (strcmp(strrchr(paths[i], '/') + 1, name) == 0)
            return true;
    return false;
}

static char **list(const char *a)
{
    const char *binaries[] = {a, NULL};
    struct sbx_error error = {0};
    char **paths;
    cr_assert_eq(sbx_jail_list(binaries, &paths, &error), 0, "%s", error.text);
    return paths;
}

Test(jail_list, holds_the_binary_its_loader_and_libc)
{
    UDS_TEST_GUARD;
    char **paths = list("/bin/ls");
    cr_assert(has(paths, "/bin/ls"));
    cr_assert(has_base(paths, "libc.so.6"));
    bool loader = false;
    for (size_t i = 0; paths[i]; i++)
        loader |= strstr(paths[i], "/ld-linux") != NULL;
    cr_assert(loader);
    free_list(paths);
}

Test(jail_list, follows_scripts_through_env)
{
    UDS_TEST_GUARD;
    char script[] = "/tmp/uds-jail-test-XXXXXX";
    int fd = mkstemp(script);
    cr_assert_eq(write(fd, "#!/usr/bin/env -S sh -e\n", 24), 24);
    close(fd);
    char **paths = list(script);
    cr_assert(has(paths, script));
    cr_assert(has(paths, "/usr/bin/env"));
    cr_assert(has_base(paths, "sh"));
    cr_assert(has_base(paths, "libc.so.6"));
    free_list(paths);
    unlink(script);
}

Test(jail_list, takes_plain_files_as_they_are)
{
    UDS_TEST_GUARD;
    char **paths = list("/etc/passwd");
    cr_assert(has(paths, "/etc/passwd"));
    cr_assert_null(paths[1]);
    free_list(paths);
}

static void refused(const char *path, const char *word)
{
    const char *binaries[] = {path, NULL};
    struct sbx_error error = {0};
    char **paths;
    cr_assert_lt(sbx_jail_list(binaries, &paths, &error), 0);
    cr_assert_not_null(strstr(error.text, word), "%s", error.text);
}

Test(jail_list, names_what_is_missing)
{
    UDS_TEST_GUARD;
    refused("/nonexistent/program", "/nonexistent/program");
    refused("bin/ls", "absolute");
    char script[] = "/tmp/uds-jail-test-XXXXXX";
    int fd = mkstemp(script);
    cr_assert_eq(write(fd, "#!/usr/bin/env no-such-interpreter\n", 35), 35);
    close(fd);
    refused(script, "no-such-interpreter");
    unlink(script);
}

/* /bin/ls with the name of one of its libraries overwritten, which no directory has. */
Test(jail_list, names_a_missing_library_and_who_needs_it)
{
    UDS_TEST_GUARD;
    static char bytes[1 << 20];
    char copy[] = "/tmp/uds-jail-test-XXXXXX";
    int from = open("/bin/ls", O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
    ssize_t n = read(from, bytes, sizeof bytes);
    close(from);
    cr_assert_gt(n, 0);
    char *name = memmem(bytes, (size_t)n, "libc.so.6", 9);
    cr_assert_not_null(name);
    memcpy(name, "libx.so.9", 9);
    cr_assert_eq(write(to, bytes, (size_t)n), n);
    close(to);
    refused(copy, "libx.so.9");
    refused(copy, copy);
    unlink(copy);
}

Test(search_expand, replaces_words_and_drops_relative_entries)
{
    UDS_TEST_GUARD;
    struct sbxi_strings dirs = {0};
    cr_assert_eq(sbxi_search_expand(&dirs, "$ORIGIN/../lib:${ORIGIN}:rel:/usr/$LIB/:/p/$PLATFORM",
                                    "/opt/bin", 64, EM_X86_64),
                 0);
    cr_assert_eq(dirs.n, 4);
    cr_assert_str_eq(dirs.v[0], "/opt/bin/../lib");
    cr_assert_str_eq(dirs.v[1], "/opt/bin");
    cr_assert_str_eq(dirs.v[2], "/usr/lib/x86_64-linux-gnu");
    cr_assert_str_eq(dirs.v[3], "/p/x86_64");
    sbxi_strings_deinit(&dirs);
}

Test(search_conf, follows_includes_and_not_their_loop)
{
    UDS_TEST_GUARD;
    char dir[] = "/tmp/uds-conf-test-XXXXXX", path[64];
    struct sbxi_strings dirs = {0};
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.conf", dir);
    FILE *file = fopen(path, "w");
    fputs("/one # comment\n\t/two/\ninclude *.conf\n\nrelative\n", file);
    fclose(file);
    cr_assert_eq(sbxi_search_conf(&dirs, path), 0);
    cr_assert(sbxi_strings_has(&dirs, "/one"));
    cr_assert(sbxi_strings_has(&dirs, "/two"));
    cr_assert_not(sbxi_strings_has(&dirs, "relative"));
    cr_assert_lt(dirs.n, 20);
    sbxi_strings_deinit(&dirs);
    unlink(path);
    rmdir(dir);
}
