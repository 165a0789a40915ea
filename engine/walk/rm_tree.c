/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/rm_tree.h"
#include "engine/btrfs/chattr.h"
#include "engine/btrfs/subvol.h"
#include "engine/dir/beneath.h"
#include "engine/dir/opath.h"
#include "engine/store/store.h"

#include <fcntl.h>
#include <stdio.h>

/* How a directory is opened that is to be emptied. */
#define RM_TREE_OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NONBLOCK)

/* Permissions that an owner needs to empty a directory. */
#define RM_TREE_MODE 0700

/*
 * NAME in DIR, which is no directory, could not be unlinked: clear its flags; true where that was
 * done.
 */
static bool rm_tree_chattr_entry(struct walk *walk, struct walk_dir *dir, const char *name)
{
	struct rm_tree *rm_tree = walk->data;
	struct statx stat;
	_cleanup_close_ int fd = opath_open(dir->fd, name, &stat), file_fd = -EBADF;

	/* A device is not opened. */
	if (fd < 0 || !S_ISREG(stat.stx_mode) || !chattr_of(&stat))
		return false;
	file_fd = opath_reopen(fd, O_RDONLY);
	if (file_fd >= 0 && chattr_clear(file_fd) > 0)
		return true;
	rm_tree->flags = chattr_of(&stat);
	return false;
}

/*
 * Make the caller the owner of DIR, whose stat is STAT, before it is read: the old owner could fill
 * it as fast as it is emptied. A process that has DIR open needs permission for each new name, too.
 * Where the caller may not change the owner, nothing is changed.
 */
static void rm_tree_seal(const struct walk_dir *dir, const struct statx *stat)
{
	if (stat->stx_uid != geteuid() && fchown(dir->fd, geteuid(), getegid()) < 0)
		return;
	if (stat->stx_mode & (S_IWGRP | S_IWOTH))
		fchmod(dir->fd, RM_TREE_MODE);
}

/* Get a directory ready to be emptied. */
static int rm_tree_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct rm_tree *rm_tree = walk->data;
	bool read_only = false;
	int r = 0;

	if (stat->stx_ino == ABI_SUBVOL_ROOT_INODE &&
	    (!dir->parent || dir->device != dir->parent->device))
		r = subvol_get_read_only(dir->fd, &read_only);
	if (!r && read_only)
		r = subvol_set_read_only(dir->fd, false);
	/* Without its flags cleared nothing in it can be unlinked. */
	if (chattr_of(stat) && chattr_clear(dir->fd) < 0) {
		rm_tree->flags = chattr_of(stat);
		walk_failed(walk, dir, NULL, "FS_IOC_SETFLAGS", -EPERM);
		return -EPERM;
	}
	/*
	 * Its owner may lack permissions, and may add them; where that fails the entries fail, too.
	 */
	if (!walk->job.store->layout.privileged && (stat->stx_mode & RM_TREE_MODE) != RM_TREE_MODE)
		fchmod(dir->fd, (stat->stx_mode | RM_TREE_MODE) & 07777);
	if (rm_tree->seal)
		rm_tree_seal(dir, stat);
	/* The ioctl fails with these on a file system that is not btrfs. */
	return r == -ENOTTY || r == -EINVAL || r == -ENOTSUP ? 0 : r;
}

/* Remove an entry that is no directory. */
static int rm_tree_visit(struct walk *walk, struct walk_entry *entry)
{
	int r = entry->done == 1 ? RET_NERRNO(unlinkat(entry->dir->fd, entry->name, 0))
				 : entry->done;

	if (r == -EPERM && rm_tree_chattr_entry(walk, entry->dir, entry->name))
		r = RET_NERRNO(unlinkat(entry->dir->fd, entry->name, 0));
	/* A directory has replaced it: the removal of its parent will report that. */
	return r == -EISDIR ? 0 : r;
}

