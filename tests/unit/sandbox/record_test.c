/* SPDX-License-Identifier: MIT */

/* Records and their sweep: what is not exactly what we write is refused; what is ours is removed. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sbx/sandbox.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "guard.h"
#include "record.h"

static struct sbxi_record path_record(enum sbxi_record_kind kind, const char *path)
{
    struct sbxi_record r;
    memset(&r, 0xff, sizeof r);
    cr_assert_eq(sbxi_record_set_path(&r, kind, path), 0, "%s", path);
    return r;
}

Test(record_set, takes_plain_absolute_paths_only)
{
    UDS_TEST_GUARD;
    static const char *const bad[] = {"",      "/",      "relative", "/a/",  "/a//b", "/a/../b",
                                      "/a/..", "/a/./b", "/a\nb",    "/a/.", "/..",   "//a"};
    struct sbxi_record r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_PATH, bad[i]), -EINVAL, "%s", bad[i]);
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_PATH, "/a/..b/.c"), 0);
}

Test(record_set, never_truncates_a_path)
{
    UDS_TEST_GUARD;
    char path[SBXI_RECORD_PATH_MAX + 1];
    struct sbxi_record r;
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[SBXI_RECORD_PATH_MAX] = '\0';
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_PATH, path), -ENAMETOOLONG);
    path[SBXI_RECORD_PATH_MAX - 1] = '\0';
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_PATH, path), 0);
    cr_assert_eq(sbxi_record_check(&r), 0);
}

Test(record_set, wants_cgroups_to_carry_our_name)
{
    UDS_TEST_GUARD;
    struct sbxi_record r;
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_CGROUP, "/sys/fs/cgroup/system.slice"),
                 -EINVAL);
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_CGROUP, "/sys/fs/cgroup/uds-self-leaf"),
                 -EINVAL);
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_CGROUP, "/sys/fs/cgroup/uds-a-1-0"), 0);
    cr_assert_eq(sbxi_record_set_path(&r, SBXI_RECORD_LEAF, "/sys/fs/cgroup/uds-a-1-0"), -EINVAL);
}

Test(record_check, refuses_each_broken_field)
{
    UDS_TEST_GUARD;
    struct sbxi_record good = path_record(SBXI_RECORD_PATH, "/run/uds/x"), r;
    cr_assert_eq(sbxi_record_check(&good), 0);
    r = good;
    r.magic ^= 1;
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    r.kind = 6;
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    r.kind = SBXI_RECORD_FREE;
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    r.number = 1;
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    r.reserved[1] = 1;
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    r.path[sizeof r.path - 1] = 'x'; /* behind the NUL */
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    memset(r.path, 'a', sizeof r.path); /* no NUL at all */
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    r = good;
    memcpy(r.path, "/a/../etc", 10);
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
}

Test(record_check, never_names_init_or_a_process_group)
{
    UDS_TEST_GUARD;
    static const uint64_t bad[] = {0, 1, (uint64_t)-1, (uint64_t)1 << 31};
    struct sbxi_record r;
    for (size_t i = 0; i < 4; i++) {
        sbxi_record_set_number(&r, SBXI_RECORD_PROCESS, bad[i], 1);
        cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    }
    sbxi_record_set_number(&r, SBXI_RECORD_PROCESS, 2, 0); /* no start time */
    cr_assert_eq(sbxi_record_check(&r), -EBADMSG);
    sbxi_record_set_number(&r, SBXI_RECORD_PROCESS, 2, 7);
    cr_assert_eq(sbxi_record_check(&r), 0);
}

Test(record_start_time, tells_processes_with_one_pid_apart)
{
    UDS_TEST_GUARD;
    uint64_t start;
    cr_assert_eq(sbxi_record_start_time(getpid(), &start), 0);
    cr_assert_gt(start, 0);
    cr_assert_eq(sbxi_record_start_time(0x3fffffff, &start), -ESRCH);
}

/* ---- sweeping files ---- */

struct place {
    char run[64], records[96], record[128];
};

static void make_place(struct place *p)
{
    strcpy(p->run, "/tmp/uds-record-test-XXXXXX");
    cr_assert_not_null(mkdtemp(p->run));
    snprintf(p->records, sizeof p->records, "%s/records", p->run);
    snprintf(p->record, sizeof p->record, "%s/1-x.record", p->records);
    cr_assert_eq(mkdir(p->records, 0700), 0);
}

