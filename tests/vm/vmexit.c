/* SPDX-License-Identifier: MIT */
/*
 * vmexit STATUS [TTY]: ends the guest at once, by qemu's isa-debug-exit device; qemu exits with (STATUS << 1) | 1. First
 * waits until TTY has sent what was written to it: the last bytes were lost otherwise (seen).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <sys/io.h>

#define PORT 0xf4

int main(int argc, char **argv)
{
    int status = argc > 1 ? atoi(argv[1]) : 0;

    if (argc > 2) {
        int fd = open(argv[2], O_RDWR | O_NOCTTY | O_CLOEXEC);

        if (fd >= 0) {
            (void)tcdrain(fd);
            (void)close(fd);
        }
        (void)usleep(20000);
    }
    if (ioperm(PORT, 4, 1) < 0)
        return 1;
    outl((unsigned)(status < 0 || status > 127 ? 127 : status), PORT);
    return 1;
}
