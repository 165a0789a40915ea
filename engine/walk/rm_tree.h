/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes trees entry by entry, where the kernel cannot destroy them at once: plain directories,
 * and subvolumes whose owner lacks the privilege. Nested subvolumes are emptied and removed with
 * rmdir (Linux 4.18), read-only ones made writable; flags (chattr +i, +a) are cleared where we may.
 */
#ifndef VARVE_WALK_RM_TREE_H
#define VARVE_WALK_RM_TREE_H

#include "engine/walk/walk.h"

struct rm_tree {
	struct walk walk;
	/* Where the tree lies, and its name. */
	int dir_fd;
	const char *name;
	/* Flags (btrfs/chattr.h) of an entry that could not be cleared. */
	_Atomic unsigned flags;
	/* Make the caller the owner of each directory first, so that no other fills it again. */
	bool seal;
	/* The root is removed: a cancel came too late. */
	bool removed;
};

/*
 * Prepare the removal of NAME in DIR_FD, a directory whose descriptor is ROOT_FD; both have to live
 * on. Then as walk_init(). What can be removed is; the first failure is reported.
 */
int rm_tree_init(struct rm_tree *rm_tree, struct varve_store *store, int root_fd, int dir_fd,
		 const char *name, const _Atomic bool *cancelled);

/*
 * Remove NAME in DIR_FD on this thread, whatever it is, or with a ROOT_FD (else -EBADF) only the
 * directory ROOT_FD, whose name that is; content that is added meanwhile is removed, too. 0, also
 * when it was gone; -ECANCELED; or another -errno, and FAILED (VARVE_FAILURE_PATH_SIZE bytes) is
 * the path of the failure, from NAME on, *RET_DETAIL names the flags that caused it, if any.
 * Nothing is unmounted: -EBUSY where something is mounted at NAME or below it.
 */
int rm_tree_remove(struct varve_store *store, int dir_fd, const char *name, int root_fd,
		   const _Atomic bool *cancelled, char *failed, const char **ret_detail);

#endif
