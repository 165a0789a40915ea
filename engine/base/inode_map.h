/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from a pair of numbers (an inode and its scope) to a number: open addressing, grown by
 * doubling.
 */
#ifndef VARVE_BASE_INODE_MAP_H
#define VARVE_BASE_INODE_MAP_H

#include "engine/base/fault.h"

#include <stdint.h>

struct inode_map_slot {
	/* KEY is 0 where the slot is free: no inode has that number. */
	uint64_t key, scope;
	/* The value of the pair. */
	uint64_t value;
};

struct inode_map {
	/* The slots: a power of two, at most three quarters used; NULL while the map is empty. */
	struct inode_map_slot *slots;
	size_t capacity, count;
	struct fault *fault;
};

/*
 * Find (KEY, SCOPE): its value, to be read or changed until the next insertion; NULL when it is not
 * there.
 */
uint64_t *inode_map_find(const struct inode_map *map, uint64_t key, uint64_t scope);

/*
 * Find (KEY, SCOPE), or add it with value 0. NULL without memory. *RET_ADDED (may be NULL) is set
 * where it was added.
 */
uint64_t *inode_map_add(struct inode_map *map, uint64_t key, uint64_t scope, bool *ret_added);

/* Free what MAP holds. */
void inode_map_free(struct inode_map *map);

#endif
