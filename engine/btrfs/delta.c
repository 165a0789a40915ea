/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/delta.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"
#include "engine/btrfs/uuid.h"

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

/* Inodes whose numbers lie so close to each other are looked at by one search. */
#define DELTA_GAP 16

/* One of the two trees. */
struct delta_side {
	struct delta *delta;
	int fd;
	uint64_t tree;
	/* 0 or 1. */
	unsigned index;
	/* Directories on ways to the root that are still to be hinted themselves. */
	uint64_t *pending;
	size_t pending_count, pending_capacity;
};

/* Make room for one more element of SIZE bytes in ARRAY, which has COUNT of *CAPACITY. */
static int delta_reserve(struct delta *delta, void **array, size_t count, size_t *capacity, size_t size)
{
	size_t grown = MAX(*capacity * 2, (size_t)256);
	void *memory;

	if (count < *capacity)
		return 0;
	memory = fault_realloc(delta->fault, *array, grown * size);
	if (!memory)
		return -ENOMEM;
	*array = memory;
	*capacity = grown;
	return 0;
}

/* Keep the LENGTH bytes of NAME; *RET_AT is where. */
static int delta_keep_name(struct delta *delta, const char *name, size_t length, size_t *ret_at)
{
	if (delta->names_size + length + 1 > delta->names_capacity) {
		size_t grown = MAX(delta->names_capacity * 2, (size_t)4096);
		char *names = fault_realloc(delta->fault, delta->names, grown);

		if (!names)
			return -ENOMEM;
		delta->names = names;
		delta->names_capacity = grown;
	}
	memcpy(delta->names + delta->names_size, name, length);
	delta->names[delta->names_size + length] = '\0';
	*ret_at = delta->names_size;
	delta->names_size += length + 1;
	return 0;
}

/* Hint at NAME in DIRECTORY. */
static int delta_hint(struct delta *delta, uint64_t directory, const char *name, size_t length, bool forced)
{
	struct delta_hint hint = { .forced = forced };
	uint64_t *first;
	int r = delta_reserve(delta, (void **)&delta->entries, delta->entries_count, &delta->entries_capacity,
			      sizeof(*delta->entries));

	if (!r)
		r = delta_keep_name(delta, name, length, &hint.name);
	if (r)
		return r;
	first = idmap_add(&delta->hints, directory, 0, NULL);
	if (!first)
		return -ENOMEM;
	hint.next = *first;
	delta->entries[delta->entries_count++] = hint;
	*first = delta->entries_count;
	delta->forced_count += forced;
	return 0;
}

/* Let the way of INODE to the root be hinted, once. */
static int delta_trace(struct delta_side *side, uint64_t inode)
{
	bool added;
	int r;

	if (!idmap_add(&side->delta->traced, inode, side->index, &added))
		return -ENOMEM;
	if (!added || inode == ABI_SUBVOL_ROOT_INODE)
		return 0;
	r = delta_reserve(side->delta, (void **)&side->pending, side->pending_count, &side->pending_capacity,
			  sizeof(*side->pending));
	if (!r)
		side->pending[side->pending_count++] = inode;
	return r;
}

bool delta_changed(const struct delta *delta, uint64_t inode)
{
	const uint64_t *changed = idmap_find(&delta->changed, inode, 0);

	return changed && *changed;
}

/* Hint at a name that an inode has: NAME in PARENT. */
static int delta_reference(struct delta_side *side, uint64_t parent, const char *name, size_t length)
{
	int r = delta_hint(side->delta, parent, name, length, false);

	return r ? r : delta_trace(side, parent);
}

/* Hint at each name in an INODE_REF or INODE_EXTREF item. */
static int delta_references(struct delta_side *side, const struct search *search)
{
	bool extended = search->header.type == BTRFS_INODE_EXTREF_KEY;
	const char *at = search->item, *end = at + search->header.len;
	size_t head = extended ? sizeof(struct btrfs_inode_extref) : sizeof(struct btrfs_inode_ref);
	int r = 0;

	while (!r && (size_t)(end - at) >= head) {
		uint64_t parent = search->header.offset;
		uint16_t length;

		if (extended) {
			memcpy(&parent, at + offsetof(struct btrfs_inode_extref, parent_objectid), sizeof(parent));
			parent = le64toh(parent);
			memcpy(&length, at + offsetof(struct btrfs_inode_extref, name_len), sizeof(length));
		} else
			memcpy(&length, at + offsetof(struct btrfs_inode_ref, name_len), sizeof(length));
		length = le16toh(length);
		if (length > (size_t)(end - at) - head)
			return -EUCLEAN;
		r = delta_reference(side, parent, at + head, length);
		at += head + length;
	}
	return r;
}

