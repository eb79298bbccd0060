/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as a message of NOTIFY_SOCKET: what comes out is always something that the launcher takes. And any bytes as
 * what a PID 1 that was taken over sends: looked at without a read past the end, and what passes can be printed.
 *
 * Built and run by tests/fuzz/run.sh: clang -fsanitize=fuzzer,address,undefined.
 */

#include <stdlib.h>
#include <string.h>

#include "notify-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            abort();
}

static void check(const struct sbxi_notify *n)
{
    check_printable(n->status);
    check_printable(n->name);
    check_printable(n->why);
    if (n->err < 0 || strchr(n->name, ':'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbxi_notify n;
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data, size);
    sbxi_notify_parse(text + 1, size - 1, data[0] & 3, &n);
    if (!sbxi_notify_is_sound(&n))
        abort();
    check(&n);
    if ((n.bits & SBXI_N_BARRIER) && (n.bits != SBXI_N_BARRIER || (data[0] & 3) != 1))
        abort();
    free(text);

    memset(&n, data[0], sizeof n);
    memcpy(&n, data, size < sizeof n ? size : sizeof n);
    if (sbxi_notify_is_sound(&n))
        check(&n);
    return 0;
}
