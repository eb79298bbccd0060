/* SPDX-License-Identifier: MIT */
/*
 * Runs once, when libuds-sandbox is built: writes the filters that nearly every sandbox gets as a C file. Making them takes
 * libseccomp a millisecond and more, which was a third of the time of `uds run`.
 *
 * What cannot be made here is left out, and made when it is needed. A filter that does not answer as the programs that it
 * was merged of ends the build.
 */
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"
#include "prove.h"

static void print_program(size_t which, const struct sbxi_filter *filter)
{
    const unsigned char *bytes = filter->code;
    printf("static const unsigned char filter_%zu[] = {", which);
    for (size_t i = 0; i < filter->length; i++)
        printf("%s%u,", i % 24 ? "" : "\n    ", bytes[i]);
    puts("\n};");
}

static bool proves(const struct sbxi_seccomp *asked, const struct sbxi_filter *merged)
{
    struct sbxi_filter pair[2];
    struct seccomp_data call;
    struct sbx_error error;
    if (sbxi_seccomp_pair(asked, pair, &error) < 0)
        return false;
    bool same = prove_same(pair, merged, &call);
    if (!same)
        fprintf(stderr,
                "filters: profile %d answers otherwise than its two programs: number %d of "
                "architecture %x with %llx, %llx, %llx, %llx, %llx, %llx\n",
                (int)asked->profile, call.nr, call.arch, call.args[0], call.args[1], call.args[2],
                call.args[3], call.args[4], call.args[5]);
    free(pair[0].code);
    free(pair[1].code);
    return same;
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

    puts("/* Made by sandbox/filters/main.c. */\n#include \"ready.h\"\n");
    for (size_t i = 0; i < n; i++) {
        struct sbxi_filter filters[2];
        if (sbxi_seccomp_build(&asked[i], filters, &error) < 0)
            continue;
        made[i] = filters[1].length == 0; /* one that was merged */
        if (made[i] && !proves(&asked[i], &filters[0]))
            return 1;
        if (made[i])
            print_program(i, &filters[0]);
        free(filters[0].code);
        free(filters[1].code);
    }
    puts("const struct sbxi_ready sbxi_ready[] = {");
    for (size_t i = 0; i < n; i++)
        if (made[i])
            printf("    {%d, %s, filter_%zu, sizeof filter_%zu},\n", (int)asked[i].profile,
                   asked[i].guarded ? "true" : "false", i, i);
    puts("    {-1, false, 0, 0},\n};");
    return fflush(stdout) ? 1 : 0;
}