/* Hint at all names of INODE. */
static int delta_names(struct delta_side *side, uint64_t inode)
{
	struct search search;
	int r = search_begin(&search, side->fd, side->tree, inode, inode, BTRFS_INODE_REF_KEY, BTRFS_INODE_EXTREF_KEY, 0);

	while (!r && (r = search_next(&search)) > 0)
		r = delta_references(side, &search);
	search_end(&search);
	return MIN(r, 0);
}

/* Take INODE for changed. */
static int delta_mark(struct delta *delta, uint64_t inode)
{
	uint64_t *changed = idmap_add(&delta->changed, inode, 0, NULL);

	if (!changed)
		return -ENOMEM;
	*changed = 1;
	return 0;
}

/* Collect the inodes of SIDE that were changed after GENERATION: 1, 0 when they are too many, or -errno. */
static int delta_inodes(struct delta_side *side, uint64_t generation)
{
	struct delta *delta = side->delta;
	struct search search;
	int r = search_begin(&search, side->fd, side->tree, ABI_SUBVOL_ROOT_INODE, BTRFS_LAST_FREE_OBJECTID,
			     BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY, generation + 1);

	while (!r && (r = search_next(&search)) > 0) {
		struct btrfs_inode_item item;

		r = 0;
		if (atomic_load(delta->cancelled))
			r = -ECANCELED;
		if (r || search.header.len < sizeof(item))
			continue;
		/* An item may share its leaf with a changed one. */
		memcpy(&item, search.item, sizeof(item));
		if (le64toh(item.transid) <= generation)
			continue;
		if (delta->changed.count == (delta->inodes_max ? delta->inodes_max : DELTA_INODES_MAX)) {
			search_end(&search);
			return 0;
		}
		r = delta_mark(delta, search.header.objectid);
	}
	search_end(&search);
	return r < 0 ? r : 1;
}

/* Order numbers. */
static int delta_order(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Go on with SEARCH to the item of INODE: 1 and *RET_ITEM but for when it was read and written, 0 when it is not there. */
static int delta_item(struct search *search, uint64_t inode, struct btrfs_inode_item *ret_item)
{
	int r = 1;

	while (r > 0 && (!search->item || search->header.objectid < inode))
		r = search_next(search);
	if (r <= 0 || search->header.objectid != inode || search->header.len < sizeof(*ret_item))
		return MIN(r, 0);
	memcpy(ret_item, search->item, sizeof(*ret_item));
	ret_item->transid = 0;
	memset(&ret_item->atime, 0, sizeof(ret_item->atime));
	return 1;
}

/* Look at COUNT inodes in both trees: those that were but read are not changed. */
static int delta_compare(const struct delta_side sides[2], const uint64_t *inodes, size_t count)
{
	struct search searches[2] = { { .args = NULL } };
	struct btrfs_inode_item items[2];
	int r = 0;

	for (unsigned i = 0; !r && i < 2; i++)
		r = search_begin(&searches[i], sides[i].fd, sides[i].tree, inodes[0], inodes[count - 1], BTRFS_INODE_ITEM_KEY,
				 BTRFS_INODE_ITEM_KEY, 0);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = delta_item(&searches[0], inodes[i], &items[0]);
		if (r > 0)
			r = delta_item(&searches[1], inodes[i], &items[1]);
		if (r > 0 && !memcmp(&items[0], &items[1], sizeof(items[0])))
			*idmap_find(&sides[0].delta->changed, inodes[i], 0) = 0;
		if (atomic_load(sides[0].delta->cancelled))
			r = -ECANCELED;
	}
	search_end(&searches[0]);
	search_end(&searches[1]);
	return MIN(r, 0);
}

