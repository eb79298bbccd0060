/* SPDX-License-Identifier: MIT */
/*
 * Reading the head of an ELF file or a script, as little of it as tells which files it needs: program headers,
 * PT_INTERP, and of PT_DYNAMIC the names. Nothing is mapped and no struct is laid over bytes: fields are taken out of
 * a small buffer at checked offsets. Counts are bounded before they are looped over, and each addition that a file's
 * numbers go into is checked. Runs in the confined child of jail.c; only pread(2) is called.
 */

#include "elf-head.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_PHDRS = 256,
    MAX_DYN = 2048,
    MAX_NAME = 255
};

struct segment {
    uint32_t type;
    uint64_t offset, vaddr, filesz;
};

struct reader {
    int fd;
    bool wide;
    size_t nsegments;
    struct segment segments[MAX_PHDRS];
    uint64_t strtab, strsz; /* file offset, size */
};

/* Exactly @len bytes at @offset. */
static int read_at(int fd, uint64_t offset, void *ret, size_t len)
{
    if (offset > INT64_MAX - len)
        return -EBADMSG;
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, (char *)ret + got, len - got, (off_t)(offset + got));
        if (n < 0)
            return -EIO;
        if (n == 0)
            return -EBADMSG; /* shorter than it says */
        got += (size_t)n;
    }
    return 0;
}

static uint64_t number(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) /* little-endian, checked in read_head() */
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static int read_segments(struct reader *r, const unsigned char *head)
{
    uint64_t offset = r->wide ? number(head + 32, 8) : number(head + 28, 4);
    size_t size = number(head + (r->wide ? 54 : 42), 2);
    size_t count = number(head + (r->wide ? 56 : 44), 2);
    size_t want = r->wide ? 56 : 32;
    if (size != want || count > MAX_PHDRS)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        unsigned char b[56];
        uint64_t at;
        if (__builtin_add_overflow(offset, i * size, &at))
            return -EBADMSG;
        int err = read_at(r->fd, at, b, want);
        if (err < 0)
            return err;
        struct segment *s = &r->segments[r->nsegments++];
        s->type = (uint32_t)number(b, 4);
        s->offset = r->wide ? number(b + 8, 8) : number(b + 4, 4);
        s->vaddr = r->wide ? number(b + 16, 8) : number(b + 8, 4);
        s->filesz = r->wide ? number(b + 32, 8) : number(b + 16, 4);
    }
    return 0;
}

static int file_offset(const struct reader *r, uint64_t vaddr, uint64_t *ret)
{
    for (size_t i = 0; i < r->nsegments; i++) {
        const struct segment *s = &r->segments[i];
        if (s->type != PT_LOAD || vaddr < s->vaddr || vaddr - s->vaddr >= s->filesz)
            continue;
        return __builtin_add_overflow(s->offset, vaddr - s->vaddr, ret) ? -EBADMSG : 0;
    }
    return -EBADMSG;
}

/* A NUL-terminated string of at most @size - 1 bytes, none of them a control character. */
static int read_string(int fd, uint64_t offset, uint64_t limit, char *ret, size_t size)
{
    size_t max = limit < size ? (size_t)limit : size;
    ssize_t n = offset > INT64_MAX - size ? -1 : pread(fd, ret, max, (off_t)offset);
    if (n <= 0)
        return -EBADMSG;
    size_t len = strnlen(ret, (size_t)n);
    if (len == (size_t)n)
        return (size_t)n == size ? -E2BIG : -EBADMSG;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)ret[i] < 0x20 || ret[i] == 0x7f)
            return -EBADMSG;
    memset(ret + len, 0, size - len);
    return 0;
}

static int table_string(const struct reader *r, uint64_t index, char *ret, size_t size)
{
    uint64_t at;
    if (index >= r->strsz || __builtin_add_overflow(r->strtab, index, &at))
        return -EBADMSG;
    return read_string(r->fd, at, r->strsz - index, ret, size);
}

static int add_needed(const struct reader *r, uint64_t index, size_t *used, struct sbxi_elf *ret)
{
    char name[MAX_NAME + 1];
    int err = table_string(r, index, name, sizeof name);
    if (err < 0)
        return err;
    size_t len = strlen(name);
    if (len == 0)
        return -EBADMSG;
    if (ret->nneeded == SBXI_ELF_NEEDED || sizeof ret->needed - *used <= len)
        return -E2BIG;
    memcpy(ret->needed + *used, name, len + 1);
    *used += len + 1;
    ret->nneeded++;
    return 0;
}

static int
dynamic_entry(const struct reader *r, uint64_t i, const struct segment *s, uint64_t ret[2])
{
    size_t size = r->wide ? 16 : 8;
    unsigned char b[16];
    uint64_t at;
    if (__builtin_add_overflow(s->offset, i * size, &at))
        return -EBADMSG;
    int err = read_at(r->fd, at, b, size);
    if (err < 0)
        return err;
    ret[0] = number(b, size / 2);
    ret[1] = number(b + size / 2, size / 2);
    return 0;
}