static int write_file(const struct place *p, const void *data, size_t len)
{
    int fd = open(p->record, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    return fd;
}

static void remove_place(const struct place *p)
{
    unlink(p->record);
    cr_assert_eq(rmdir(p->records), 0);
    cr_assert_eq(rmdir(p->run), 0);
}

static int sweep(const struct place *p, char *log, size_t size)
{
    struct sbx_error error = {0};
    FILE *out = fmemopen(log, size, "w");
    int r = sbx_gc(p->run, out, &error);
    fclose(out);
    return r;
}

Test(gc, removes_what_an_unlocked_record_names)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128], file[128], log[1024] = "";
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    snprintf(file, sizeof file, "%s/d/f", p.run);
    mkdir(dir, 0700);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    struct sbxi_record r[2] = {path_record(SBXI_RECORD_PATH, dir),
                               path_record(SBXI_RECORD_PATH, file)};
    close(write_file(&p, r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 2, "%s", log);
    cr_assert_eq(access(dir, F_OK), -1);
    cr_assert_eq(access(p.record, F_OK), -1);
    remove_place(&p);
}

Test(gc, leaves_a_locked_record_alone)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128], log[1024] = "";
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    mkdir(dir, 0700);
    struct sbxi_record r = path_record(SBXI_RECORD_PATH, dir);
    int fd = write_file(&p, &r, sizeof r);
    flock(fd, LOCK_EX);
    cr_assert_eq(sweep(&p, log, sizeof log), 0);
    cr_assert_eq(access(dir, F_OK), 0);
    close(fd);
    cr_assert_eq(sweep(&p, log, sizeof log), 1);
    remove_place(&p);
}

/* Named as of a launcher that has ended, and held by a child of it that has not until @until_ms. */
static pid_t hold_orphan(struct place *p, const struct sbxi_record *r, int until_ms)
{
    int ready[2];
    pid_t owner = fork(), holder;
    if (owner == 0)
        _exit(0);
    cr_assert_eq(waitpid(owner, NULL, 0), owner);
    snprintf(p->record, sizeof p->record, "%s/%d-x.record", p->records, (int)owner);
    int fd = write_file(p, r, sizeof *r);
    flock(fd, LOCK_EX);
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    holder = fork();
    if (holder == 0) {
        (void)!write(ready[1], "", 1);
        poll(NULL, 0, until_ms);
        _exit(0);
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(fd);
    return holder;
}

Test(gc, waits_for_who_holds_the_record_of_a_launcher_that_is_gone)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128];
    unsigned held = 7;
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    mkdir(dir, 0700);
    struct sbxi_record r = path_record(SBXI_RECORD_PATH, dir);
    pid_t holder = hold_orphan(&p, &r, 200);
    cr_expect_eq(sbx_gc(p.run, NULL, NULL), 0);
    cr_expect_eq(sbx_gc_wait(p.run, 20000, NULL, &held, NULL), 1);
    cr_expect_eq(held, 0);
    cr_expect_eq(access(dir, F_OK), -1);
    cr_assert_eq(waitpid(holder, NULL, 0), holder);
    remove_place(&p);
}

Test(gc, says_who_holds_the_record_of_a_launcher_that_is_gone)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128], log[1024] = "", words[64];
    unsigned held = 7;
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    mkdir(dir, 0700);
    struct sbxi_record r = path_record(SBXI_RECORD_PATH, dir);
    pid_t holder = hold_orphan(&p, &r, -1);
    FILE *out = fmemopen(log, sizeof log, "w");
    cr_expect_eq(sbx_gc_wait(p.run, 50, out, &held, NULL), 0);
    fclose(out);
    cr_expect_eq(held, 1);
    snprintf(words, sizeof words, "still open in process %d: end it", (int)holder);
    cr_expect_not_null(strstr(log, words), "%s", log);
    cr_expect_eq(access(dir, F_OK), 0);
    kill(holder, SIGKILL);
    cr_assert_eq(waitpid(holder, NULL, 0), holder);
    cr_expect_eq(sbx_gc_wait(p.run, 50, NULL, &held, NULL), 1);
    remove_place(&p);
}

Test(gc, skips_malformed_slots_and_says_so)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128], log[1024] = "";
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    mkdir(dir, 0700);
    struct sbxi_record r[2] = {path_record(SBXI_RECORD_PATH, dir),
                               path_record(SBXI_RECORD_PATH, dir)};
    r[0].reserved[0] = 1;
    close(write_file(&p, r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 1);
    cr_assert_not_null(strstr(log, "malformed"), "%s", log);
    remove_place(&p);
}

