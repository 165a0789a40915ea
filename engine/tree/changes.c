/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/changes.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <limits.h>
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

/* Add the path of LENGTH bytes at the beginning of DIRECTORY, then "/NAME" unless NAME is NULL, then "/" if it is INSIDE. */
static int changes_append(struct changes *changes, enum varve_change_kind kind, const char *directory, size_t length,
			  const char *name, bool inside)
{
	size_t rest = name ? strlen(name) + 1 : 0;
	char *path;

	if (changes_reserve(changes, 1))
		return -ENOMEM;
	path = changes_room(changes, length + rest + inside + 1);
	if (!path)
		return -ENOMEM;
	memcpy(path, directory, length);
	if (name) {
		path[length] = '/';
		memcpy(path + length + 1, name, rest - 1);
	}
	if (inside)
		path[length + rest] = '/';
	path[length + rest + inside] = '\0';
	changes->list[changes->count++] = (struct varve_change){ .path = path, .kind = kind };
	return 0;
}

int changes_add(struct changes *changes, enum varve_change_kind kind, const char *directory, const char *name)
{
	return changes_append(changes, kind, directory, strlen(directory), name, false);
}

int changes_add_inside(struct changes *changes, const char *directory, const char *name)
{
	changes->inside = true;
	return changes_append(changes, VARVE_CHANGE_ADD, directory, strlen(directory), name, true);
}

int changes_add_ancestors(struct changes *changes, const char *directory)
{
	int r = 0;

	for (size_t length = strlen(directory); !r && length; length--)
		if (!directory[length] || directory[length] == '/')
			r = changes_append(changes, VARVE_CHANGE_MODIFY, directory, length, NULL, false);
	return r;
}

int changes_take(struct changes *to, struct changes *from)
{
	struct changes_block **end = &from->blocks;

	if (!to->count) {
		free(to->list);
		to->list = TAKE_PTR(from->list);
		to->capacity = from->capacity;
		from->capacity = 0;
	} else if (changes_reserve(to, from->count))
		return -ENOMEM;
	else if (from->count)
		memcpy(to->list + to->count, from->list, from->count * sizeof(*from->list));
	to->count += from->count;
	to->inside |= from->inside;
	while (*end)
		end = &(*end)->next;
	*end = to->blocks;
	to->blocks = from->blocks;
	to->left = from->blocks ? from->left : to->left;
	from->blocks = NULL;
	from->left = from->count = 0;
	return 0;
}

/* Exchange the changes A and B. */
static void changes_swap(struct varve_change *a, struct varve_change *b)
{
	struct varve_change change = *a;

	*a = *b;
	*b = change;
}

/* The byte of CHANGE's path at DEPTH; behind the end, where nothing follows, the kind. */
static int changes_key(const struct varve_change *change, size_t depth)
{
	unsigned char byte = (unsigned char)change->path[depth];

	return byte ? byte + UCHAR_MAX : (int)change->kind;
}

/*
 * Sort COUNT changes from LIST on, whose paths are the same up to DEPTH, by path, then kind: in three parts by one byte, those
 * parts likewise, the largest last and without a call. In place, as the C library's qsort() is not: a million changes are many
 * MiB as it is.
 */
static void changes_sort_from(struct varve_change *list, size_t count, size_t depth)
{
	while (count > 1) {
		int middle = changes_key(&list[count / 2], depth);
		size_t less = 0, at = 0, more = count;

		while (at < more) {
			int key = changes_key(&list[at], depth);

			if (key < middle)
				changes_swap(&list[less++], &list[at++]);
			else if (key > middle)
				changes_swap(&list[at], &list[--more]);
			else
				at++;
		}
		/* Those in the middle are at their ends when that was a kind. */
		at = middle > UCHAR_MAX ? more - less : 0;
		if (at >= less && at >= count - more) {
			changes_sort_from(list, less, depth);
			changes_sort_from(list + more, count - more, depth);
			list += less;
			count = at;
			depth++;
		} else if (less >= count - more) {
			changes_sort_from(list + less, at, depth + 1);
			changes_sort_from(list + more, count - more, depth);
			count = less;
		} else {
			changes_sort_from(list + less, at, depth + 1);
			changes_sort_from(list, less, depth);
			list += more;
			count -= more;
		}
	}
}

void changes_sort(struct changes *changes)
{
	size_t count = 0;

	changes_sort_from(changes->list, changes->count, 0);
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