/* Twice over the entries: the string table may be named after the strings. */
static int read_dynamic(struct reader *r, const struct segment *s, struct sbxi_elf *ret)
{
    uint64_t count = s->filesz / (r->wide ? 16 : 8), e[2], strtab = 0;
    if (count > MAX_DYN)
        return -E2BIG;
    int err = 0;
    for (uint64_t i = 0; i < count && (err = dynamic_entry(r, i, s, e)) == 0 && e[0] != DT_NULL;
         i++) {
        if (e[0] == DT_STRTAB)
            strtab = e[1];
        else if (e[0] == DT_STRSZ)
            r->strsz = e[1];
    }
    if (err < 0 || r->strsz == 0)
        return err;
    err = file_offset(r, strtab, &r->strtab);
    size_t used = 0;
    for (uint64_t i = 0; i < count && err == 0; i++) {
        if ((err = dynamic_entry(r, i, s, e)) < 0 || e[0] == DT_NULL)
            break;
        if (e[0] == DT_NEEDED)
            err = add_needed(r, e[1], &used, ret);
        else if (e[0] == DT_RPATH)
            err = table_string(r, e[1], ret->rpath, sizeof ret->rpath);
        else if (e[0] == DT_RUNPATH)
            err = table_string(r, e[1], ret->runpath, sizeof ret->runpath);
    }
    return err;
}

static int read_elf(struct reader *r, const unsigned char *head, struct sbxi_elf *ret)
{
    r->wide = head[EI_CLASS] == ELFCLASS64;
    if ((!r->wide && head[EI_CLASS] != ELFCLASS32) || head[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    uint64_t type = number(head + 16, 2);
    if (type != ET_EXEC && type != ET_DYN)
        return -ENOEXEC;
    ret->bits = r->wide ? 64 : 32;
    ret->machine = (uint16_t)number(head + 18, 2);
    int err = read_segments(r, head);
    for (size_t i = 0; i < r->nsegments && err == 0; i++) {
        const struct segment *s = &r->segments[i];
        if (s->type == PT_INTERP)
            err =
                read_string(r->fd, s->offset, s->filesz, ret->interpreter, sizeof ret->interpreter);
        else if (s->type == PT_DYNAMIC)
            err = read_dynamic(r, s, ret);
    }
    return err;
}

/* "#!", spaces, interpreter, spaces, one argument to the end of the line. The kernel reads 256 bytes. */
static int read_script(char *line, struct sbxi_elf *ret)
{
    char *end = strchr(line, '\n');
    if (!end)
        return -EBADMSG;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *end = '\0';
    char *p = line + 2 + strspn(line + 2, " \t");
    size_t len = strcspn(p, " \t");
    if (len == 0)
        return -EBADMSG;
    memcpy(ret->interpreter, p, len);
    p += len;
    p += strspn(p, " \t");
    memcpy(ret->argument, p, strlen(p));
    return 0;
}

void sbxi_elf_parse(int fd, struct sbxi_elf *ret)
{
    memset(ret, 0, sizeof *ret);
    unsigned char head[256] = {0};
    ssize_t n = pread(fd, head, sizeof head - 1, 0);
    struct reader r = {.fd = fd};
    int err;
    if (n < 0)
        err = -EIO;
    else if (n >= 2 && head[0] == '#' && head[1] == '!')
        err = read_script((char *)head, ret);
    else if (n < 52 || memcmp(head, ELFMAG, SELFMAG) != 0 ||
             (head[EI_CLASS] == ELFCLASS64 && n < 64))
        err = -ENOEXEC;
    else
        err = read_elf(&r, head, ret);
    if (err < 0) {
        memset(ret, 0, sizeof *ret);
        ret->err = -err;
    }
}

#define ENDS(array) (memchr(array, 0, sizeof(array)) != NULL)

bool sbxi_elf_is_sound(const struct sbxi_elf *elf)
{
    if (!ENDS(elf->interpreter) || !ENDS(elf->argument) || !ENDS(elf->rpath) ||
        !ENDS(elf->runpath) || elf->nneeded > SBXI_ELF_NEEDED)
        return false;
    size_t at = 0;
    for (uint32_t i = 0; i < elf->nneeded; i++) {
        size_t len = strnlen(elf->needed + at, sizeof elf->needed - at);
        if (len == 0 || len == sizeof elf->needed - at)
            return false;
        at += len + 1;
    }
    return true;
}

bool sbxi_elf_is_script(const struct sbxi_elf *elf)
{
    return elf->err == 0 && elf->bits == 0 && elf->interpreter[0];
}
