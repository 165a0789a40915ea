/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/delta.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

/* Flag of a directory: its ancestors up to the root of side INDEX are hinted, or will be. */
#define DELTA_TRACED(index) (UINT64_C(1) << (32 + (index)))
/* Flag of a directory: an entry in it has no hint, so all of it has to be compared. */
#define DELTA_UNNAMED (UINT64_C(1) << 34)

/* The largest gap between the numbers of inodes that one search looks at. */
#define DELTA_GAP 16

/* One of the two trees. */
struct delta_side {
	struct delta *delta;
	int fd;
	uint64_t tree;
	/* 0 or 1. */
	unsigned index;
	/* Ancestors of what was changed that are still to be hinted themselves. */
	uint64_t *pending;
	size_t pending_count, pending_capacity;
};

/* Return LIMIT, or USUAL where that is 0. */
static size_t delta_limit(size_t limit, size_t usual)
{
	return limit ? limit : usual;
}

bool delta_changed(const struct delta *delta, uint64_t inode)
{
	size_t least = 0, end = delta->inodes_count;

	while (least < end) {
		size_t middle = least + (end - least) / 2;

		if (delta->inodes[middle] == inode)
			return true;
		if (delta->inodes[middle] < inode)
			least = middle + 1;
		else
			end = middle;
	}
	return false;
}

/* Find DIRECTORY, or add it with nothing in it: 1, 0 when they are too many, or -ENOMEM. */
static int delta_directory(struct delta *delta, uint64_t directory, uint64_t **ret_value)
{
	uint64_t *value = inode_map_find(&delta->directories, directory, 0);

	if (!value) {
		if (delta->directories.count >=
		    delta_limit(delta->limits.directories, DELTA_DIRECTORIES_MAX))
			return 0;
		value = inode_map_add(&delta->directories, directory, 0, NULL);
	}
	if (!value)
		return -ENOMEM;
	*ret_value = value;
	return 1;
}

/* Keep a hint at NAME, the first in the directory with this VALUE: 1 or -ENOMEM. */
static int delta_keep(struct delta *delta, uint64_t *value, const char *name, size_t length,
		      bool forced)
{
	int r = fault_reserve(delta->fault, &delta->hints, delta->hints_count, 1,
			      &delta->hints_capacity, sizeof(*delta->hints));

	if (!r)
		r = fault_reserve(delta->fault, &delta->names, delta->names_size, length + 1,
				  &delta->names_capacity, 1);
	if (r || delta->names_size > UINT32_MAX)
		return -ENOMEM;
	memcpy(delta->names + delta->names_size, name, length);
	delta->names[delta->names_size + length] = '\0';
	delta->hints[delta->hints_count++] = (struct delta_hint){
		.next = (uint32_t)*value, .name = (uint32_t)delta->names_size, .forced = forced
	};
	delta->names_size += length + 1;
	delta->forced_count += forced;
	*value = (*value & ~(uint64_t)UINT32_MAX) | delta->hints_count;
	return 1;
}

/*
 * Hint at NAME in DIRECTORY, and note that its ancestors up to the root of SIDE are to be hinted:
 * 1, 0 when it is too much, or -errno.
 */
static int delta_hint(struct delta_side *side, uint64_t directory, const char *name, size_t length,
		      bool forced)
{
	struct delta *delta = side->delta;
	size_t bytes = delta->hints_count * sizeof(*delta->hints) + delta->names_size;
	uint64_t *value;
	bool traced;
	int r = delta_directory(delta, directory, &value);

	if (r <= 0)
		return r;
	traced = *value & DELTA_TRACED(side->index) || directory == ABI_SUBVOL_ROOT_INODE;
	*value |= DELTA_TRACED(side->index);
	if (forced || bytes < delta_limit(delta->limits.hints_bytes, DELTA_HINTS_BYTES))
		r = delta_keep(delta, value, name, length, forced);
	else
		*value |= DELTA_UNNAMED;
	/* A changed directory is hinted itself. */
	if (r < 0 || traced || delta_changed(delta, directory))
		return r;
	r = fault_reserve(delta->fault, &side->pending, side->pending_count, 1,
			  &side->pending_capacity, sizeof(*side->pending));
	if (r)
		return r;
	side->pending[side->pending_count++] = directory;
	return 1;
}

