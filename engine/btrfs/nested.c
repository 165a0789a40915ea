/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root tree has an item (PARENT, ROOT_REF, CHILD) for each subvolume that lies in another. We read them breadth first:
 * the list of what was found is its own queue, and its reverse is an order in which children come before parents.
 */
#include "engine/btrfs/nested.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

/* Append ID. */
static int nested_push(struct nested *nested, uint64_t id, struct fault *fault)
{
	if (nested->count == nested->capacity) {
		size_t capacity = nested->capacity ? nested->capacity * 2 : 64;
		uint64_t *ids = fault_realloc(fault, nested->ids, capacity * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		nested->ids = ids;
		nested->capacity = capacity;
	}
	nested->ids[nested->count++] = id;
	return 0;
}

/* Append the subvolumes that lie directly in PARENT. */
static int nested_children(struct nested *nested, int fd, uint64_t parent, struct fault *fault)
{
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, parent, parent, BTRFS_ROOT_REF_KEY,
			     BTRFS_ROOT_REF_KEY, 0);

	while (!r && nested->count < NESTED_MAX && (r = search_next(&search)) > 0)
		r = nested_push(nested, search.header.offset, fault);
	search_end(&search);
	return MIN(r, 0);
}

int nested_collect(struct nested *nested, int fd, uint64_t root, struct fault *fault)
{
	size_t begin = nested->count;
	int r = nested_children(nested, fd, root, fault);

	for (size_t next = begin; !r && next < nested->count; next++)
		r = nested_children(nested, fd, nested->ids[next], fault);
	if (r)
		nested->count = begin;
	return r;
}

int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed)
{
	int r = 0;

	for (*ret_destroyed = 0; !r && nested->count && *ret_destroyed < max; *ret_destroyed += !r) {
		r = subvol_destroy_id(fd, nested->ids[--nested->count]);
		if (r == -ENOENT || r == -ENOTEMPTY)
			r = 0;
	}
	return r;
}

void nested_free(struct nested *nested)
{
	free(nested->ids);
	*nested = (struct nested){ 0 };
}
