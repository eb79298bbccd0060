/* SPDX-License-Identifier: MIT */
/*
 * Runs once, when libuds-sandbox is built: writes the filters that nearly every sandbox gets as a C file. Making them takes
 * libseccomp a millisecond and more, which was a third of the time of `uds run`.
 *
 * What cannot be made here is left out, and made when it is needed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"

static void print_program(const char *name, const struct sbxi_filter *filter)
{
    const unsigned char *bytes = filter->code;
    printf("static const unsigned char %s[] = {", name);
    for (size_t i = 0; i < filter->length; i++)
        printf("%s%u,", i % 24 ? "" : "\n    ", bytes[i]);
    puts("\n};");
}

int main(void)
{
    const struct sbxi_seccomp asked[] = {
        {.profile = SBX_SECCOMP_DEFAULT, .guarded = false},
        {.profile = SBX_SECCOMP_DEFAULT, .guarded = true},
        {.profile = SBX_SECCOMP_STRICT, .guarded = false},
        {.profile = SBX_SECCOMP_STRICT, .guarded = true},
    };
    const size_t n = sizeof asked / sizeof asked[0];
    bool made[sizeof asked / sizeof asked[0]] = {false};
    struct sbx_error error;
    char name[32];

    puts("/* Made by sandbox/filters/main.c. */\n#include \"ready.h\"\n");
    for (size_t i = 0; i < n; i++) {
        struct sbxi_filter filters[2];
        made[i] = sbxi_seccomp_build(&asked[i], filters, &error) == 0;
        for (int k = 0; made[i] && k < 2; k++) {
            snprintf(name, sizeof name, "filter_%zu_%d", i, k);
            print_program(name, &filters[k]);
            free(filters[k].code);
        }
    }
    puts("const struct sbxi_ready sbxi_ready[] = {");
    for (size_t i = 0; i < n; i++)
        if (made[i])
            printf("    {%d, %s, {{filter_%zu_0, sizeof filter_%zu_0}, {filter_%zu_1, sizeof "
                   "filter_%zu_1}}},\n",
                   (int)asked[i].profile, asked[i].guarded ? "true" : "false", i, i, i, i);
    puts("    {-1, false, {{0, 0}, {0, 0}}},\n};");
    return fflush(stdout) ? 1 : 0;
}
