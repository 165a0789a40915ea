/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/ancestor.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <endian.h>
#include <string.h>

int ancestor_number(int fd, const uint8_t *uuid, uint64_t *ret_number)
{
	struct search search;
	uint64_t half[2];
	int r;

	/* The tree's key is the uuid itself, as two little-endian numbers. */
	memcpy(half, uuid, sizeof(half));
	half[0] = le64toh(half[0]);
	half[1] = le64toh(half[1]);
	r = search_begin(&search, fd, BTRFS_UUID_TREE_OBJECTID, half[0], half[0],
			 BTRFS_UUID_KEY_SUBVOL, BTRFS_UUID_KEY_SUBVOL, 0);
	while (!r && (r = search_next(&search)) > 0) {
		uint64_t number;

		if (search.header.offset == half[1] && search.header.len >= sizeof(number)) {
			memcpy(&number, search.item, sizeof(number));
			*ret_number = le64toh(number);
			break;
		}
		r = 0;
	}
	search_end(&search);
	/* A file system that never had a snapshot has no uuid tree. */
	return r == -ENOENT ? 0 : r;
}

/* Where a subvolume comes from, generation by generation. */
struct lineage {
	/* The subvolume, what it is a snapshot of, and so on. */
	uint8_t uuids[LINEAGE_MAX][BTRFS_UUID_SIZE];
	/*
	 * The oldest of the snapshots on the way from the subvolume to the one at the same index.
	 */
	struct ancestor_common oldest[LINEAGE_MAX];
	unsigned count;
};

/* Read the root item of subvolume NUMBER: 1, 0 when there is none, or -errno. */
static int lineage_root(int fd, uint64_t number, struct btrfs_root_item *ret_root)
{
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, number, number,
			     BTRFS_ROOT_ITEM_KEY, BTRFS_ROOT_ITEM_KEY, 0);

	if (!r)
		r = search_next(&search);
	/* An item that was written before there were uuids is shorter. */
	if (r > 0 && search.header.len < sizeof(*ret_root))
		r = 0;
	if (r > 0)
		memcpy(ret_root, search.item, sizeof(*ret_root));
	search_end(&search);
	return r;
}

/* Follow subvolume NUMBER to its origin, as far as that is still there. */
static int lineage_read(struct lineage *lineage, int fd, uint64_t number)
{
	struct btrfs_root_item root;
	struct ancestor_common oldest = { .generation = UINT64_MAX };
	int r = lineage_root(fd, number, &root);

	lineage->count = 0;
	if (r > 0) {
		memcpy(lineage->uuids[0], root.uuid, BTRFS_UUID_SIZE);
		lineage->oldest[lineage->count++] = oldest;
	}
	while (r > 0 && lineage->count < LINEAGE_MAX && subvol_is_snapshot(root.parent_uuid)) {
		if (le64toh(root.otransid) < oldest.generation)
			oldest = (struct ancestor_common){
				.generation = le64toh(root.otransid),
				.time = { .tv_sec = (time_t)le64toh(root.otime.sec),
					  .tv_nsec = le32toh(root.otime.nsec) }
			};
		memcpy(lineage->uuids[lineage->count], root.parent_uuid, BTRFS_UUID_SIZE);
		lineage->oldest[lineage->count++] = oldest;
		r = ancestor_number(fd, lineage->uuids[lineage->count - 1], &number);
		if (r > 0)
			r = lineage_root(fd, number, &root);
	}
	return MIN(r, 0);
}

/* Find the nearest subvolume that is in both: 1 and *RET_COMMON, or 0. */
static int lineage_common(const struct lineage *a, const struct lineage *b,
			  struct ancestor_common *ret_common)
{
	for (unsigned i = 0; i < a->count; i++)
		for (unsigned j = 0; j < b->count; j++)
			if (!memcmp(a->uuids[i], b->uuids[j], BTRFS_UUID_SIZE)) {
				*ret_common = a->oldest[i];
				if (b->oldest[j].generation < a->oldest[i].generation)
					*ret_common = b->oldest[j];
				return 1;
			}
	return 0;
}

int ancestor_common(int fd, uint64_t a, uint64_t b, struct ancestor_common *ret_common)
{
	struct lineage *lineages = malloc(2 * sizeof(*lineages));
	int r;

	if (!lineages)
		return -ENOMEM;
	r = lineage_read(&lineages[0], fd, a);
	if (!r)
		r = lineage_read(&lineages[1], fd, b);
	if (!r)
		r = lineage_common(&lineages[0], &lineages[1], ret_common);
	free(lineages);
	return r;
}
