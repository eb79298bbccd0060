/* SPDX-License-Identifier: MIT */
/* The admin socket of a launcher, asked and answered in one thread. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "admin.h"
#include "guard.h"
#include "peer.h"
#include "running.h"

/* The one socket of @records, which is @admin's. */
static int connect_to(sbx_admin *admin, const char *records)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    DIR *dir = opendir(records);
    cr_assert(fd >= 0 && dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (strstr(e->d_name, ".sock"))
            snprintf(address.sun_path, sizeof address.sun_path, "%s/%.40s", records, e->d_name);
    closedir(dir);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    sbx_admin_process(admin);
    cr_assert_eq(sbxi_peer_prove(fd), 0);
    sbx_admin_process(admin);
    return fd;
}

static struct sbxi_admin_answer ask(sbx_admin *admin, int fd, int64_t value)
{
    const struct sbxi_admin_request request = {.op = SBXI_ADMIN_LIST, .value = value};
    struct sbxi_admin_answer answer;
    cr_assert_eq(send(fd, &request, sizeof request, 0), (ssize_t)sizeof request);
    sbx_admin_process(admin);
    cr_assert_eq(recv(fd, &answer, sizeof answer, MSG_DONTWAIT), (ssize_t)sizeof answer);
    return answer;
}

Test(admin, lists_each_once_whatever_comes_and_goes_meanwhile)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    struct sbxi_admin_answer answer;
    sbx_cleaner *cleaner;
    sbx_admin *admin;
    sbx one = {.name = "one"}, two = {.name = "two"}, three = {.name = "three"},
        new = {.name = "new"};
    char run[] = "/tmp/uds-admin-XXXXXX", records[64];
    cr_assert(mkdtemp(run));
    snprintf(records, sizeof records, "%s/records", run);
    cr_assert_eq(sbx_cleaner_new(&cleaner, run, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_admin_new(&admin, cleaner, &error), 0, "%s", error.text);
    sbx_admin_add(admin, &one);
    sbx_admin_add(admin, &two);
    sbx_admin_add(admin, &three);
    int fd = connect_to(admin, records);
    sbx_admin_process(admin); /* it is let in */

    answer = ask(admin, fd, 0);
    cr_assert_str_eq(answer.listed.name, "three");
    sbx_admin_add(admin, &new); /* as a pool does that fills */
    answer = ask(admin, fd, answer.number);
    cr_assert_str_eq(answer.listed.name, "two");
    sbxi_admin_forget(&two);
    sbxi_admin_forget(&three);
    answer = ask(admin, fd, answer.number);
    cr_assert_str_eq(answer.listed.name, "one");
    cr_assert_eq(ask(admin, fd, answer.number).err, ENOENT);
    cr_assert_str_eq(ask(admin, fd, 0).listed.name, "new");

    close(fd);
    sbx_admin_free(admin);
    sbx_cleaner_free(cleaner);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", run);
    cr_assert_eq(system(command), 0);
}

Test(admin, one_that_hung_up_is_forgotten_also_while_a_child_has_a_copy)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    sbx_admin *admin;
    char run[] = "/tmp/uds-admin-XXXXXX", records[64];
    cr_assert(mkdtemp(run));
    snprintf(records, sizeof records, "%s/records", run);
    cr_assert_eq(sbx_cleaner_new(&cleaner, run, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_admin_new(&admin, cleaner, &error), 0, "%s", error.text);
    int fd = connect_to(admin, records);
    sbx_admin_process(admin);
    pid_t child = fork(); /* as one that is to be PID 1 of a sandbox, and is no other program yet */
    if (child == 0) {
        close(fd);
        for (;;)
            pause();
    }
    close(fd);
    struct pollfd more = {.fd = sbx_admin_get_fd(admin), .events = POLLIN};
    cr_assert_eq(poll(&more, 1, 10000), 1, "it hangs up when the child has closed its end, too");
    sbx_admin_process(admin);
    cr_expect_eq(poll(&more, 1, 0), 0, "the loop would turn for nothing");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    sbx_admin_free(admin);
    sbx_cleaner_free(cleaner);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", run);
    cr_assert_eq(system(command), 0);
}
