/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LAYERS_H
#define SBXI_LAYERS_H

#include <stdbool.h>

#include <sys/stat.h>

#include "plan.h"

/* A root of layers: is it possible; and its steps, of which those that need the scratch tmpfs go into @made. The root's slot. */
int sbxi_layers_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
int32_t sbxi_plan_layers(sbx_plan *plan, sbx_plan *made, const struct sbx_spec *spec);
/* Is @outer above, or the same as, where @path is or will be? */
bool sbxi_layers_contains(const struct stat *outer, const char *path);

#endif
