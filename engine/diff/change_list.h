/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of changed paths, collected in any order, then sorted.
 *
 *	collected  blocks, each of kind, path, NUL, kind, path, NUL, ...
 *	sorted     one block: the list, then the paths that it points to
 *
 * A million paths take many MiB, so nothing is held twice: each block is freed as it is moved, and
 * the list is sorted in place.
 */
#ifndef VARVE_DIFF_CHANGE_LIST_H
#define VARVE_DIFF_CHANGE_LIST_H

#include "engine/base/fault.h"
#include "engine/base/yield.h"

#include "varve.h"

struct change_list_block;

struct change_list {
	/* Sorted, one block of memory that free() takes; NULL before. */
	struct varve_change *list;
	/* The number of changes, and the bytes of their paths, NULs included. */
	size_t count, size;
	/* Some changes stand for the whole content of a directory. */
	bool inside;
	/* The collected changes; the first block has room left. */
	struct change_list_block *blocks;
	struct fault *fault;
};

/* Add a change of DIRECTORY/NAME ("/" begins DIRECTORY unless it is empty). 0 or -ENOMEM. */
int change_list_add(struct change_list *changes, enum varve_change_kind kind, const char *directory,
		    const char *name);

/*
 * Add all that is in DIRECTORY/NAME, or, without NAME, in DIRECTORY, as one path that ends in '/'.
 * 0 or -ENOMEM.
 */
int change_list_add_inside(struct change_list *changes, const char *directory, const char *name);

/* Add DIRECTORY ("" is none) and the directories that it is in as modified. */
int change_list_add_ancestors(struct change_list *changes, const char *directory);

/* Move all of FROM to TO; neither is sorted. */
void change_list_take(struct change_list *to, struct change_list *from);

/*
 * Sort by path, bytewise, and keep one of those with the same path, added rather than modified.
 * Calls yield_look() for YIELD. 0 or -ENOMEM.
 */
int change_list_sort(struct change_list *changes, struct yield *yield);

/* Free what was collected. */
void change_list_free(struct change_list *changes);

#endif
