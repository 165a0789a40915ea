/* SPDX-License-Identifier: Apache-2.0 */
/* Subvolumes nested in a subvolume, found by their references, without a look at any file. */
#ifndef VARVE_BTRFS_NESTED_H
#define VARVE_BTRFS_NESTED_H

#include "engine/base/fault.h"

#include <stdint.h>

/* The subvolumes below one, parents before children. */
struct nested {
	uint64_t *ids;
	size_t count, capacity;
	/*
	 * Where nested_destroy() failed: a directory by its subvolume and inode; its flags
	 * (chattr.h).
	 */
	uint64_t failed_root, failed_inode;
	unsigned failed_flags;
};

/*
 * Collect the subvolumes nested in subvolume ROOT of FD's file system, at any depth, but at most
 * NESTED_MAX: where there are more, destroy these and collect again. Tree search: CAP_SYS_ADMIN. On
 * failure NESTED is unchanged.
 */
int nested_collect(struct nested *nested, int fd, uint64_t root, struct fault *fault);

/*
 * Destroy up to MAX of the collected subvolumes, deepest first, and remove them from NESTED;
 * *RET_DESTROYED is their number. One that is gone, or in which a new subvolume was made meanwhile,
 * is skipped: collect again. Flags (chattr +i, +a) of a subvolume, or of its directory, are
 * cleared, and a read-only subvolume that contains others is made writable. CAP_SYS_ADMIN.
 */
int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed);

/*
 * Destroy up to MAX subvolumes nested in the subvolume whose root is FD, without collecting them
 * first: 0 when none is left, 1 when there are more, or -errno. *RET_DESTROYED is their number.
 * Without privilege: a caller may find the subvolumes that it may destroy (mount option
 * user_subvol_rm_allowed), one level at a time. Linux 4.18.
 */
int nested_destroy_user(int fd, unsigned max, unsigned *ret_destroyed);

/*
 * Write the place where nested_destroy() failed, as a path below the directory BASE_FD, to PATH
 * (SIZE bytes): 0, or -errno. FD is of the same file system.
 */
int nested_failed_path(const struct nested *nested, int fd, int base_fd, char *path, size_t size);

/* Add ID itself to NESTED. 0 or -ENOMEM. */
int nested_add(struct nested *nested, uint64_t id, struct fault *fault);

/* Free NESTED. */
void nested_free(struct nested *nested);

#endif
