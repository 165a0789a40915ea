/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/arena.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <stdint.h>
#include <sys/mman.h>

/* MADV_POPULATE_WRITE, of Linux 5.14, which the headers need not have. */
enum { ARENA_POPULATE = 23 };

struct arena_block {
	struct arena_block *next;
	/* Aligned for any type. */
	max_align_t bytes[];
};

/* Make the pages of SIZE bytes at MEMORY; where that fails, they are made when they are touched. */
static void arena_populate(void *memory, size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)memory;
	uintptr_t first = (begin + page - 1) / page * page, end = (begin + size) / page * page;

	if (end > first)
		madvise((char *)memory + (first - begin), end - first, ARENA_POPULATE);
}

/* Begin a block with room for SIZE bytes. */
static struct arena_block *arena_grow(struct arena *arena, struct fault *fault, size_t size)
{
	size_t bytes = MIN(MAX(arena->size * 2, (size_t)ARENA_BLOCK_MIN), (size_t)ARENA_BLOCK_MAX);
	struct arena_block *block;

	bytes = MAX(bytes, size);
	block = fault_hit(fault, FAULT_ALLOCATION) ? NULL : malloc(sizeof(*block) + bytes);
	if (!block)
		return NULL;
	/* The first one is small, and may be all there is. */
	if (arena->blocks)
		arena_populate(block, sizeof(*block) + bytes);
	block->next = arena->blocks;
	arena->blocks = block;
	arena->size = bytes;
	arena->used = 0;
	return block;
}

void *arena_take(struct arena *arena, struct fault *fault, size_t size)
{
	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if ((!arena->blocks || size > arena->size - arena->used) && !arena_grow(arena, fault, size))
		return NULL;
	arena->last = arena->used;
	arena->used += size;
	return (char *)arena->blocks->bytes + arena->last;
}

void arena_undo(struct arena *arena, const void *memory)
{
	if (memory && memory == (char *)arena->blocks->bytes + arena->last)
		arena->used = arena->last;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
	*arena = (struct arena){ 0 };
}
