/* SPDX-License-Identifier: MIT */
/*
 * more-rights: what the libraries take from the environment that it is run with: where the broker is, where the run directory
 * is, whether there is a service manager. A copy that is setuid has to say what it says without any environment.
 */
#include <sbx/cleaner.h>
#include <sbx/notify.h>
#include <stdio.h>

#include <sys/auxv.h>

#include <uds/addr.h>

/* LeakSanitizer looks by ptrace(2), which the kernel refuses of who is setuid; no environment can tell it. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

int main(void)
{
    struct uds_addr addr;
    struct sbx_error error = {0};
    char broker[256] = "", *why = error.text;
    if (uds_addr_default(&addr) < 0 || uds_addr_format(&addr, broker, sizeof broker) < 0)
        return 1;
    (void)sbx_gc(NULL, NULL, &error);
    printf("secure %lu broker %s manager %d run %s\n", getauxval(AT_SECURE), broker,
           sbx_notify_send("STATUS=here"), why);
    return 0;
}
