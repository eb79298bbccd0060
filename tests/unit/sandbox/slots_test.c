/* SPDX-License-Identifier: MIT */
/* The owner's side of a record file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include "slots.h"

static int temporary(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    return fd;
}

static struct sbxi_record at(int fd, unsigned slot)
{
    struct sbxi_record record;
    cr_assert_eq(pread(fd, &record, sizeof record, (off_t)(slot * sizeof record)),
                 (ssize_t)sizeof record);
    return record;
}

static struct sbxi_record path(const char *text)
{
    struct sbxi_record record;
    cr_assert_eq(sbxi_record_set_path(&record, SBXI_RECORD_PATH, text), 0);
    return record;
}

static bool is_same(const struct sbxi_record *a, const struct sbxi_record *b)
{
    return a->kind == b->kind && a->number == b->number && strcmp(a->path, b->path) == 0;
}

Test(slots, a_file_holds_what_was_added_and_not_removed)
{
    struct sbxi_slots slots = {.fd = temporary()};
    struct sbxi_record a = path("/a"), b = path("/b"), c = path("/c"), read;
    cr_assert_eq(sbxi_slots_add(&slots, (struct sbxi_record[]){a, b}, 2), 0);
    cr_assert_eq(slots.used, 2);
    cr_assert_eq(sbxi_slots_remove(&slots, &a, 1), 0);
    read = at(slots.fd, 0);
    cr_assert_eq(read.kind, SBXI_RECORD_FREE);
    read = at(slots.fd, 1);
    cr_assert(is_same(&read, &b) && sbxi_record_check(&read) == 0);
    cr_assert_eq(sbxi_slots_add(&slots, &c, 1), 0, "an empty slot is used again");
    read = at(slots.fd, 0);
    cr_assert(is_same(&read, &c));
    cr_assert_eq(sbxi_slots_remove(&slots, &a, 1), 0, "what is not there needs no removing");
    cr_assert_eq(slots.used, 2);
    sbxi_slots_deinit(&slots);
    close(slots.fd);
}

Test(slots, all_or_nothing)
{
    struct sbxi_slots slots = {.fd = temporary()};
    struct sbxi_record good = path("/good"), bad = good;
    bad.magic = 0;
    cr_assert_eq(sbxi_slots_add(&slots, (struct sbxi_record[]){good, bad}, 2), -EBADMSG);
    cr_assert_eq(slots.used, 0);
    cr_assert_eq(at(slots.fd, 0).kind, SBXI_RECORD_FREE);
    sbxi_slots_deinit(&slots);
    close(slots.fd);
}

Test(slots, no_room_is_an_error_before_anything_is_made)
{
    struct rlimit limit = {.rlim_cur = sizeof(struct sbxi_record) + 100, .rlim_max = 1 << 20};
    struct sbxi_slots slots = {.fd = temporary()};
    struct sbxi_record a = path("/a"), b = path("/b");
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(sbxi_slots_add(&slots, &a, 1), 0);
    cr_assert_eq(sbxi_slots_add(&slots, &b, 1), -ENOSPC, "a torn slot is no record");
    cr_assert_eq(slots.used, 1);
    struct stat st;
    cr_assert_eq(fstat(slots.fd, &st), 0);
    cr_assert_eq(st.st_size, (off_t)sizeof a);
    sbxi_slots_deinit(&slots);
    close(slots.fd);
}