/* Hint at each name in an INODE_REF or INODE_EXTREF item: 1, 0 when it is too much, or -errno. */
static int delta_references(struct delta_side *side, const struct search *search)
{
	bool extended = search->header.type == BTRFS_INODE_EXTREF_KEY;
	const char *at = search->item, *end = at + search->header.len;
	size_t head = extended ? sizeof(struct btrfs_inode_extref) : sizeof(struct btrfs_inode_ref);
	int r = 1;

	while (r > 0 && (size_t)(end - at) >= head) {
		uint64_t parent = search->header.offset;
		uint16_t length;

		if (extended) {
			memcpy(&parent, at + offsetof(struct btrfs_inode_extref, parent_objectid),
			       sizeof(parent));
			parent = le64toh(parent);
			memcpy(&length, at + offsetof(struct btrfs_inode_extref, name_len),
			       sizeof(length));
		} else
			memcpy(&length, at + offsetof(struct btrfs_inode_ref, name_len),
			       sizeof(length));
		length = le16toh(length);
		if (length > (size_t)(end - at) - head)
			return -EUCLEAN;
		/* All entries of a changed parent are compared anyway. */
		if (!delta_changed(side->delta, parent))
			r = delta_hint(side, parent, at + head, length, false);
		at += head + length;
	}
	return r;
}

/*
 * Hint at all names of the COUNT INODES, ascending, by one search: 1, 0 when it is too much, or
 * -errno.
 */
static int delta_names(struct delta_side *side, const uint64_t *inodes, size_t count)
{
	struct search search;
	size_t at = 0;
	int r = search_begin(&search, side->fd, side->tree, inodes[0], inodes[count - 1],
			     BTRFS_INODE_REF_KEY, BTRFS_INODE_EXTREF_KEY, 0);
	bool more = !r;

	while (more && (r = search_next(&search)) > 0) {
		yield_look(&side->delta->yield);
		while (inodes[at] < search.header.objectid)
			at++;
		if (inodes[at] == search.header.objectid)
			r = delta_references(side, &search);
		more = r > 0;
	}
	search_end(&search);
	return more && !r ? 1 : r;
}

/* The number of the COUNT INODES, ascending, that lie close together from the first one on. */
static size_t delta_run(const uint64_t *inodes, size_t count)
{
	size_t length = 1;

	while (length < count && inodes[length] - inodes[length - 1] <= DELTA_GAP)
		length++;
	return length;
}

/*
 * Add INODE to the changed ones, unless it is among the first COUNT from *AT on: 1, 0 when they are
 * too many, or -ENOMEM.
 */
static int delta_mark(struct delta *delta, uint64_t inode, size_t count, size_t *at)
{
	int r;

	while (*at < count && delta->inodes[*at] < inode)
		++*at;
	if (*at < count && delta->inodes[*at] == inode)
		return 1;
	if (delta->inodes_count >= delta_limit(delta->limits.inodes, DELTA_INODES_MAX))
		return 0;
	r = fault_reserve(delta->fault, &delta->inodes, delta->inodes_count, 1,
			  &delta->inodes_capacity, sizeof(*delta->inodes));
	if (r)
		return r;
	delta->inodes[delta->inodes_count++] = inode;
	return 1;
}

/*
 * Collect the inodes of SIDE that were changed after GENERATION: 1, 0 when they are too many, or
 * -errno.
 */
