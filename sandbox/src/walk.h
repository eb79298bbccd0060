/* SPDX-License-Identifier: MIT */
#ifndef SBXI_WALK_H
#define SBXI_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/stat.h>

/*
 * A walk through a hostile directory tree, together with the layers below it. Every step is one name below an open
 * directory: no link is followed, no mount crossed, nothing but directories opened.
 */
enum {
    SBXI_WALK_DEPTH = 256,
    SBXI_WALK_LAYERS = 200
};

struct sbxi_walk_entry {
    int parent;       /* the directory that it is in; borrowed */
    int dir;          /* of a directory: itself, open; else -1. Borrowed */
    size_t depth;     /* 0 = in the top directory */
    const char *name; /* its last component */
    const char *path; /* from "/" */
    struct stat st;
    bool whiteout, opaque;
    bool below; /* some layer has this name: */
    struct stat below_st;
};

struct sbxi_walk {
    /* Before what is in it. 0; 1: not into it; -errno: stop. */
    int (*enter)(const struct sbxi_walk_entry *entry, void *userdata);
    /* Of a directory that was entered, after what is in it; may be NULL. 0 or -errno. */
    int (*leave)(const struct sbxi_walk_entry *entry, void *userdata);
    void *userdata;
    char path[PATH_MAX]; /* where it is, or where it failed */
};

/* @below: top directories of layers, the highest first. Nothing is closed. -errno: @walk->path says of what. */
int sbxi_walk(struct sbxi_walk *walk, int top, const int *below, size_t nbelow);
/* A directory below @parent: -errno or a descriptor to read it. */
int sbxi_walk_open(int parent, const char *name);

/* Removes what is in @dir, however deep. -errno: something stayed. */
int sbxi_walk_clear(int dir);
/* The same of one name, if it is there. */
int sbxi_walk_remove(int parent, const char *name);

#endif
