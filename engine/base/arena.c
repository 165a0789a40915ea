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
	/* The mapping that the block is in, and its bytes; NULL: it is on the heap. */
	void *map;
	size_t map_bytes;
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

/* Map a block of SIZE bytes, a multiple of ARENA_HUGE_BYTES, at such an address; NULL: none. */
static struct arena_block *arena_map(size_t size)
{
	size_t bytes = size + ARENA_HUGE_BYTES;
	struct arena_block *block;
	char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	block = (void *)(map + -(uintptr_t)map % ARENA_HUGE_BYTES);
	/* A hint. Where it is refused, the pages are small. */
	madvise(block, size, MADV_HUGEPAGE);
	arena_populate(block, size);
	block->map = map;
	block->map_bytes = bytes;
	return block;
}

/* Begin a block with room for SIZE bytes. */
static struct arena_block *arena_grow(struct arena *arena, struct fault *fault, size_t size)
{
	size_t bytes = MAX(arena->size * ARENA_GROWTH, (size_t)ARENA_BLOCK_MIN);
	struct arena_block *block;

	bytes = sizeof(*block) + MAX(MIN(bytes, (size_t)ARENA_BLOCK_MAX), size);
	if (fault_hit(fault, FAULT_ALLOCATION))
		return NULL;
	if (bytes > ARENA_HUGE_BYTES / ARENA_GROWTH) {
		/* A block of the largest size is not to need a page for its header. */
		bytes = MAX(bytes / ARENA_HUGE_BYTES, (size_t)1) * ARENA_HUGE_BYTES;
		bytes += bytes < sizeof(*block) + size ? ARENA_HUGE_BYTES : 0;
		block = arena_map(bytes);
	} else {
		block = malloc(bytes);
		/* The first one is small, and may be all there is. */
		if (block && arena->blocks)
			arena_populate(block, bytes);
		if (block)
			block->map = NULL;
	}
	if (!block)
		return NULL;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->size = bytes - sizeof(*block);
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

/* Free BLOCK and those before it. */
static void arena_free_blocks(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		if (block->map)
			munmap(block->map, block->map_bytes);
		else
			free(block);
		block = next;
	}
}

void arena_reset(struct arena *arena)
{
	if (arena->blocks)
		arena_free_blocks(TAKE_PTR(arena->blocks->next));
	arena->used = arena->last = 0;
}

void arena_free(struct arena *arena)
{
	arena_free_blocks(arena->blocks);
	*arena = (struct arena){ 0 };
}