static int delta_inodes(struct delta_side *side, uint64_t generation)
{
	struct delta *delta = side->delta;
	size_t others = delta->inodes_count, at = 0;
	struct search search;
	int r = search_begin(&search, side->fd, side->tree, ABI_SUBVOL_ROOT_INODE,
			     BTRFS_LAST_FREE_OBJECTID, BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY,
			     generation + 1);
	bool more = !r;

	while (more && (r = search_next(&search)) > 0) {
		struct btrfs_inode_item item;

		yield_look(&delta->yield);
		if (atomic_load(delta->cancelled))
			r = -ECANCELED;
		else if (search.header.len >= sizeof(item)) {
			memcpy(&item, search.item, sizeof(item));
			/* An item may share its leaf with a changed one. */
			if (le64toh(item.transid) > generation)
				r = delta_mark(delta, search.header.objectid, others, &at);
		}
		more = r > 0;
	}
	search_end(&search);
	return more && !r ? 1 : r;
}

/* Order numbers. */
static int delta_order(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Advance SEARCH to the item of INODE: 1 and *RET_ITEM, 0 when it is not there, or -errno. */
static int delta_item(struct search *search, uint64_t inode, struct btrfs_inode_item *ret_item)
{
	int r = 1;

	while (r > 0 && (!search->item || search->header.objectid < inode))
		r = search_next(search);
	if (r <= 0 || search->header.objectid != inode || search->header.len < sizeof(*ret_item))
		return MIN(r, 0);
	memcpy(ret_item, search->item, sizeof(*ret_item));
	return 1;
}

/*
 * Was the inode with these ITEMS in the two trees at most read since they were the same? Equal
 * items prove nothing where their ctime is in the tick of the clock when that was, or later.
 * Overwrites ITEMS.
 */
static bool delta_read_only(const struct ancestor_common *common, struct btrfs_inode_item items[2])
{
	for (unsigned i = 0; i < 2; i++) {
		items[i].transid = 0;
		memset(&items[i].atime, 0, sizeof(items[i].atime));
	}
	return time_before((time_t)le64toh(items[0].ctime.sec), le32toh(items[0].ctime.nsec),
			   &common->time) &&
	       !memcmp(&items[0], &items[1], sizeof(items[0]));
}

/* Look at COUNT inodes in both trees, and set those that were only read to 0. */
static int delta_compare(const struct delta_side sides[2], uint64_t *inodes, size_t count,
			 const struct ancestor_common *common)
{
	struct search searches[2] = { { .args = NULL } };
	struct btrfs_inode_item items[2];
	int r = 0;

	for (unsigned i = 0; !r && i < 2; i++)
		r = search_begin(&searches[i], sides[i].fd, sides[i].tree, inodes[0],
				 inodes[count - 1], BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY, 0);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		yield_look(&sides[0].delta->yield);
		r = delta_item(&searches[0], inodes[i], &items[0]);
		if (r > 0)
			r = delta_item(&searches[1], inodes[i], &items[1]);
		if (r > 0 && delta_read_only(common, items))
			inodes[i] = 0;
		if (atomic_load(sides[0].delta->cancelled))
			r = -ECANCELED;
	}
	search_end(&searches[0]);
	search_end(&searches[1]);
	return MIN(r, 0);
}

/*
 * Drop inodes whose atime alone was written. All that is compared later (content, entries,
 * attributes) changes other times, and the sequence number, as well.
 */
static int delta_filter(struct delta *delta, const struct delta_side sides[2],
			const struct ancestor_common *common)
{
	size_t count = 0, length = 0;
	int r = 0;

	if (delta->inodes_count > 1)
		qsort(delta->inodes, delta->inodes_count, sizeof(*delta->inodes), delta_order);
	for (size_t i = 0; !r && i < delta->inodes_count; i += length) {
		length = delta_run(delta->inodes + i, delta->inodes_count - i);
		r = delta_compare(sides, delta->inodes + i, length, common);
	}
	for (size_t i = 0; i < delta->inodes_count; i++)
		if (delta->inodes[i])
			delta->inodes[count++] = delta->inodes[i];
	delta->inodes_found = delta->inodes_count;
	delta->inodes_count = count;
	return r ? r : 1;
}

