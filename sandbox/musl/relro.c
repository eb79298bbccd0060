/* SPDX-License-Identifier: MIT */
/*
 * What only the beginning of a static program writes to, its tables of addresses above all, can be written no more: a dynamic
 * linker would do that, and here is none (docs/decisions/0013).
 */
#include <link.h>
#include <stdint.h>
#include <unistd.h>

#include <sys/mman.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* the linker's */

__attribute__((constructor)) static void protect(void)
{
    const char *base = (const char *)&__ehdr_start;
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)(const void *)(base + __ehdr_start.e_phoff);
    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
        if (headers[i].p_type != PT_GNU_RELRO)
            continue;
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        uintptr_t begin = (uintptr_t)base + headers[i].p_vaddr;
        uintptr_t end = (begin + headers[i].p_memsz) & ~(page - 1);
        begin &= ~(page - 1);
        if (end > begin && mprotect((void *)begin, end - begin, PROT_READ) < 0)
            _exit(127);
    }
}
