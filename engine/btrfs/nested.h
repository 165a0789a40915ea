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
	/*
	 * Where nested_destroy() could not get on: a directory by its subvolume and inode; the
	 * flags that it has (chattr.h).
	 */
	uint64_t failed_root, failed_inode;
	unsigned failed_flags;
};

/*
 * Collect what is nested in subvolume ROOT of FD's file system, at any depth, but no more than
 * NESTED_MAX (then what is collected is a part, and destroying it and collecting again makes
 * progress). Tree search: CAP_SYS_ADMIN. On failure NESTED is as it was.
 */
int nested_collect(struct nested *nested, int fd, uint64_t root, struct fault *fault);

/*
 * Destroy up to MAX of what was collected, deepest first, and take it out; *RET_DESTROYED is how
 * many that were. What is gone already, or was given a new subvolume of its own meanwhile, is
 * passed over: collecting again tells. Flags (chattr +i,
 * +a) of one, or of the directory that it lies in, are cleared, and a read-only subvolume that
 * others lie in is made writable. CAP_SYS_ADMIN.
 */
int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed);

/*
 * Destroy up to MAX of what is nested in the subvolume whose root FD is, without having collected
 * it: 0 when none is left, 1 when there is more, or -errno. *RET_DESTROYED is how many that were.
 * Without the privilege to search trees: what the caller may destroy (mount option
 * user_subvol_rm_allowed) it may also find, one level at a time. Linux 4.18.
 */
int nested_destroy_user(int fd, unsigned max, unsigned *ret_destroyed);

/*
 * Write where nested_destroy() could not get on, as a path below the directory BASE_FD, to PATH
 * (SIZE bytes): 0, or -errno. FD is of the same file system.
 */
int nested_failed_path(const struct nested *nested, int fd, int base_fd, char *path, size_t size);

/* Put ID itself into NESTED. 0 or -ENOMEM. */
int nested_add(struct nested *nested, uint64_t id, struct fault *fault);

/* Free what was collected. */
void nested_free(struct nested *nested);

#endif
