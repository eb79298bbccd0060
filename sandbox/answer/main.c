/* SPDX-License-Identifier: MIT */
/*
 * uds-sandbox-answer: what a launcher that is linked with musl cannot tell by itself (sandbox/ask/ask.h). Started by it, with
 * its privileges and no more; it makes nothing and ends.
 *
 *   uds-sandbox-answer filter PROFILE CAPS guarded|"" host|"" [FILE]
 *   uds-sandbox-answer user UID
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "filter.h"
#include "user.h"

static int say(int err, const void *first, size_t length, const void *second, size_t length2)
{
    struct sbxi_answer answer = {.err = err, .lengths = {(uint32_t)length, (uint32_t)length2}};
    (void)fwrite(&answer, sizeof answer, 1, stdout);
    (void)fwrite(first, 1, length, stdout);
    (void)fwrite(second, 1, length2, stdout);
    return fflush(stdout) ? 1 : 0;
}

static int tell_filter(char **words, int n)
{
    struct sbxi_filter filters[2];
    struct sbx_error error = {0};
    const struct sbxi_seccomp asked = {
        .profile = (enum sbx_seccomp)atoi(words[0]),
        .caps = strtoull(words[1], NULL, 10),
        .guarded = *words[2] != '\0',
        .host_caps = *words[3] != '\0',
        .file = n > 4 ? words[4] : NULL,
    };
    int r = sbxi_seccomp_build(&asked, filters, &error);
    if (r < 0)
        return say(-r, error.text, strlen(error.text), "", 0);
    r = say(0, filters[0].code, filters[0].length, filters[1].code, filters[1].length);
    free(filters[0].code);
    free(filters[1].code);
    return r;
}

static int tell_user(const char *number)
{
    char name[SBXI_USER_NAME];
    sbxi_user_name((uid_t)strtoul(number, NULL, 10), name);
    return say(0, name, strlen(name), "", 0);
}

int main(int argc, char **argv)
{
    if (argc >= 6 && strcmp(argv[1], "filter") == 0)
        return tell_filter(argv + 2, argc - 2);
    if (argc == 3 && strcmp(argv[1], "user") == 0)
        return tell_user(argv[2]);
    (void)fputs("uds-sandbox-answer: started by uds run, not by hand\n", stderr);
    return 2;
}