/*
 * Pass over inodes that were only read: that writes the time of access. Whatever is compared later leaves its mark beside that:
 * content, entries and attributes in the inode's sequence number and times.
 */
static int delta_filter(struct delta *delta, const struct delta_side sides[2])
{
	uint64_t *inodes = fault_calloc(delta->fault, delta->changed.count + 1, sizeof(*inodes));
	size_t count = 0;
	int r = inodes ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < delta->changed.capacity; i++)
		if (delta->changed.slots[i].used)
			inodes[count++] = delta->changed.slots[i].key;
	if (!r)
		qsort(inodes, count, sizeof(*inodes), delta_order);
	for (size_t i = 0; !r && i < count;) {
		size_t first = i++;

		while (i < count && inodes[i] - inodes[i - 1] <= DELTA_GAP)
			i++;
		r = delta_compare(sides, inodes + first, i - first);
	}
	free(inodes);
	return r;
}

/* Hint at the subvolumes that are nested in SIDE. */
static int delta_nested(struct delta_side *side)
{
	struct search search;
	int r = search_begin(&search, side->fd, BTRFS_ROOT_TREE_OBJECTID, side->tree, side->tree, BTRFS_ROOT_REF_KEY,
			     BTRFS_ROOT_REF_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		struct btrfs_root_ref ref;
		size_t length;

		r = 0;
		if (search.header.len < sizeof(ref))
			continue;
		memcpy(&ref, search.item, sizeof(ref));
		length = MIN(le16toh(ref.name_len), search.header.len - sizeof(ref));
		r = delta_hint(side->delta, le64toh(ref.dirid), (const char *)search.item + sizeof(ref), length, true);
		if (!r)
			r = delta_trace(side, le64toh(ref.dirid));
	}
	search_end(&search);
	return MIN(r, 0);
}

/* Hint at everything on the ways from what was changed to the root of SIDE. */
static int delta_ways(struct delta_side *side)
{
	struct delta *delta = side->delta;
	int r = delta_nested(side);

	for (size_t i = 0; !r && i < delta->changed.capacity; i++)
		if (delta->changed.slots[i].used && delta->changed.slots[i].value)
			r = delta_trace(side, delta->changed.slots[i].key);
	while (!r && side->pending_count) {
		r = delta_names(side, side->pending[--side->pending_count]);
		if (!r && atomic_load(delta->cancelled))
			r = -ECANCELED;
	}
	return r;
}

int delta_collect(struct delta *delta, const int fds[2])
{
	struct delta_side sides[2] = { { .delta = delta, .fd = fds[0] }, { .delta = delta, .fd = fds[1], .index = 1 } };
	uint64_t generation = 0;
	int r = subvol_number(fds[0], &sides[0].tree);

	delta->changed.fault = delta->hints.fault = delta->traced.fault = delta->fault;
	if (!r)
		r = subvol_number(fds[1], &sides[1].tree);
	if (!r)
		r = uuid_common_generation(fds[0], sides[0].tree, sides[1].tree, &generation);
	for (unsigned i = 0; r > 0 && i < 2; i++)
		r = delta_inodes(&sides[i], generation);
	if (r > 0) {
		r = delta_filter(delta, sides);
		r = r ? r : 1;
	}
	for (unsigned i = 0; r > 0 && i < 2; i++) {
		r = delta_ways(&sides[i]);
		r = r ? r : 1;
		free(sides[i].pending);
	}
	return r == -EPERM ? 0 : r;
}

const struct delta_hint *delta_first(const struct delta *delta, uint64_t directory)
{
	const uint64_t *first = idmap_find(&delta->hints, directory, 0);

	return first ? &delta->entries[*first - 1] : NULL;
}

const struct delta_hint *delta_next(const struct delta *delta, const struct delta_hint *hint)
{
	return hint->next ? &delta->entries[hint->next - 1] : NULL;
}

void delta_free(struct delta *delta)
{
	idmap_free(&delta->changed);
	idmap_free(&delta->hints);
	idmap_free(&delta->traced);
	free(delta->entries);
	free(delta->names);
}