/* Remove a directory that has been emptied. */
static int rm_tree_leave(struct walk *walk, struct walk_dir *dir)
{
	struct rm_tree *rm_tree = walk->data;
	int r;

	if (!dir->parent) {
		r = RET_NERRNO(unlinkat(rm_tree->dir_fd, rm_tree->name, AT_REMOVEDIR));
		rm_tree->removed = !r;
		return r;
	}
	return RET_NERRNO(unlinkat(dir->parent->fd, dir->name, AT_REMOVEDIR));
}

/* Give the owner access to the directory NAME in PARENT_FD. */
static int rm_tree_grant_access(struct walk *walk, int parent_fd, const char *name)
{
	struct statx stat;
	_cleanup_close_ int fd = opath_open(parent_fd, name, &stat);

	if (fd < 0)
		return fd;
	return S_ISDIR(stat.stx_mode) ? opath_chmod(fd, RM_TREE_MODE) : -ENOTDIR;
}

static const struct walk_class rm_tree_class = {
	.call = "unlinkat",
	/* An unlink takes 20 to 30 us when all is cached. */
	.slow_factor = 16,
	.unlink = true,
	.enter = rm_tree_enter,
	.visit = rm_tree_visit,
	.leave = rm_tree_leave,
	.grant_access = rm_tree_grant_access,
};

int rm_tree_init(struct rm_tree *rm_tree, struct varve_store *store, int root_fd, int dir_fd,
		 const char *name, const _Atomic bool *cancelled)
{
	int r = walk_init(&rm_tree->walk, store, &rm_tree_class, root_fd, name, cancelled);

	if (r)
		return r;
	rm_tree->walk.data = rm_tree;
	/* A mount cannot be unlinked, and nothing can be through it. */
	rm_tree->walk.mounts = false;
	rm_tree->walk.job.width_max = RM_TREE_THREADS_MAX;
	/*
	 * To delete the first item of a leaf, btrfs keeps the locks of the nodes above, whose key
	 * changes. So threads that remove files in the order of their creation block each other
	 * (0.85 of the rate of one thread); in the reverse order they do not (1.25).
	 */
	rm_tree->walk.last_first = store->settings.io.threads_max[LANE_FS] > 1;
	rm_tree->dir_fd = dir_fd;
	rm_tree->name = name;
	rm_tree->flags = 0;
	rm_tree->seal = rm_tree->removed = false;
	return 0;
}

/*
 * Remove the directory NAME in DIR_FD, of which FD is a descriptor, with what is in it, once; then
 * as rm_tree_remove().
 */
static int rm_tree_once(struct varve_store *store, int dir_fd, const char *name, int fd,
			const _Atomic bool *cancelled, char *failed, const char **ret_detail)
{
	struct rm_tree rm_tree;
	int r;

	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? RET_NERRNO(unlinkat(dir_fd, name, 0)) : fd;
	r = rm_tree_init(&rm_tree, store, fd, dir_fd, name, cancelled);
	rm_tree.seal = true;
	if (!r)
		r = walk_run_here(&rm_tree.walk);
	if (r == -EPERM && rm_tree.flags)
		*ret_detail = chattr_detail(rm_tree.flags);
	if (r && rm_tree.walk.error_path[0])
		snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", rm_tree.walk.error_path);
	return r;
}

int rm_tree_remove(struct varve_store *store, int dir_fd, const char *name, int root_fd,
		   const _Atomic bool *cancelled, char *failed, const char **ret_detail)
{
	for (unsigned rounds = 0;; rounds++) {
		_cleanup_close_ int fd = root_fd >= 0
						 ? beneath_open(root_fd, "", RM_TREE_OPEN_FLAGS)
						 : beneath_open(dir_fd, name, RM_TREE_OPEN_FLAGS);
		int r;

		if (fd == -EACCES && root_fd < 0 && !rm_tree_grant_access(NULL, dir_fd, name))
			fd = beneath_open(dir_fd, name, RM_TREE_OPEN_FLAGS);
		snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", name);
		r = rm_tree_once(store, dir_fd, name, fd, cancelled, failed, ret_detail);
		if (!r || r == -ENOENT)
			return 0;
		if (r != -ENOTEMPTY || rounds == NESTED_ROUNDS_MAX)
			return r == -EXDEV ? -EBUSY : r;
	}
}
