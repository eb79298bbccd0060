/* SPDX-License-Identifier: MIT */
/* `uds jail`: what a jail holds, and a copy of it for chroot(8). */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sbx/jail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "json.h"
#include "list.h"
#include "path.h"
#include "subverb.h"
#include "table.h"
#include "verbs.h"

static int run(int argc, char **argv);

const struct verb verb_jail = {
    .name = "jail",
    .summary = "what a program needs: list it, or copy it for chroot(8)",
    .help =
        "usage: uds jail list FILE… [--json]\n"
        "       uds jail build DIR FILE…\n"
        "\n"
        "What a jail of these programs holds: the files themselves, the interpreters that they\n"
        "name and the shared objects that their ELF headers need. They are read, never run.\n"
        "\n"
        "  list      the files, and where links among them lead\n"
        "  build     copies of them below DIR, with the links that lead to them and empty\n"
        "            /proc, /sys, /dev, /run and /tmp; set-user-ID bits are not copied\n"
        "\n"
        "FILE is a program, a script, any file or directory, or a group of what programs read\n"
        "without saying so in their headers: @nss (users, hosts), @locale, @tls (certificates).\n"
        "A name without a slash is looked for in the usual directories of programs.\n"
        "\n"
        "options:\n"
        "  --json    list: for programs\n"
        "\n"
        "exit codes: 0 done; 1 it could not be done; 2 wrong usage.\n"
        "\n"
        "examples:\n"
        "  uds jail list /usr/bin/python3\n"
        "  uds jail build /srv/jail sh ls cat @nss && chroot /srv/jail /bin/sh\n"
        "  uds run --root /srv/jail -- /bin/sh -c 'ls -l /'\n",
    .run = run,
};

struct jail_options {
    bool json;
    struct run_list files, owned; /* const char *; to free */
};

static int add_file(struct jail_options *o, const char *name)
{
    if (name[0] != '/' && name[0] != '@') {
        char *path = strchr(name, '/') ? path_absolute(name) : path_program(name);
        if (path == NULL) {
            cli_error("%s: %s", name,
                      strchr(name, '/') ? strerror(errno)
                                        : "no such program in the usual directories");
            return CLI_FAILED;
        }
        if (!list_own(&o->owned, path))
            return cli_no_memory(CLI_FAILED);
        name = path;
    }
    return list_push_text(&o->files, name) ? CLI_OK : cli_no_memory(CLI_FAILED);
}

static const char *kind_name(mode_t mode)
{
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : "other";
}

static void add_row(struct table *table, const char *path)
{
    struct stat st = {0};
    char *real = realpath(path, NULL);
    (void)stat(path, &st);
    table_row(table);
    table_text(table, path);
    table_text(table, kind_name(st.st_mode));
    table_uint(table, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
    if (real && strcmp(real, path) != 0)
        table_text(table, real);
    else
        table_none(table);
    free(real);
}

static int list(struct jail_options *o)
{
    static const struct table_column columns[] = {{"PATH", "path", false, false},
                                                  {"KIND", "kind", false, false},
                                                  {"SIZE", "size_bytes", true, false},
                                                  {"LEADS TO", "real", false, true}};
    struct sbx_error error = {0};
    struct json json = {.out = stdout};
    char **paths;
    int r = sbx_jail_list(o->files.items, &paths, &error);
    if (r < 0)
        return cli_fail(&error, r, CLI_FAILED);
    struct table *table = table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; paths[i]; i++) {
        add_row(table, paths[i]);
        free(paths[i]);
    }
    free(paths);
    if (o->json) {
        table_print_json(table, &json);
        json_end(&json);
    } else {
        table_print(table, stdout);
    }
    (void)table_free(table);
    return CLI_OK;
}

static int build(struct jail_options *o, const char *directory)
{
    struct sbx_error error = {0};
    char *path = path_absolute(directory);
    if (path == NULL)
        return cli_no_memory(CLI_FAILED);
    int r = sbx_jail_build(path, o->files.items, &error);
    free(path);
    return r < 0 ? cli_fail(&error, r, CLI_FAILED) : CLI_OK;
}

static int take_json(void *into, int c, const char *name)
{
    struct jail_options *o = into;
    (void)c, (void)name;
    o->json = true;
    return CLI_OK;
}

static int parse(struct jail_options *o, bool builds, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    static const struct subverb words[] = {{"list", false, {'j'}}, {"build", false, {0}}};
    static const struct subverb_options all = {&verb_jail, options, take_json};
    int code = subverb_parse(&words[builds], &all, argc, argv, o);
    if (code != CLI_OK)
        return code;
    if (argc - optind < 1 + builds)
        return cli_usage("%s: name %s", argv[0], builds ? "a directory and programs" : "programs");
    for (int i = optind + builds; code == CLI_OK && i < argc; i++)
        code = add_file(o, argv[i]);
    return code;
}

static int run(int argc, char **argv)
{
    struct jail_options o = {0};
    const char *sub = argc > 1 ? argv[1] : "no word";
    bool help = strcmp(sub, "--help") == 0 || strcmp(sub, "-h") == 0,
         builds = strcmp(sub, "build") == 0;
    if (help)
        return cli_help(&verb_jail);
    if (!builds && strcmp(sub, "list") != 0)
        return cli_usage("%s: is none of list, build", sub);
    int code = parse(&o, builds, argc - 1, argv + 1);
    if (code == CLI_OK)
        code = builds ? build(&o, argv[1 + optind]) : list(&o);
    list_free_owned(&o.owned);
    free(o.files.items);
    return code == SUBVERB_HELP ? CLI_OK : code;
}
