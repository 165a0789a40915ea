/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/change_list.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

/* A piece of memory that holds paths. */
struct change_list_block {
	struct change_list_block *next;
	/* Bytes that are mapped; how many of those below are filled. */
	size_t mapped, used;
	char bytes[];
};

/* Room for SIZE bytes, or NULL. */
static char *change_list_room(struct change_list *changes, size_t size)
{
	struct change_list_block *block = changes->blocks;

	if (!block || size > block->mapped - sizeof(*block) - block->used) {
		size_t bytes = MAX(size + sizeof(*block), (size_t)CHANGES_BLOCK_BYTES);

		/* Mapped, not from the heap, which keeps memory that is freed in its middle. */
		block = fault_hit(changes->fault, FAULT_ALLOCATION)
				? MAP_FAILED
				: mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block == MAP_FAILED)
			return NULL;
		block->next = changes->blocks;
		block->mapped = bytes;
		changes->blocks = block;
	}
	block->used += size;
	return block->bytes + block->used - size;
}

/*
 * Add the path of LENGTH bytes at the beginning of DIRECTORY, then "/NAME" unless NAME is NULL,
 * then "/" if it is INSIDE.
 */
static int change_list_append(struct change_list *changes, enum varve_change_kind kind,
			      const char *directory, size_t length, const char *name, bool inside)
{
	size_t rest = name ? strlen(name) + 1 : 0;
	char *path = change_list_room(changes, 1 + length + rest + inside + 1);

	if (!path)
		return -ENOMEM;
	*path++ = (char)kind;
	memcpy(path, directory, length);
	if (name) {
		path[length] = '/';
		memcpy(path + length + 1, name, rest - 1);
	}
	if (inside)
		path[length + rest] = '/';
	path[length + rest + inside] = '\0';
	changes->count++;
	changes->size += length + rest + inside + 1;
	return 0;
}

int change_list_add(struct change_list *changes, enum varve_change_kind kind, const char *directory,
		    const char *name)
{
	return change_list_append(changes, kind, directory, strlen(directory), name, false);
}

int change_list_add_inside(struct change_list *changes, const char *directory, const char *name)
{
	changes->inside = true;
	return change_list_append(changes, VARVE_CHANGE_ADD, directory, strlen(directory), name,
				  true);
}

int change_list_add_ancestors(struct change_list *changes, const char *directory)
{
	int r = 0;

	for (size_t length = strlen(directory); !r && length; length--)
		if (!directory[length] || directory[length] == '/')
			r = change_list_append(changes, VARVE_CHANGE_MODIFY, directory, length,
					       NULL, false);
	return r;
}

void change_list_take(struct change_list *to, struct change_list *from)
{
	struct change_list_block **end = &from->blocks;

	while (*end)
		end = &(*end)->next;
	*end = to->blocks;
	to->blocks = from->blocks;
	to->count += from->count;
	to->size += from->size;
	to->inside |= from->inside;
	*from = (struct change_list){ .fault = from->fault };
}

/* Exchange the changes A and B. */
static void change_list_swap(struct varve_change *a, struct varve_change *b)
{
	struct varve_change change = *a;

	*a = *b;
	*b = change;
}

/* The byte of CHANGE's path at DEPTH; behind the end, where nothing follows, the kind. */
static int change_list_key(const struct varve_change *change, size_t depth)
{
	unsigned char byte = (unsigned char)change->path[depth];

	return byte ? byte + UCHAR_MAX : (int)change->kind;
}

/*
 * Sort COUNT changes from LIST on, whose paths are the same up to DEPTH, by path, then kind: in
 * three parts by one byte, those parts likewise, the largest last and without a call. In place, as
 * the C library's qsort() is not.
 */
static void change_list_sort_from(struct varve_change *list, size_t count, size_t depth,
				  struct yield *yield)
{
	while (count > 1) {
		int middle = change_list_key(&list[count / 2], depth);
		size_t less = 0, at = 0, more = count;

		while (at < more) {
			int key = change_list_key(&list[at], depth);

			yield_look(yield);
			if (key < middle)
				change_list_swap(&list[less++], &list[at++]);
			else if (key > middle)
				change_list_swap(&list[at], &list[--more]);
			else
				at++;
		}
		/* The middle part is complete when its key is a kind: then the paths have ended. */
		at = middle > UCHAR_MAX ? more - less : 0;
		if (at >= less && at >= count - more) {
			change_list_sort_from(list, less, depth, yield);
			change_list_sort_from(list + more, count - more, depth, yield);
			list += less;
			count = at;
			depth++;
		} else if (less >= count - more) {
			change_list_sort_from(list + less, at, depth + 1, yield);
			change_list_sort_from(list + more, count - more, depth, yield);
			count = less;
		} else {
			change_list_sort_from(list + less, at, depth + 1, yield);
			change_list_sort_from(list, less, depth, yield);
			list += more;
			count -= more;
		}
	}
}

/* Unmap the first block. */
static void change_list_unmap(struct change_list *changes)
{
	struct change_list_block *block = changes->blocks;

	changes->blocks = block->next;
	munmap(block, block->mapped);
}

/* Move the collected paths into one block, behind a list of them that is not sorted. */
static int change_list_settle(struct change_list *changes, struct yield *yield)
{
	size_t bytes = (changes->count + 1) * sizeof(*changes->list), count = 0;
	char *path;

	changes->list = fault_realloc(changes->fault, NULL, bytes + changes->size);
	if (!changes->list)
		return -ENOMEM;
	path = (char *)changes->list + bytes;
	while (changes->blocks) {
		const struct change_list_block *block = changes->blocks;

		for (const char *at = block->bytes; at < block->bytes + block->used;
		     at += strlen(at) + 1) {
			changes->list[count++] = (struct varve_change){
				.path = path, .kind = (unsigned char)*at
			};
			path = stpcpy(path, at + 1) + 1;
			yield_look(yield);
		}
		change_list_unmap(changes);
	}
	return 0;
}

int change_list_sort(struct change_list *changes, struct yield *yield)
{
	size_t count = 0;
	int r = change_list_settle(changes, yield);

	if (r)
		return r;
	change_list_sort_from(changes->list, changes->count, 0, yield);
	for (size_t i = 0; i < changes->count; i++) {
		yield_look(yield);
		if (!count || strcmp(changes->list[count - 1].path, changes->list[i].path))
			changes->list[count++] = changes->list[i];
	}
	changes->count = count;
	return 0;
}

void change_list_free(struct change_list *changes)
{
	while (changes->blocks)
		change_list_unmap(changes);
	free(changes->list);
	*changes = (struct change_list){ .fault = changes->fault };
}
