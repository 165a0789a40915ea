/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/delta_search.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/ancestor.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/nested.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"
#include "engine/walk/usage_search.h"

#include <endian.h>
#include <string.h>

/* What to do with the extents of the current inode. */
enum delta_file {
	/* nothing: it is new, or not changed, or no file */
	DELTA_FILE_PASSED,
	/* count those that are new */
	DELTA_FILE_CHANGED,
};

/* One tree that is searched. */
struct delta_sweep {
	struct delta_search *search;
	uint64_t tree;
	/* Inodes and extents of later transactions are new. */
	uint64_t generation;
	uint32_t sector;
	/* The parent's number: 0 when it is gone, or was not asked for yet. */
	uint64_t parent;
	bool parent_known;
	/* The current inode. */
	uint64_t inode, size, inode_generation;
	enum delta_file file;
	/* Its extents that are compared with its parent's, and those that are new without that. */
	struct delta_extents doubtful, new;
};

/* Parse the current item of SEARCH, an extent: 1, or 0 for a hole. */
static int delta_sweep_extent(const struct delta_sweep *sweep, const struct search *search,
			      struct delta_extent *ret_extent, uint64_t *ret_generation)
{
	const size_t head = offsetof(struct btrfs_file_extent_item, disk_bytenr);
	struct btrfs_file_extent_item item = { .generation = 0 };
	uint64_t length;

	if (search->header.len < head)
		return 0;
	memcpy(&item, search->item, MIN((size_t)search->header.len, sizeof(item)));
	*ret_generation = le64toh(item.generation);
	*ret_extent = (struct delta_extent){ .offset = search->header.offset };
	if (item.type == BTRFS_FILE_EXTENT_INLINE) {
		length = le64toh(item.ram_bytes);
		ret_extent->kind = DELTA_INLINED;
		ret_extent->encoded = item.compression;
		ret_extent->length = (length + sweep->sector - 1) / sweep->sector * sweep->sector;
		return 1;
	}
	if (search->header.len < sizeof(item) || !item.disk_bytenr)
		return 0;
	ret_extent->length = le64toh(item.num_bytes);
	ret_extent->address = le64toh(item.disk_bytenr);
	ret_extent->kind = item.compression ? DELTA_ENCODED : DELTA_PLAIN;
	if (!item.compression)
		ret_extent->address += le64toh(item.offset);
	return 1;
}

/* Keep EXTENT, the current item of SEARCH, in EXTENTS. 0 or -ENOMEM. */
static int delta_sweep_keep(const struct delta_sweep *sweep, const struct search *search,
			    const struct delta_extent *extent, struct delta_extents *extents)
{
	size_t head = offsetof(struct btrfs_file_extent_item, disk_bytenr);
	int r = 0;

	/* Compressed data are equal only where the compressed bytes are. */
	if (extent->encoded)
		head = offsetof(struct btrfs_file_extent_item, ram_bytes);
	if (extent->kind == DELTA_INLINED)
		r = delta_extents_inlined(extents, sweep->search->fault,
					  (const char *)search->item + head,
					  search->header.len - head);
	return r ? r : delta_extents_add(extents, sweep->search->fault, extent);
}

/*
 * Is the current inode in the parent, and unchanged since the snapshot was made? Reading a file
 * writes its time of access alone. 1, 0 or -errno.
 */
static int delta_sweep_parent_is(struct delta_sweep *sweep)
{
	struct btrfs_inode_item item;
	struct search search;
	time_t seconds;
	int r = 1;

	if (!sweep->parent_known)
		r = ancestor_number(sweep->search->fd, sweep->search->parent, &sweep->parent);
	if (r < 0)
		return r;
	sweep->parent_known = true;
	if (!sweep->parent)
		return 0;
	r = search_begin(&search, sweep->search->fd, sweep->parent, sweep->inode, sweep->inode,
			 BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY, 0);
	if (!r)
		r = search_next(&search);
	if (r > 0 && search.header.len >= sizeof(item)) {
		memcpy(&item, search.item, sizeof(item));
		seconds = (time_t)le64toh(item.ctime.sec);
		r = le64toh(item.generation) == sweep->inode_generation &&
		    (le64toh(item.transid) <= sweep->generation ||
		     seconds < sweep->search->made.tv_sec ||
		     (seconds == sweep->search->made.tv_sec &&
		      (long)le32toh(item.ctime.nsec) < sweep->search->made.tv_nsec));
	}
	search_end(&search);
	/* It may be removed meanwhile. */
	return r == -ENOENT ? 0 : r;
}

/* Collect the extents of the parent's file that lie where the doubtful ones do. 0 or -errno. */
static int delta_sweep_parent(struct delta_sweep *sweep, struct delta_extents *extents)
{
	const struct delta_extents *doubtful = &sweep->doubtful;
	const struct delta_extent *last = &doubtful->list[doubtful->count - 1];
	uint64_t first = doubtful->list[0].offset, generation;
	struct delta_extent extent;
	struct search search;
	int r = search_begin(&search, sweep->search->fd, sweep->parent, sweep->inode, sweep->inode,
			     BTRFS_EXTENT_DATA_KEY, BTRFS_EXTENT_DATA_KEY, 0);
	bool more = !r;

	search.key.min_offset = first - MIN(first, DELTA_EXTENT_BYTES_MAX);
	while (more && (r = search_next(&search)) > 0) {
		r = delta_sweep_extent(sweep, &search, &extent, &generation);
		if (r > 0 && extent.offset + extent.length > first)
			r = delta_sweep_keep(sweep, &search, &extent, extents);
		more = r >= 0 && search.header.offset < last->offset + last->length;
	}
	search_end(&search);
	return MIN(r, 0);
}

