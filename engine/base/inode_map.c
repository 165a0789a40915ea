/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/inode_map.h"

/* Slots of the first table. */
#define INODE_MAP_CAPACITY_MIN 64

/* The slot of (KEY, SCOPE), or the free one where it belongs. There is a free one. */
static struct inode_map_slot *inode_map_slot(const struct inode_map *map, uint64_t key,
					     uint64_t scope)
{
	/*
	 * Mix both numbers: inode numbers come in runs, and a table of runs would be searched from
	 * end to end.
	 */
	uint64_t hash = (key ^ scope << 40 ^ scope >> 24) * 0x9e3779b97f4a7c15ull;
	size_t mask = map->capacity - 1, at = (size_t)(hash ^ hash >> 32) & mask;

	while (map->slots[at].key && (map->slots[at].key != key || map->slots[at].scope != scope))
		at = (at + 1) & mask;
	return &map->slots[at];
}

uint64_t *inode_map_find(const struct inode_map *map, uint64_t key, uint64_t scope)
{
	struct inode_map_slot *slot = map->slots ? inode_map_slot(map, key, scope) : NULL;

	return slot && slot->key ? &slot->value : NULL;
}

/* Double the table. */
static int inode_map_grow(struct inode_map *map)
{
	struct inode_map grown = { .capacity = map->capacity ? map->capacity * 2
							     : INODE_MAP_CAPACITY_MIN,
				   .count = map->count,
				   .fault = map->fault };

	grown.slots = fault_calloc(map->fault, grown.capacity, sizeof(*grown.slots));
	if (!grown.slots)
		return -1;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].key)
			*inode_map_slot(&grown, map->slots[i].key,
					map->slots[i].scope) = map->slots[i];
	free(map->slots);
	*map = grown;
	return 0;
}

uint64_t *inode_map_add(struct inode_map *map, uint64_t key, uint64_t scope, bool *ret_added)
{
	struct inode_map_slot *slot;
	bool added;

	if (map->count + 1 > map->capacity / 4 * 3 && inode_map_grow(map))
		return NULL;
	slot = inode_map_slot(map, key, scope);
	added = !slot->key;
	if (added) {
		*slot = (struct inode_map_slot){ .key = key, .scope = scope };
		map->count++;
	}
	if (ret_added)
		*ret_added = added;
	return &slot->value;
}

void inode_map_free(struct inode_map *map)
{
	free(map->slots);
	*map = (struct inode_map){ .fault = map->fault };
}
