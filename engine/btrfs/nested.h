/* SPDX-License-Identifier: Apache-2.0 */
/* Subvolumes inside a subvolume, found by their references, without looking at a single file. */
#ifndef VARVE_BTRFS_NESTED_H
#define VARVE_BTRFS_NESTED_H

#include "engine/base/fault.h"

#include <stdint.h>

/* The subvolumes below one, parents before children. */
struct nested {
	uint64_t *ids;
	size_t count, capacity;
};

/*
 * Collect what is nested in subvolume ROOT of FD's file system, at any depth, but no more than NESTED_MAX (then what is
 * collected is a part, and destroying it and collecting again makes progress). Tree search: CAP_SYS_ADMIN. On failure
 * NESTED is as it was.
 */
int nested_collect(struct nested *nested, int fd, uint64_t root, struct fault *fault);

/*
 * Destroy up to MAX of what was collected, deepest first, and take it out; *RET_DESTROYED is how many that were. What is
 * gone already, or was given a new subvolume of its own meanwhile, is passed over: collecting again tells. CAP_SYS_ADMIN.
 */
int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed);

/*
 * Destroy up to MAX of what is nested in the subvolume whose root FD is, without having collected it: 0 when none is left,
 * 1 when there is more, or -errno. *RET_DESTROYED is how many that were. For those who may not search trees: what they may
 * destroy (mount option user_subvol_rm_allowed) they may also find, one level at a time. Linux 4.18.
 */
int nested_destroy_user(int fd, unsigned max, unsigned *ret_destroyed);

/* Put ID itself into NESTED. 0 or -ENOMEM. */
int nested_add(struct nested *nested, uint64_t id, struct fault *fault);

/* Free what was collected. */
void nested_free(struct nested *nested);

#endif
