/* SPDX-License-Identifier: MIT */

#include "place.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#define RACERS 12

void place_at(struct place *place, const char *scheme, const char *name)
{
    char text[UDS_ADDR_PATH_MAX + 16];

    (void)snprintf(place->path, sizeof(place->path), "%s/%s", place->dir, name);
    (void)snprintf(text, sizeof(text), "%s:%s", scheme, place->path);
    cr_assert_eq(uds_addr_parse(text, &place->addr), 0, "%s", text);
}

void place_make(struct place *place, const char *scheme)
{
    strcpy(place->dir, "/tmp/uds-place-XXXXXX");
    cr_assert(mkdtemp(place->dir));
    place_at(place, scheme, "s");
}

void place_clear(const struct place *place)
{
    DIR *dir = opendir(place->dir);
    struct dirent *entry;

    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            cr_expect_fail("left behind: %s", entry->d_name);
    closedir(dir);
    cr_expect_eq(rmdir(place->dir), 0, "%s: %s", place->dir, strerror(errno));
}

/* Starts when @go is at its end; says on @told what came of it, and lives on if it has won. */
static _Noreturn void
race(const struct uds_addr *addr, int (*take)(const struct uds_addr *addr), int go, int told)
{
    char c;
    int r;
    pid_t won;

    if (read(go, &c, 1) != 0)
        _exit(3);
    r = take(addr);
    won = r == 0 ? getpid() : r == -EADDRINUSE ? 0 : -1;
    if (write(told, &won, sizeof(won)) == sizeof(won) && r == 0)
        (void)pause();
    _exit(0);
}

void place_race(const struct place *place,
                int (*take)(const struct uds_addr *addr),
                void (*check)(const struct uds_addr *addr))
{
    int go[2], told[2];
    pid_t pids[RACERS], winner = 0;

    cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(told, O_CLOEXEC), 0);
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(go[1]);
            close(told[0]);
            race(&place->addr, take, go[0], told[1]);
        }
    }
    close(go[0]);
    close(go[1]);
    close(told[1]);
    for (int i = 0; i < RACERS; i++) {
        pid_t won = -1;

        cr_assert_eq(read(told[0], &won, sizeof(won)), sizeof(won));
        cr_expect_neq(won, -1, "neither won nor -EADDRINUSE");
        cr_expect(won <= 0 || winner == 0, "two have won");
        winner = won > 0 ? won : winner;
    }
    cr_assert_gt(winner, 0, "nobody has won");
    check(&place->addr);
    close(told[0]);
    (void)kill(winner, SIGKILL);
    for (int i = 0; i < RACERS; i++)
        (void)waitpid(pids[i], NULL, 0);
    unlink(place->path);
}
