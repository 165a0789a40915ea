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
#define EMPTY_OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NONBLOCK)

/* Permissions that an owner needs to empty a directory. */
#define EMPTY_MODE 0700

/* Make subvolume FD writable, if it is not. */
static int empty_unprotect(int fd)
{
	bool read_only;
	int r = subvol_get_read_only(fd, &read_only);

	return !r && read_only ? subvol_set_read_only(fd, false) : r;
}

/* Clear the flags of DIR, which STAT tells of: without that nothing in it can be unlinked. */
static int empty_chattr(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct empty *empty = walk->data;

	if (!chattr_of(stat) || chattr_clear(dir->fd) >= 0)
		return 0;
	empty->flags = chattr_of(stat);
	walk_failed(walk, dir, NULL, "FS_IOC_SETFLAGS", -EPERM);
	return -EPERM;
}

/* NAME in DIR, which is no directory, could not be unlinked: clear its flags; true where that was done. */
static bool empty_chattr_entry(struct walk *walk, struct walk_dir *dir, const char *name)
{
	struct empty *empty = walk->data;
	struct statx stat;
	_cleanup_close_ int fd = opath_open(dir->fd, name, &stat), file_fd = -EBADF;

	/* A device is not opened. */
	if (fd < 0 || !S_ISREG(stat.stx_mode) || !chattr_of(&stat))
		return false;
	file_fd = opath_reopen(fd, O_RDONLY);
	if (file_fd >= 0 && chattr_clear(file_fd) > 0)
		return true;
	empty->flags = chattr_of(&stat);
	return false;
}

/* Get a directory ready to be emptied. */
static int empty_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	int r = 0;

	if (stat->stx_ino == ABI_SUBVOL_ROOT_INODE && (!dir->parent || dir->device != dir->parent->device))
		r = empty_unprotect(dir->fd);
	if (empty_chattr(walk, dir, stat))
		return -EPERM;
	/* Its owner may lack permissions, and may give them; if not, the entries tell. */
	if (!walk->job.store->layout.privileged && (stat->stx_mode & EMPTY_MODE) != EMPTY_MODE)
		fchmod(dir->fd, (stat->stx_mode | EMPTY_MODE) & 07777);
	/* A plain directory may be asked, too, on a file system that is not btrfs. */
	return r == -ENOTTY || r == -EINVAL || r == -ENOTSUP ? 0 : r;
}

/* Remove an entry that is no directory. */
static int empty_visit(struct walk *walk, struct walk_entry *entry)
{
	int r = entry->done == 1 ? RET_NERRNO(unlinkat(entry->dir->fd, entry->name, 0)) : entry->done;

	if (r == -EPERM && empty_chattr_entry(walk, entry->dir, entry->name))
		r = RET_NERRNO(unlinkat(entry->dir->fd, entry->name, 0));
	/* A directory took its place: what it is in will not be empty. */
	return r == -EISDIR ? 0 : r;
}

/* Remove a directory that has been emptied. */
static int empty_leave(struct walk *walk, struct walk_dir *dir)
{
	struct empty *empty = walk->data;

	if (!dir->parent)
		return RET_NERRNO(unlinkat(empty->dir_fd, empty->name, AT_REMOVEDIR));
	return RET_NERRNO(unlinkat(dir->parent->fd, dir->name, AT_REMOVEDIR));
}

/* Give the owner access to the directory NAME in PARENT_FD. */
static int empty_unlock(struct walk *walk, int parent_fd, const char *name)
{
	struct statx stat;
	_cleanup_close_ int fd = opath_open(parent_fd, name, &stat);

	if (fd < 0)
		return fd;
	return S_ISDIR(stat.stx_mode) ? opath_chmod(fd, EMPTY_MODE) : -ENOTDIR;
}

static const struct walk_class empty_class = {
	.call = "unlinkat",
	/* An unlink takes 20 to 30 us when all is cached. */
	.slow_factor = 16,
	.unlink = true,
	.enter = empty_enter,
	.visit = empty_visit,
	.leave = empty_leave,
	.unlock = empty_unlock,
};

int empty_init(struct empty *empty, struct varve_store *store, int root_fd, int dir_fd, const char *name,
	       const _Atomic bool *cancelled)
{
	int r = walk_init(&empty->walk, store, &empty_class, root_fd, name, cancelled);

	if (r)
		return r;
	empty->walk.data = empty;
	/* A mount cannot be unlinked, and nothing can be through it. */
	empty->walk.mounts = false;
	empty->walk.job.width_max = EMPTY_THREADS_MAX;
	/*
	 * Deleting the first item of a leaf holds the locks above, because the key there changes; so threads that go on in the
	 * order in which all was made hold each other up (0.85 of one thread), and backwards do not (1.25).
	 */
	empty->walk.last_first = store->settings.io.threads_max[LANE_FS] > 1;
	empty->dir_fd = dir_fd;
	empty->name = name;
	empty->flags = 0;
	return 0;
}

/* Remove the directory NAME in DIR_FD, of which FD is a descriptor, with what is in it, once; then as empty_remove(). */
static int empty_once(struct varve_store *store, int dir_fd, const char *name, int fd, const _Atomic bool *cancelled, char *failed,
		      const char **ret_detail)
{
	struct empty empty;
	int r;

	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? RET_NERRNO(unlinkat(dir_fd, name, 0)) : fd;
	r = empty_init(&empty, store, fd, dir_fd, name, cancelled);
	if (!r)
		r = walk_run_here(&empty.walk);
	if (r == -EPERM && empty.flags)
		*ret_detail = chattr_detail(empty.flags);
	if (r && empty.walk.error_path[0])
		snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", empty.walk.error_path);
	return r;
}

/* Open what is to be emptied, as for empty_remove(). */
static int empty_open(int dir_fd, const char *name, int root_fd)
{
	int fd = root_fd >= 0 ? beneath_open(root_fd, "", EMPTY_OPEN_FLAGS) : beneath_open(dir_fd, name, EMPTY_OPEN_FLAGS);

	if (fd == -EACCES && root_fd < 0 && !empty_unlock(NULL, dir_fd, name))
		fd = beneath_open(dir_fd, name, EMPTY_OPEN_FLAGS);
	return fd;
}

int empty_remove(struct varve_store *store, int dir_fd, const char *name, int root_fd, const _Atomic bool *cancelled, char *failed,
		 const char **ret_detail)
{
	for (unsigned rounds = 0;; rounds++) {
		_cleanup_close_ int fd = empty_open(dir_fd, name, root_fd);
		int r;

		snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", name);
		r = empty_once(store, dir_fd, name, fd, cancelled, failed, ret_detail);
		if (!r || r == -ENOENT)
			return 0;
		if (r != -ENOTEMPTY || rounds == NESTED_ROUNDS_MAX)
			return r == -EXDEV ? -EBUSY : r;
	}
}
