/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree search (BTRFS_IOC_TREE_SEARCH_V2, CAP_SYS_ADMIN) as an iterator. The kernel's key range is
 * lexicographic over (objectid, type, offset), so items of other types come back in between;
 * search_next() drops what lies outside of the box that was asked for.
 *
 *	struct search search;
 *
 *	r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, id, id, BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY, 0);
 *	while (!r && (r = search_next(&search)) > 0)
 *		... search.header, search.item ...
 *	search_end(&search);
 */
#ifndef VARVE_BTRFS_SEARCH_H
#define VARVE_BTRFS_SEARCH_H

#include "engine/btrfs/abi.h"

#include <stdbool.h>
#include <stddef.h>

struct search {
	/* The directory whose file system is searched. */
	int fd;
	/* The rest of the search, and the whole box. */
	struct btrfs_ioctl_search_key key, box;
	/* The ioctl's argument and result, on the heap. */
	struct btrfs_ioctl_search_args_v2 *args;
	/* Items left in the result, and the position of the next one. */
	uint32_t left;
	size_t position;
	/* The current item: its key and size, and its bytes (not aligned). */
	struct btrfs_ioctl_search_header header;
	const void *item;
};

/*
 * Search TREE for items of objects and types in these ranges (inclusive), in leaves of transaction
 * TRANSID_MIN or later.
 */
int search_begin(struct search *search, int fd, uint64_t tree, uint64_t object_min,
		 uint64_t object_max, uint32_t type_min, uint32_t type_max, uint64_t transid_min);

/* Go to the next item: 1, 0 when there is none, or -errno. */
int search_next(struct search *search);

/*
 * Parse the current item, a ROOT_REF or ROOT_BACKREF: the directory, and the name in it
 * (VARVE_ID_MAX + 1 bytes). 0, or -EUCLEAN when the name is not inside of the item.
 */
int search_reference(const struct search *search, uint64_t *ret_directory, char *ret_name);

/* An attribute in an XATTR_ITEM; neither end is marked by a NUL. */
struct search_attribute {
	const char *name, *value;
	size_t name_bytes, value_bytes;
	/* The transaction that wrote it. */
	uint64_t transid;
	/* Where it ends in the item; more than the item has when it is damaged. */
	size_t end;
};

/*
 * Go to the next attribute in the current item, an XATTR_ITEM: names with the same hash share one.
 * ATTRIBUTE is all 0 at first. False at the end, or at one that is not inside of the item.
 */
bool search_attribute(const struct search *search, struct search_attribute *attribute);

/* Free SEARCH; harmless after search_begin() has failed. */
void search_end(struct search *search);

#endif
