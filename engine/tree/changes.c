/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/changes.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <string.h>

struct changes_block {
	struct changes_block *next;
	size_t size;
	char bytes[];
};

/* Room for SIZE bytes, or NULL. */
static char *changes_room(struct changes *changes, size_t size)
{
	if (size > changes->left) {
		size_t bytes = MAX(size, CHANGES_BLOCK_BYTES - sizeof(struct changes_block));
		struct changes_block *block = fault_realloc(changes->fault, NULL, sizeof(*block) + bytes);

		if (!block)
			return NULL;
		block->next = changes->blocks;
		block->size = changes->left = bytes;
		changes->blocks = block;
	}
	changes->left -= size;
	return changes->blocks->bytes + changes->blocks->size - changes->left - size;
}

/* See that COUNT more fit into the list. */
static int changes_reserve(struct changes *changes, size_t count)
{
	size_t capacity = MAX(changes->capacity + changes->capacity / 2, MAX(changes->count + count, (size_t)64));
	struct varve_change *list;

	if (changes->count + count <= changes->capacity)
		return 0;
	list = fault_realloc(changes->fault, changes->list, capacity * sizeof(*list));
	if (!list)
		return -ENOMEM;
	changes->list = list;
	changes->capacity = capacity;
	return 0;
}

/* Add the path of LENGTH bytes at the beginning of DIRECTORY, then "/NAME" unless NAME is NULL. */
static int changes_append(struct changes *changes, enum varve_change_kind kind, const char *directory, size_t length,
			  const char *name)
{
	size_t rest = name ? strlen(name) + 1 : 0;
	char *path;

	if (changes_reserve(changes, 1))
		return -ENOMEM;
	path = changes_room(changes, length + rest + 1);
	if (!path)
		return -ENOMEM;
	memcpy(path, directory, length);
	if (name) {
		path[length] = '/';
		memcpy(path + length + 1, name, rest - 1);
	}
	path[length + rest] = '\0';
	changes->list[changes->count++] = (struct varve_change){ .path = path, .kind = kind };
	return 0;
}

int changes_add(struct changes *changes, enum varve_change_kind kind, const char *directory, const char *name)
{
	return changes_append(changes, kind, directory, strlen(directory), name);
}

int changes_add_ancestors(struct changes *changes, const char *directory)
{
	int r = 0;

	for (size_t length = strlen(directory); !r && length; length--)
		if (!directory[length] || directory[length] == '/')
			r = changes_append(changes, VARVE_CHANGE_MODIFY, directory, length, NULL);
	return r;
}

int changes_take(struct changes *to, struct changes *from)
{
	struct changes_block **end = &from->blocks;

	if (changes_reserve(to, from->count))
		return -ENOMEM;
	if (from->count)
		memcpy(to->list + to->count, from->list, from->count * sizeof(*from->list));
	to->count += from->count;
	while (*end)
		end = &(*end)->next;
	*end = to->blocks;
	to->blocks = from->blocks;
	to->left = from->blocks ? from->left : to->left;
	from->blocks = NULL;
	from->left = from->count = 0;
	return 0;
}

/* Order by path, then kind. */
static int changes_compare(const void *a, const void *b)
{
	const struct varve_change *left = a, *right = b;
	int order = strcmp(left->path, right->path);

	return order ? order : (int)left->kind - (int)right->kind;
}

void changes_sort(struct changes *changes)
{
	size_t count = 0;

	if (changes->count)
		qsort(changes->list, changes->count, sizeof(*changes->list), changes_compare);
	for (size_t i = 0; i < changes->count; i++)
		if (!count || strcmp(changes->list[count - 1].path, changes->list[i].path))
			changes->list[count++] = changes->list[i];
	changes->count = count;
}

void changes_free(struct changes *changes)
{
	struct changes_block *block;

	while ((block = changes->blocks)) {
		changes->blocks = block->next;
		free(block);
	}
	free(changes->list);
	*changes = (struct changes){ .fault = changes->fault };
}
