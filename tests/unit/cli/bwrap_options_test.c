/* SPDX-License-Identifier: MIT */
/* bubblewrap's command line, as a spec. What it prints goes to the test's stderr. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>

#include "bwrap.h"
#include "guard.h"

#define PARSE(o, ...)                             \
    parse(o, (const char *[]){__VA_ARGS__, NULL}, \
          sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

/* The spec points into the array, which a macro's would not outlive. */
static enum bwrap_parsed parse(struct bwrap_options *o, const char **argv, size_t argc)
{
    static const char *kept[32];
    cr_assert_lt(argc, sizeof kept / sizeof kept[0]);
    memcpy(kept, argv, argc * sizeof *argv);
    kept[argc] = NULL;
    return bwrap_parse(o, (int)argc, kept);
}

#define REFUSED(...)                                      \
    do {                                                  \
        struct bwrap_options o_;                          \
        cr_expect_eq(PARSE(&o_, __VA_ARGS__), BWRAP_BAD); \
        bwrap_options_free(&o_);                          \
    } while (0)

Test(bwrap_options, unshares_nothing_but_mount_and_user_where_it_must)
{
    UDS_TEST_GUARD;
    struct bwrap_options o;
    cr_assert_eq(PARSE(&o, "true"), BWRAP_RUN);
    cr_expect_eq(o.spec.isolate & ~(uint32_t)SBX_NS_USER, SBX_NS_MOUNT);
    cr_expect_eq((o.spec.isolate & SBX_NS_USER) != 0, getuid() != 0);
    cr_expect(o.spec.bwrap && o.spec.root == SBX_ROOT_EMPTY && o.spec.keep_caps == (getuid() == 0));
    cr_expect_str_eq(o.spec.argv[0], "true");
    bwrap_options_free(&o);
}

Test(bwrap_options, takes_the_last_of_what_contradicts)
{
    UDS_TEST_GUARD;
    struct bwrap_options o;
    cr_assert_eq(
        PARSE(&o, "--unshare-all", "--share-net", "--uid", "5", "--uid", "6", "x", "--uid", "7"),
        BWRAP_RUN);
    cr_expect_not(o.spec.isolate & SBX_NS_NET);
    cr_expect_eq(o.spec.isolate & (SBX_NS_IPC | SBX_NS_PID | SBX_NS_UTS),
                 SBX_NS_IPC | SBX_NS_PID | SBX_NS_UTS);
    cr_expect_eq(o.spec.uid, 6);
    cr_expect_str_eq(o.spec.argv[1], "--uid", "what follows the command is the command's");
    bwrap_options_free(&o);
    cr_assert_eq(PARSE(&o, "--share-net", "--unshare-net", "--", "--odd"), BWRAP_RUN);
    cr_expect(o.spec.isolate & SBX_NS_NET);
    cr_expect_str_eq(o.spec.argv[0], "--odd");
    bwrap_options_free(&o);
}

Test(bwrap_options, adds_and_drops_capabilities_in_order)
{
    UDS_TEST_GUARD;
    struct bwrap_options o;
    cr_assert_eq(PARSE(&o, "--cap-add", "ALL", "--cap-drop", "cap_kill", "x"), BWRAP_RUN);
    cr_expect_eq(o.spec.caps, ~(UINT64_C(1) << CAP_KILL));
    cr_expect_not(o.spec.keep_caps);
    bwrap_options_free(&o);
    cr_assert_eq(
        PARSE(&o, "--cap-add", "CAP_KILL", "--cap-drop", "all", "--cap-add", "CAP_BPF", "x"),
        BWRAP_RUN);
    cr_expect_eq(o.spec.caps, UINT64_C(1) << 39);
    bwrap_options_free(&o);
    REFUSED("--cap-add", "CAP_NONE", "x");
}

Test(bwrap_options, reads_options_from_a_descriptor_in_their_place)
{
    UDS_TEST_GUARD;
    static const char text[] = "--dir\0/b\0--chdir\0/from-file";
    struct bwrap_options o;
    char number[16];
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(write(fds[1], text, sizeof text - 1), sizeof text - 1);
    (void)close(fds[1]);
    (void)snprintf(number, sizeof number, "%d", fds[0]);
    cr_assert_eq(PARSE(&o, "--dir", "/a", "--args", number, "--dir", "/c", "x"), BWRAP_RUN);
    const struct sbx_mount *mounts = o.spec.mounts;
    cr_assert_eq(o.spec.nmounts, 3);
    cr_expect(mounts[0].target[1] == 'a' && mounts[1].target[1] == 'b' &&
              mounts[2].target[1] == 'c');
    cr_expect_str_eq(o.spec.chdir, "/from-file");
    cr_expect_lt(fcntl(fds[0], F_GETFD), 0, "it is closed");
    bwrap_options_free(&o);
}

Test(bwrap_options, refuses_what_bubblewrap_refuses)
{
    UDS_TEST_GUARD;
    REFUSED("--nonsense", "x");
    REFUSED("-x");
    REFUSED("--bind", "/");
    REFUSED("--argv0", "a", "--argv0", "b", "x");
    REFUSED("--hostname", "h", "x");
    REFUSED("--as-pid-1", "x");
    REFUSED("--as-pid-1", "--unshare-pid", "--lock-file", "/x", "x");
    REFUSED("--disable-userns", "x");
    REFUSED("--userns", "0", "--unshare-user", "x");
    REFUSED("--userns-block-fd", "0", "--unshare-user", "x");
    REFUSED("--seccomp", "-1", "x");
    REFUSED("--file-label", "x", "x");
    REFUSED("--overlay-src", "/", "x");
    REFUSED("--perms", "0700", "x");
    REFUSED("--uid", "1x", "--unshare-user", "x");
    struct bwrap_options o;
    cr_expect_eq(PARSE(&o, "--unshare-all"), BWRAP_NO_COMMAND);
    bwrap_options_free(&o);
    cr_expect_eq(PARSE(&o, "--version"), BWRAP_VERSION);
    bwrap_options_free(&o);
    cr_expect_eq(PARSE(&o, "--dir", "/x", "--help"), BWRAP_HELP);
    bwrap_options_free(&o);
}
