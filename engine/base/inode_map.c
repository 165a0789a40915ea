/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/inode_map.h"

/* Slots of the first table. */
#define IDMAP_CAPACITY_MIN 64

/* Mix both numbers: inode numbers come in runs, and a table of runs would be searched from end to end. */
static size_t idmap_hash(uint64_t key, uint64_t scope)
{
	uint64_t hash = (key ^ scope << 40 ^ scope >> 24) * 0x9e3779b97f4a7c15ull;

	return (size_t)(hash ^ hash >> 32);
}

/* The slot of (KEY, SCOPE), or the free one where it belongs. There is a free one. */
static struct idmap_slot *idmap_slot(const struct idmap *map, uint64_t key, uint64_t scope)
{
	size_t mask = map->capacity - 1, at = idmap_hash(key, scope) & mask;

	while (map->slots[at].key && (map->slots[at].key != key || map->slots[at].scope != scope))
		at = (at + 1) & mask;
	return &map->slots[at];
}

uint64_t *idmap_find(const struct idmap *map, uint64_t key, uint64_t scope)
{
	struct idmap_slot *slot = map->slots ? idmap_slot(map, key, scope) : NULL;

	return slot && slot->key ? &slot->value : NULL;
}

/* Double the table. */
static int idmap_grow(struct idmap *map)
{
	struct idmap grown = { .capacity = map->capacity ? map->capacity * 2 : IDMAP_CAPACITY_MIN,
			       .count = map->count, .fault = map->fault };

	grown.slots = fault_calloc(map->fault, grown.capacity, sizeof(*grown.slots));
	if (!grown.slots)
		return -1;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].key)
			*idmap_slot(&grown, map->slots[i].key, map->slots[i].scope) = map->slots[i];
	free(map->slots);
	*map = grown;
	return 0;
}

uint64_t *idmap_add(struct idmap *map, uint64_t key, uint64_t scope, bool *ret_added)
{
	struct idmap_slot *slot;
	bool added;

	if (map->count + 1 > map->capacity / 4 * 3 && idmap_grow(map))
		return NULL;
	slot = idmap_slot(map, key, scope);
	added = !slot->key;
	if (added) {
		*slot = (struct idmap_slot){ .key = key, .scope = scope };
		map->count++;
	}
	if (ret_added)
		*ret_added = added;
	return &slot->value;
}

void idmap_free(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){ .fault = map->fault };
}
