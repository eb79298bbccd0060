/* SPDX-License-Identifier: MIT */
#ifndef SBX_PLAN_H
#define SBX_PLAN_H

#include <sbx/spec.h>
#include <stdio.h>

/*
 * A plan: a spec that was checked as a whole, as the list of steps that make a sandbox of it. It makes nothing and
 * can be started any number of times.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a plan belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx_plan sbx_plan;

/**
 * sbx_plan_new() - check a spec and list its steps
 * @ret:   written on success only
 * @spec:  as SBX_SPEC_INIT begins it
 * @error: names thing, cause and knob; may be NULL
 *
 * Ownership: the caller frees @ret; what @spec points to is borrowed until then.
 * Errors: -EINVAL the spec contradicts itself, or is no SBX_SPEC_INIT; -EBADF a descriptor is none; -EPERM, -ENOSYS,
 *   -EOPNOTSUPP what the kernel refuses and @spec does not permit to leave out; -ENOENT a jail's file is missing;
 *   -ENOMEM.
 * Blocking: file system calls, and a short-lived child that reads ELF files.   Threads: any.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_plan_new(sbx_plan **ret, const struct sbx_spec *spec, struct sbx_error *error);
/**
 * sbx_plan_free() - forget it
 *
 * NULL is fine. Returns NULL. Sandboxes that were started from it live on.
 */
UDS_EXPORT sbx_plan *sbx_plan_free(sbx_plan *plan);
/** sbx_plan_print() - one line a step, as uds-run(1) prints for --dry-run. Blocking: as @out does. */
UDS_EXPORT void sbx_plan_print(const sbx_plan *plan, FILE *out);

UDS_END_DECLS

#endif
