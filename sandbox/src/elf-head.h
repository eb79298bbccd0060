/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ELF_HEAD_H
#define SBXI_ELF_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SBXI_ELF_NAMES  16384
#define SBXI_ELF_NEEDED 256

/* What the head of a program says about the files that it needs. Plain data of fixed size: it crosses a socket. */
struct sbxi_elf {
    int32_t
        err; /* 0, ENOEXEC: neither ELF of this byte order nor script, EBADMSG: malformed, E2BIG, EIO */
    uint8_t bits; /* 32 or 64; 0 for a script */
    uint8_t padding;
    uint16_t machine;
    char interpreter[256]; /* PT_INTERP, or what follows "#!" up to the first space */
    char argument[256];    /* script: the rest of that line */
    char rpath[2048];
    char runpath[2048];
    uint32_t nneeded;
    char needed[SBXI_ELF_NAMES]; /* @nneeded names, a NUL after each */
};

/* Reads @fd by pread. Every byte is a stranger's; always fills @ret, outcome in ret->err. Async-signal-safe. */
void sbxi_elf_parse(int fd, struct sbxi_elf *ret);
/* True if every string ends inside its array; for a struct that came from elsewhere. */
bool sbxi_elf_is_sound(const struct sbxi_elf *elf);
bool sbxi_elf_is_script(const struct sbxi_elf *elf);

#endif