Test(gc, refuses_files_that_others_may_write)
{
    UDS_TEST_GUARD;
    struct place p;
    char dir[128], log[1024] = "";
    make_place(&p);
    snprintf(dir, sizeof dir, "%s/d", p.run);
    mkdir(dir, 0700);
    struct sbxi_record r = path_record(SBXI_RECORD_PATH, dir);
    int fd = write_file(&p, &r, sizeof r);
    cr_assert_eq(fchmod(fd, 0620), 0);
    close(fd);
    cr_assert_eq(sweep(&p, log, sizeof log), 0);
    cr_assert_not_null(strstr(log, "refused"), "%s", log);
    cr_assert_eq(access(dir, F_OK), 0);
    cr_assert_eq(access(p.record, F_OK), 0);
    rmdir(dir);
    remove_place(&p);
}

Test(gc, refuses_a_run_directory_that_others_may_write)
{
    UDS_TEST_GUARD;
    struct place p;
    struct sbx_error error = {0};
    make_place(&p);
    cr_assert_eq(chmod(p.run, 0777), 0);
    cr_assert_eq(sbx_gc(p.run, NULL, &error), -EPERM);
    cr_assert_not_null(strstr(error.text, p.run));
    cr_assert_eq(chmod(p.run, 0700), 0);
    cr_assert_eq(chmod(p.records, 0770), 0);
    cr_assert_eq(sbx_gc(p.run, NULL, &error), -EPERM);
    remove_place(&p);
}

Test(gc, follows_no_symlink_and_removes_no_file_elsewhere)
{
    UDS_TEST_GUARD;
    struct place p;
    char link[128], through[160], outside[] = "/tmp/uds-record-out-XXXXXX", victim[96],
                                  log[1024] = "";
    make_place(&p);
    cr_assert_not_null(mkdtemp(outside));
    snprintf(victim, sizeof victim, "%s/victim", outside);
    close(open(victim, O_CREAT | O_WRONLY, 0600));
    snprintf(link, sizeof link, "%s/link", p.run);
    snprintf(through, sizeof through, "%s/link/victim", p.run);
    cr_assert_eq(symlink(outside, link), 0);
    char within[128], alias[128], kept[128];
    snprintf(within, sizeof within, "%s/d", p.run);
    snprintf(alias, sizeof alias, "%s/alias", p.run);
    snprintf(kept, sizeof kept, "%s/d/kept", p.run);
    mkdir(within, 0700);
    close(open(kept, O_CREAT | O_WRONLY, 0600));
    cr_assert_eq(symlink("d", alias), 0); /* does not even leave the run directory */
    char aliased[160];
    snprintf(aliased, sizeof aliased, "%s/alias/kept", p.run);
    struct sbxi_record r[4] = {path_record(SBXI_RECORD_PATH, through),
                               path_record(SBXI_RECORD_PATH, aliased),
                               path_record(SBXI_RECORD_PATH, victim),
                               path_record(SBXI_RECORD_CGROUP, "/tmp/uds-no-cgroup")};
    mkdir("/tmp/uds-no-cgroup", 0700);
    close(write_file(&p, r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 0, "%s", log);
    cr_assert_eq(access(victim, F_OK), 0);
    cr_assert_eq(access(kept, F_OK), 0);
    cr_assert_eq(rmdir("/tmp/uds-no-cgroup"), 0);
    unlink(kept);
    unlink(alias);
    rmdir(within);
    unlink(victim);
    unlink(link);
    rmdir(outside);
    remove_place(&p);
}

static int listener(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

Test(gc, leaves_a_socket_on_which_somebody_listens)
{
    UDS_TEST_GUARD;
    struct place p;
    char path[96], log[1024] = "";
    make_place(&p);
    snprintf(path, sizeof path, "%s/s", p.run);
    int fd = listener(path);
    struct sbxi_record r = path_record(SBXI_RECORD_PATH, path);
    close(write_file(&p, &r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 0);
    cr_assert_eq(access(path, F_OK), 0);
    close(fd);
    close(write_file(&p, &r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 1, "%s", log);
    cr_assert_eq(access(path, F_OK), -1);
    remove_place(&p);
}

Test(gc, kills_a_process_only_if_its_start_time_is_the_recorded_one)
{
    UDS_TEST_GUARD;
    struct place p;
    char log[1024] = "";
    uint64_t start;
    make_place(&p);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        pause();
        _exit(0);
    }
    cr_assert_eq(sbxi_record_start_time(pid, &start), 0);
    struct sbxi_record r;
    sbxi_record_set_number(&r, SBXI_RECORD_PROCESS, (uint64_t)pid, start + 1);
    close(write_file(&p, &r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 0);
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0);
    sbxi_record_set_number(&r, SBXI_RECORD_PROCESS, (uint64_t)pid, start);
    close(write_file(&p, &r, sizeof r));
    cr_assert_eq(sweep(&p, log, sizeof log), 1, "%s", log);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    remove_place(&p);
}
