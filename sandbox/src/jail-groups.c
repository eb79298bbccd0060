/* SPDX-License-Identifier: MIT */
/*
 * What programs load or read without a word of it in their headers, by the name of what they do: look up users and hosts,
 * speak the user's language, trust certificates. Of each group what this host has.
 */

#include "jail-groups.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

static const struct group {
    const char *name;
    const char *const *patterns;
} groups[] = {
    {"@nss",
     (const char *const[]){"/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/hosts",
                           "/etc/host.conf", "/etc/resolv.conf", "/etc/services", "/etc/protocols",
                           "/etc/gai.conf", "/lib/libnss_*.so.2", "/lib64/libnss_*.so.2",
                           "/lib/*-linux-gnu*/libnss_*.so.2", NULL}},
    {"@locale",
     (const char *const[]){"/usr/lib/locale", "/usr/share/locale", "/usr/lib/gconv",
                           "/usr/lib64/gconv", "/usr/lib/*-linux-gnu*/gconv", "/etc/locale.alias",
                           "/etc/localtime", "/usr/share/zoneinfo", NULL}},
    {"@tls", (const char *const[]){"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/usr/lib/ssl",
                                   "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
                                   "/etc/pki/tls", "/etc/pki/ca-trust", "/etc/crypto-policies",
                                   "/etc/gnutls", NULL}},
};

int sbxi_jail_group(const char *name, int (*fn)(const char *path, void *userdata), void *userdata)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        int r = 0, found = 0;
        if (strcmp(groups[i].name, name) != 0)
            continue;
        for (const char *const *pattern = groups[i].patterns; r >= 0 && *pattern; pattern++) {
            glob_t paths = {0};
            int failed = glob(*pattern, 0, NULL, &paths);
            r = failed == GLOB_NOSPACE ? -ENOMEM : 0;
            for (size_t k = 0; !failed && r >= 0 && k < paths.gl_pathc; k++, found++)
                r = fn(paths.gl_pathv[k], userdata);
            globfree(&paths);
        }
        return r < 0 ? r : found ? 0 : -ENOENT;
    }
    return -EINVAL;
}