/* Count what is new of the extents that were kept, and free them. 0 or -errno. */
static int delta_sweep_compare(struct delta_sweep *sweep)
{
	struct delta_extents parent = { .count = 0 }, *counted = &sweep->doubtful;
	int r = sweep->doubtful.count ? delta_sweep_parent_is(sweep) : 0;

	if (r > 0)
		r = delta_sweep_parent(sweep, &parent);
	else if (!r)
		counted = &sweep->new;
	if (r == -ENOENT) {
		counted = &sweep->new;
		r = 0;
	}
	if (!r)
		delta_extents_differ(counted, &parent, sweep->size, &sweep->search->sums);
	delta_extents_free(&parent);
	delta_extents_free(&sweep->doubtful);
	delta_extents_free(&sweep->new);
	return r;
}

/* Count or keep an extent of the current inode. 0 or -errno. */
static int delta_sweep_data(struct delta_sweep *sweep, const struct search *search)
{
	struct delta_extents lone = { .count = 0 };
	struct delta_extent extent;
	uint64_t generation;
	int r = 0;

	if (search->header.objectid != sweep->inode || sweep->file == DELTA_FILE_PASSED ||
	    !delta_sweep_extent(sweep, search, &extent, &generation))
		return 0;
	if (generation > sweep->generation && extent.kind != DELTA_INLINED) {
		r = delta_extents_add(&lone, sweep->search->fault, &extent);
		if (!r)
			delta_extents_differ(&lone, &(struct delta_extents){ .count = 0 },
					     sweep->size, &sweep->search->sums);
		delta_extents_free(&lone);
		return r;
	}
	r = delta_sweep_keep(sweep, search, &extent, &sweep->doubtful);
	if (!r && generation > sweep->generation)
		r = delta_sweep_keep(sweep, search, &extent, &sweep->new);
	if (!r && sweep->doubtful.count >= DELTA_EXTENTS_BATCH)
		r = delta_sweep_compare(sweep);
	return r;
}

/* Advance to the next inode. 0 or -errno. */
static int delta_sweep_inode(struct delta_sweep *sweep, const struct search *search)
{
	struct btrfs_inode_item item;
	int r = delta_sweep_compare(sweep);

	sweep->inode = search->header.objectid;
	sweep->file = DELTA_FILE_PASSED;
	if (r || search->header.len < sizeof(item))
		return r;
	memcpy(&item, search->item, sizeof(item));
	sweep->size = le64toh(item.size);
	sweep->inode_generation = le64toh(item.generation);
	if (sweep->inode_generation > sweep->generation)
		usage_search_add(&item, sweep->sector, &sweep->search->sums);
	else if (le64toh(item.transid) > sweep->generation && le32toh(item.nlink) &&
		 S_ISREG(le32toh(item.mode)))
		sweep->file = DELTA_FILE_CHANGED;
	return 0;
}

/* Search one tree. 0 or -errno. */
static int delta_sweep_run(struct delta_sweep *sweep)
{
	struct delta_search *delta = sweep->search;
	struct search search;
	int r = search_begin(&search, delta->fd, sweep->tree, ABI_SUBVOL_ROOT_INODE,
			     BTRFS_LAST_FREE_OBJECTID, BTRFS_INODE_ITEM_KEY, BTRFS_EXTENT_DATA_KEY,
			     sweep->generation ? sweep->generation + 1 : 0);

	while (!r && (r = search_next(&search)) > 0) {
		yield_look(&delta->yield);
		r = 0;
		if (atomic_load_explicit(delta->cancelled, memory_order_relaxed))
			r = -ECANCELED;
		else if (search.header.type == BTRFS_INODE_ITEM_KEY)
			r = delta_sweep_inode(sweep, &search);
		else if (search.header.type == BTRFS_EXTENT_DATA_KEY)
			r = delta_sweep_data(sweep, &search);
	}
	search_end(&search);
	if (!r)
		r = delta_sweep_compare(sweep);
	delta_extents_free(&sweep->doubtful);
	delta_extents_free(&sweep->new);
	return r;
}

int delta_search_run(struct delta_search *search)
{
	struct delta_sweep sweep = { .search = search, .tree = search->tree };
	struct nested nested = { .count = 0 };
	int r = fs_sector_bytes(search->fd, &sweep.sector);

	search->sums = (struct sums){ 0 };
	if (subvol_is_snapshot(search->parent))
		sweep.generation = search->generation;
	if (!r)
		r = delta_sweep_run(&sweep);
	if (!r)
		r = nested_collect(&nested, search->fd, search->tree, search->fault);
	if (!r && nested.count >= NESTED_MAX)
		r = -ENOBUFS;
	search->nested = nested.count;
	for (size_t i = 0; !r && i < nested.count; i++) {
		sweep = (struct delta_sweep){ .search = search,
					      .tree = nested.ids[i],
					      .sector = sweep.sector };
		r = delta_sweep_run(&sweep);
		/* A subvolume that is gone meanwhile has nothing. */
		if (r == -ENOENT)
			r = 0;
	}
	nested_free(&nested);
	return r;
}
