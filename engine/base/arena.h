/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for many small things that are freed together. Its blocks grow. Large ones have huge pages
 * where the kernel has them (transparent huge pages, which it may leave out), else the pages of a
 * block are made by one call: one by one, as they are first touched, 14 MB take longer than to read
 * 20,000 records into them. One thread at a time. Begins zeroed.
 */
#ifndef VARVE_BASE_ARENA_H
#define VARVE_BASE_ARENA_H

#include "engine/base/fault.h"

struct arena_block;

struct arena {
	/* The blocks, the current one first; bytes of that, and how many are taken. */
	struct arena_block *blocks;
	size_t size, used;
	/* Where what was taken last begins. */
	size_t last;
};

/* Take SIZE bytes, aligned for any type and not cleared; NULL without memory. */
void *arena_take(struct arena *arena, struct fault *fault, size_t size);

/* Give MEMORY back, if it was taken last; else it is freed with the rest. */
void arena_undo(struct arena *arena, const void *memory);

/* Forget what was taken, and keep the largest block for what is taken next. */
void arena_reset(struct arena *arena);

/* Free all. */
void arena_free(struct arena *arena);

#endif
