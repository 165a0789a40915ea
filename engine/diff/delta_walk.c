/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/delta_walk.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/dir/opath.h"
#include "engine/store/store.h"
#include "engine/walk/walk.h"

#include <string.h>

/* A file of the layer that is in the parent, too, and was changed. */
struct delta_walk_file {
	uint64_t size;
	struct delta_extents extents;
	/* It has been compared. */
	bool counted;
};

/* Is DIR in the layer itself, not in a subvolume that is nested in it? */
static bool delta_walk_own(const struct walk_dir *dir)
{
	const struct walk_dir *root = dir;

	while (root->parent)
		root = root->parent;
	return dir->subvolume == root->subvolume;
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Add the number of a directory, or of an entry in it, whose stat is STAT. */
static int delta_walk_old_dir(struct walk *tree, struct walk_dir *dir, const struct statx *stat)
{
	struct delta_walk *walk = tree->data;
	int r = delta_walk_own(dir) ? inode_set_add(&walk->old, 0, stat->stx_ino) : 0;

	return MIN(r, 0);
}

/* Add the number of an entry that is no directory. */
static int delta_walk_old_entry(struct walk *tree, struct walk_entry *entry)
{
	return delta_walk_old_dir(tree, entry->dir, entry->stat);
}

static const struct walk_class delta_walk_old_class = {
	.call = "statx",
	.stat = true,
	.leaves_mounts = true,
	.enter = delta_walk_old_dir,
	.visit = delta_walk_old_entry,
};

/* ---- files in both --------------------------------------------------------------------------- */

/* Read the extents of ENTRY, a regular file. 0 or -errno. */
static int delta_walk_extents(struct walk *tree, struct walk_entry *entry,
			      struct delta_extents *extents)
{
	struct fault *fault = &tree->job.store->core.io.fault;
	_cleanup_close_ int fd = opath_open(entry->dir->fd, entry->name, NULL), file = -EBADF;
	struct statx found;
	int r;

	if (fd < 0)
		return fd;
	r = RET_NERRNO(statx(fd, "", AT_EMPTY_PATH, OPATH_STAT_MASK, &found));
	if (!r && !opath_same(entry->stat, &found))
		r = -ESTALE;
	if (r)
		return r;
	file = opath_reopen_read(fd);
	if (file < 0)
		return file == -EAGAIN ? -EBUSY : file;
	return delta_extents_read(extents, fault, file);
}

/* Keep the extents of ENTRY, a file that the parent has, too, and that was changed. 0 or -errno. */
static int delta_walk_keep(struct walk *tree, struct walk_entry *entry)
{
	struct delta_walk *walk = tree->data;
	struct fault *fault = &walk->store->core.io.fault;
	struct delta_walk_file *file;
	uint64_t *index;
	bool added;
	int r = fault_reserve(fault, &walk->files, walk->files_count, 1, &walk->files_capacity,
			      sizeof(*walk->files));

	if (r)
		return r;
	index = inode_map_add(&walk->changed, entry->stat->stx_ino, 0, &added);
	if (!index)
		return -ENOMEM;
	if (!added)
		return 0;
	*index = walk->files_count + 1;
	file = &walk->files[walk->files_count++];
	*file = (struct delta_walk_file){ .size = entry->stat->stx_size };
	r = delta_walk_extents(tree, entry, &file->extents);
	walk->extents += file->extents.count;
	if (!r && walk->extents > DELTA_EXTENTS_MAX)
		r = -ENOBUFS;
	return r;
}

/* Compare ENTRY of the parent with the layer's file, where that was changed. 0 or -errno. */
static int delta_walk_compare(struct walk *tree, struct walk_entry *entry)
{
	struct delta_walk *walk = tree->data;
	struct delta_extents extents = { .count = 0 };
	struct delta_walk_file *file;
	const uint64_t *index;
	int r;

	if (!delta_walk_own(entry->dir) || !S_ISREG(entry->stat->stx_mode))
		return 0;
	index = inode_map_find(&walk->changed, entry->stat->stx_ino, 0);
	file = index ? &walk->files[*index - 1] : NULL;
	if (!file || file->counted)
		return 0;
	r = delta_walk_extents(tree, entry, &extents);
	if (!r) {
		delta_extents_differ(&file->extents, &extents, file->size, &walk->sums);
		file->counted = true;
	}
	delta_extents_free(&extents);
	return r;
}

static const struct walk_class delta_walk_compare_class = {
	.call = "FS_IOC_FIEMAP",
	.stat = true,
	.leaves_mounts = true,
	.visit = delta_walk_compare,
};

/* ---- the layer ------------------------------------------------------------------------------- */

/* Is the inode with STAT, in DIR, in the parent, too? */
static bool delta_walk_is_old(struct delta_walk *walk, const struct walk_dir *dir,
			      const struct statx *stat)
{
	return delta_walk_own(dir) && inode_set_has(&walk->old, 0, stat->stx_ino);
}

/* Count a directory that is new; one in the place of a nested subvolume has nothing. */
static int delta_walk_dir(struct walk *tree, struct walk_dir *dir, const struct statx *stat)
{
	struct delta_walk *walk = tree->data;

	if (stat->stx_ino == ABI_STAND_IN_INODE || delta_walk_is_old(walk, dir, stat))
		return 0;
	walk->sums.inodes++;
	walk->sums.disk_bytes += stat->stx_blocks * 512;
	return 0;
}

/* Count an entry that is new, or keep its extents to be compared. */
static int delta_walk_entry(struct walk *tree, struct walk_entry *entry)
{
	struct delta_walk *walk = tree->data;
	const struct statx *stat = entry->stat;
	int r = 1;

	if (delta_walk_is_old(walk, entry->dir, stat)) {
		/* A file that was not changed since the snapshot has no other extents. */
		if (!S_ISREG(stat->stx_mode) ||
		    time_before(stat->stx_ctime.tv_sec, stat->stx_ctime.tv_nsec, &walk->made))
			return 0;
		return delta_walk_keep(tree, entry);
	}
	if (stat->stx_nlink > 1)
		r = inode_set_add(&walk->seen, entry->dir->subvolume, stat->stx_ino);
	if (r > 0) {
		walk->sums.inodes++;
		walk->sums.bytes = bytes_add(walk->sums.bytes, stat->stx_size);
		walk->sums.disk_bytes += stat->stx_blocks * 512;
	}
	return MIN(r, 0);
}

static const struct walk_class delta_walk_class = {
	.call = "FS_IOC_FIEMAP",
	.stat = true,
	.leaves_mounts = true,
	.enter = delta_walk_dir,
	.visit = delta_walk_entry,
};

/* Walk the tree at INDEX by CLASS. 0 or -errno. */
static int delta_walk_tree(struct delta_walk *walk, const struct walk_class *class, unsigned index)
{
	struct walk *tree = fault_calloc(&walk->store->core.io.fault, 1, sizeof(*tree));
	int r = tree ? walk_init(tree, walk->store, class, walk->fds[index], walk->ids[index],
				 walk->cancelled)
		     : -ENOMEM;

	if (!r) {
		tree->data = walk;
		tree->mounts = walk->mounts[index];
		tree->job.progress = walk->progress;
		r = walk_run_here(tree);
		walk->left_out |= tree->left_out;
		if (r && r == tree->error) {
			walk->error_call = tree->error_call;
			strcpy(walk->error_path, tree->error_path);
		}
	}
	free(tree);
	return r;
}

/* Free what was held. */
static void delta_walk_free(struct delta_walk *walk)
{
	for (size_t i = 0; i < walk->files_count; i++)
		delta_extents_free(&walk->files[i].extents);
	free(TAKE_PTR(walk->files));
	walk->files_count = walk->files_capacity = 0;
	inode_map_free(&walk->changed);
	inode_set_free(&walk->old);
	inode_set_free(&walk->seen);
}

int delta_walk_run(struct delta_walk *walk)
{
	struct fault *fault = &walk->store->core.io.fault;
	const struct delta_extents none = { .count = 0 };
	int r = 0;

	inode_set_init(&walk->old, fault);
	inode_set_init(&walk->seen, fault);
	walk->changed.fault = fault;
	if (walk->fds[0] >= 0)
		r = delta_walk_tree(walk, &delta_walk_old_class, 0);
	if (!r)
		r = delta_walk_tree(walk, &delta_walk_class, 1);
	if (!r && walk->files_count)
		r = delta_walk_tree(walk, &delta_walk_compare_class, 0);
	/* Files that the parent has lost meanwhile are new as a whole. */
	for (size_t i = 0; !r && i < walk->files_count; i++)
		if (!walk->files[i].counted)
			delta_extents_differ(&walk->files[i].extents, &none, walk->files[i].size,
					     &walk->sums);
	delta_walk_free(walk);
	return r;
}
