/* SPDX-License-Identifier: MIT */
/* Filters that were not made when the library was built (ready.h), without libseccomp. */
#include <stdio.h>

#include "ask.h"
#include "filter.h"

int sbxi_seccomp_build(const struct sbxi_seccomp *asked,
                       struct sbxi_filter ret[2],
                       struct sbx_error *error)
{
    char profile[12], caps[24], *parts[2];
    const char *argv[] = {SBXI_ANSWERER,
                          "filter",
                          profile,
                          caps,
                          asked->guarded ? "guarded" : "",
                          asked->host_caps ? "host" : "",
                          asked->file,
                          NULL};
    struct sbxi_answer answer;
    snprintf(profile, sizeof profile, "%d", (int)asked->profile);
    snprintf(caps, sizeof caps, "%llu", (unsigned long long)asked->caps);
    int r = sbxi_ask(argv, &answer, parts, error);
    if (r < 0)
        return r;
    for (int i = 0; i < 2; i++)
        ret[i] = (struct sbxi_filter){parts[i], answer.lengths[i]};
    return 0;
}
