/* SPDX-License-Identifier: MIT */

/* ELF headers and #! lines as a stranger may write them. */

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "elf-head.h"
#include "guard.h"

/* A whole file: header, four program headers, interpreter, dynamic section, strings. */
struct image {
    Elf64_Ehdr head;
    Elf64_Phdr segments[3];
    char interpreter[32];
    Elf64_Dyn dynamic[6];
    char strings[64];
};
#define BASE 0x10000

static struct image make_image(void)
{
    struct image i = {0};
    memcpy(i.head.e_ident, ELFMAG, SELFMAG);
    i.head.e_ident[EI_CLASS] = ELFCLASS64;
    i.head.e_ident[EI_DATA] = ELFDATA2LSB;
    i.head.e_type = ET_DYN;
    i.head.e_machine = EM_X86_64;
    i.head.e_phoff = offsetof(struct image, segments);
    i.head.e_phentsize = sizeof(Elf64_Phdr);
    i.head.e_phnum = 3;
    i.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = sizeof i};
    i.segments[1] = (Elf64_Phdr){.p_type = PT_INTERP,
                                 .p_offset = offsetof(struct image, interpreter),
                                 .p_filesz = sizeof i.interpreter};
    i.segments[2] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                                 .p_offset = offsetof(struct image, dynamic),
                                 .p_filesz = sizeof i.dynamic};
    strcpy(i.interpreter, "/lib64/ld.so");
    memcpy(i.strings, "\0liba.so\0libb.so\0$ORIGIN/x", 27);
    i.dynamic[0] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = 1};
    i.dynamic[1] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = 9};
    i.dynamic[2] = (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = 17};
    i.dynamic[3] =
        (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = BASE + offsetof(struct image, strings)};
    i.dynamic[4] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = sizeof i.strings};
    return i;
}

static struct sbxi_elf parse(const void *data, size_t len)
{
    struct sbxi_elf elf;
    int fd = memfd_create("elf", MFD_CLOEXEC);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    memset(&elf, 0xff, sizeof elf);
    sbxi_elf_parse(fd, &elf);
    close(fd);
    cr_assert(sbxi_elf_is_sound(&elf));
    return elf;
}

static int parse_error(const struct image *i)
{
    return parse(i, sizeof *i).err;
}

Test(elf_parse, reads_interpreter_needs_and_runpath)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    struct sbxi_elf elf = parse(&i, sizeof i);
    cr_assert_eq(elf.err, 0);
    cr_assert_eq(elf.bits, 64);
    cr_assert_eq(elf.machine, EM_X86_64);
    cr_assert_str_eq(elf.interpreter, "/lib64/ld.so");
    cr_assert_eq(elf.nneeded, 2);
    cr_assert_str_eq(elf.needed, "liba.so");
    cr_assert_str_eq(elf.needed + 8, "libb.so");
    cr_assert_str_eq(elf.runpath, "$ORIGIN/x");
}

Test(elf_parse, refuses_other_byte_orders_and_classes)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    i.head.e_ident[EI_DATA] = ELFDATA2MSB;
    cr_assert_eq(parse_error(&i), ENOEXEC);
    i = make_image();
    i.head.e_ident[EI_CLASS] = 9;
    cr_assert_eq(parse_error(&i), ENOEXEC);
    i = make_image();
    i.head.e_type = ET_CORE;
    cr_assert_eq(parse_error(&i), ENOEXEC);
}

Test(elf_parse, refuses_offsets_beyond_the_file)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    i.head.e_phoff = UINT64_MAX - 8;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.segments[1].p_offset = INT64_MAX;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.segments[2].p_offset = UINT64_MAX - 4;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.segments[2].p_offset = sizeof i;
    cr_assert_eq(parse_error(&i), EBADMSG);
}

Test(elf_parse, refuses_counts_above_its_bounds)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    i.head.e_phnum = 0xffff;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.head.e_phentsize = 1;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.segments[2].p_filesz = UINT64_MAX;
    cr_assert_eq(parse_error(&i), E2BIG);
}

/* The file is long enough for all of them: only the bound stops it. */
Test(elf_parse, refuses_more_program_headers_than_it_has_room_for)
{
    UDS_TEST_GUARD;
    static unsigned char file[sizeof(struct image) + 1000 * sizeof(Elf64_Phdr)];
    struct image i = make_image();
    i.head.e_phoff = sizeof i;
    i.head.e_phnum = 1000;
    memcpy(file, &i, sizeof i);
    cr_assert_eq(parse(file, sizeof file).err, EBADMSG);
}

Test(elf_parse, refuses_strings_outside_the_table)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    i.dynamic[4].d_un.d_val = 9; /* the second name begins behind the table's end */
    i.dynamic[1].d_un.d_val = 10;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.dynamic[0].d_un.d_val = sizeof i.strings;
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.dynamic[0].d_un.d_val = 0; /* an empty name */
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.dynamic[3].d_un.d_ptr = 5; /* in no segment */
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    memset(i.strings + 1, 'a', sizeof i.strings - 1); /* never ends */
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    i.strings[2] = '\n';
    cr_assert_eq(parse_error(&i), EBADMSG);
    i = make_image();
    memset(i.interpreter, 'a', sizeof i.interpreter);
    cr_assert_eq(parse_error(&i), EBADMSG);
}

Test(elf_parse, survives_every_truncation_and_every_byte)
{
    UDS_TEST_GUARD;
    struct image i = make_image();
    for (size_t len = 0; len < sizeof i; len++)
        (void)parse(&i, len);
    for (size_t at = 0; at < sizeof i; at++) {
        struct image broken = make_image();
        ((unsigned char *)&broken)[at] = 0xff;
        (void)parse(&broken, sizeof broken);
    }
}

Test(elf_parse, reads_the_interpreter_of_a_script)
{
    UDS_TEST_GUARD;
    static const char text[] = "#! /usr/bin/env  python3 -u \r\nrest";
    struct sbxi_elf elf = parse(text, sizeof text - 1);
    cr_assert(sbxi_elf_is_script(&elf));
    cr_assert_str_eq(elf.interpreter, "/usr/bin/env");
    cr_assert_str_eq(elf.argument, "python3 -u");
    cr_assert_eq(parse("#!\n", 3).err, EBADMSG);
    cr_assert_eq(parse("#!/no/end", 9).err, EBADMSG);
    cr_assert_eq(parse("plain text", 10).err, ENOEXEC);
}

Test(elf_is_sound, refuses_what_a_captured_reader_might_answer)
{
    UDS_TEST_GUARD;
    struct sbxi_elf elf = {.nneeded = SBXI_ELF_NEEDED + 1};
    cr_assert_not(sbxi_elf_is_sound(&elf));
    elf = (struct sbxi_elf){.nneeded = 1}; /* an empty name */
    cr_assert_not(sbxi_elf_is_sound(&elf));
    memset(elf.needed, 'a', sizeof elf.needed);
    cr_assert_not(sbxi_elf_is_sound(&elf));
    elf = (struct sbxi_elf){0};
    memset(elf.runpath, 'a', sizeof elf.runpath);
    cr_assert_not(sbxi_elf_is_sound(&elf));
}