/* Hint at the subvolumes that are nested in SIDE: 1, 0 when it is too much, or -errno. */
static int delta_nested(struct delta_side *side)
{
	struct search search;
	int r = search_begin(&search, side->fd, BTRFS_ROOT_TREE_OBJECTID, side->tree, side->tree,
			     BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY, 0);
	bool more = !r;

	while (more && (r = search_next(&search)) > 0) {
		yield_look(&side->delta->yield);
		char name[VARVE_ID_MAX + 1];
		uint64_t directory;

		r = search_reference(&search, &directory, name);
		if (!r)
			r = delta_hint(side, directory, name, strlen(name), true);
		more = r > 0;
	}
	search_end(&search);
	return more && !r ? 1 : r;
}

/* Hint at all names of the COUNT INODES, ascending: 1, 0 when it is too much, or -errno. */
static int delta_level(struct delta_side *side, const uint64_t *inodes, size_t count)
{
	int r = 1;

	for (size_t i = 0, length; r > 0 && i < count; i += length) {
		length = delta_run(inodes + i, count - i);
		r = atomic_load(side->delta->cancelled) ? -ECANCELED
							: delta_names(side, inodes + i, length);
	}
	return r;
}

/*
 * Hint at all ancestors of what was changed, up to the root of SIDE, level by level, so that
 * neighbours are found by one search: 1, 0 when it is too much, or -errno.
 */
static int delta_ways(struct delta_side *side)
{
	int r = delta_nested(side);

	if (r > 0)
		r = delta_level(side, side->delta->inodes, side->delta->inodes_count);
	while (r > 0 && side->pending_count) {
		uint64_t *level = TAKE_PTR(side->pending);
		size_t count = side->pending_count;

		side->pending_count = side->pending_capacity = 0;
		qsort(level, count, sizeof(*level), delta_order);
		r = delta_level(side, level, count);
		free(level);
	}
	free(side->pending);
	return r;
}

int delta_collect(struct delta *delta, const int fds[2])
{
	struct delta_side sides[2] = { { .delta = delta, .fd = fds[0] },
				       { .delta = delta, .fd = fds[1], .index = 1 } };
	int r = subvol_number(fds[0], &sides[0].tree);

	delta->directories.fault = delta->fault;
	if (!r)
		r = subvol_number(fds[1], &sides[1].tree);
	if (!r)
		r = ancestor_common(fds[0], sides[0].tree, sides[1].tree, &delta->common);
	for (unsigned i = 0; r > 0 && i < 2; i++)
		r = delta_inodes(&sides[i], delta->common.generation);
	if (r > 0)
		r = delta_filter(delta, sides, &delta->common);
	for (unsigned i = 0; r > 0 && i < 2; i++)
		r = delta_ways(&sides[i]);
	return r == -EPERM ? 0 : r;
}

bool delta_leads(const struct delta *delta, uint64_t directory)
{
	return inode_map_find(&delta->directories, directory, 0);
}

bool delta_unnamed(const struct delta *delta, uint64_t directory)
{
	const uint64_t *value = inode_map_find(&delta->directories, directory, 0);

	return value && *value & DELTA_UNNAMED;
}

const struct delta_hint *delta_first(const struct delta *delta, uint64_t directory)
{
	const uint64_t *value = inode_map_find(&delta->directories, directory, 0);

	return value && (uint32_t)*value ? &delta->hints[(uint32_t)*value - 1] : NULL;
}

const struct delta_hint *delta_next(const struct delta *delta, const struct delta_hint *hint)
{
	return hint->next ? &delta->hints[hint->next - 1] : NULL;
}

void delta_free(struct delta *delta)
{
	inode_map_free(&delta->directories);
	free(delta->inodes);
	free(delta->hints);
	free(delta->names);
	*delta = (struct delta){ .limits = delta->limits,
				 .fault = delta->fault,
				 .cancelled = delta->cancelled,
				 .yield.wakes = delta->yield.wakes };
}
