/* SPDX-License-Identifier: MIT */
/* Options of a root that is made of directories: --root DIR, --layer, --upper. */
#include "layer-options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

/* Absolute and without links, by who the caller is. */
static int resolve(struct run_options *o, const char *option, const char *path, const char **ret)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return cli_usage("--%s %s: %s", option, path, strerror(errno));
    *ret = run_own(o, real);
    return *ret ? CLI_OK : cli_no_memory(RUN_REFUSED);
}

int run_set_base(struct run_options *o, const char *directory)
{
    return resolve(o, "root", directory, &o->base);
}

static int add_layer(struct run_options *o, const char *directory)
{
    const char *layer;
    int r = resolve(o, "layer", directory, &layer);
    return r == CLI_OK ? run_push_text(&o->layers, layer) : r;
}

/* It need not be there, what it shall be in must. */
static int set_upper(struct run_options *o, const char *text)
{
    char parent[PATH_MAX], *whole;
    const char *real;
    size_t end = strlen(text);
    if (strcmp(text, "tmpfs") == 0) {
        o->upper = "";
        return CLI_OK;
    }
    while (end > 1 && text[end - 1] == '/')
        end--;
    size_t slash = end;
    while (slash > 0 && text[slash - 1] != '/')
        slash--;
    if (end == slash || end >= sizeof parent)
        return cli_usage("--upper %s: name a directory, or tmpfs", text);
    (void)snprintf(parent, sizeof parent, "%.*s", slash ? (int)slash : 1, slash ? text : ".");
    int r = resolve(o, "upper", parent, &real);
    if (r != CLI_OK)
        return r;
    if (asprintf(&whole, "%s/%.*s", strcmp(real, "/") == 0 ? "" : real, (int)(end - slash),
                 text + slash) < 0)
        return cli_no_memory(RUN_REFUSED);
    o->upper = run_own(o, whole);
    return o->upper ? CLI_OK : cli_no_memory(RUN_REFUSED);
}

int run_layer_option(struct run_options *o, const char *name, const char *value)
{
    if (strcmp(name, "layer") == 0)
        return add_layer(o, value);
    if (strcmp(name, "upper") == 0)
        return set_upper(o, value);
    o->spec.chroot = true;
    return CLI_OK;
}

int run_end_layers(struct run_options *o)
{
    struct run_list all = {0};
    const char *const *layers = o->layers.items;
    if (o->base == NULL && o->layers.count == 0)
        return !o->upper ? CLI_OK
               : o->spec.root == SBX_ROOT_JAIL
                   ? cli_usage("--upper: a jail cannot be written; `uds jail build` makes a "
                               "directory of one, for --layer")
                   : cli_usage("--upper: of which layers; name them by --layer");
    if (o->other_root || o->spec.root != SBX_ROOT_HOST_RO)
        return cli_usage("--layer: the root is another: leave out --root and --jail; `uds jail "
                         "build` makes a directory of a jail");
    int r = o->base ? run_push_text(&all, o->base) : CLI_OK;
    for (size_t i = 0; r == CLI_OK && i < o->layers.count; i++)
        r = run_push_text(&all, layers[i]);
    free(o->layers.items);
    o->layers = all;
    o->spec.root = SBX_ROOT_LAYERS;
    o->spec.layers = all.items;
    o->spec.upper = o->upper;
    return r;
}
