/* SPDX-License-Identifier: Apache-2.0 */
/* A list of changed paths, collected in any order, then sorted; paths live in blocks of their own. */
#ifndef VARVE_TREE_CHANGES_H
#define VARVE_TREE_CHANGES_H

#include "engine/base/fault.h"

#include "varve.h"

struct changes_block;

struct changes {
	struct varve_change *list;
	size_t count, capacity;
	/* Some stand for all that is in a directory. */
	bool inside;
	/* Where the next path goes, and how much there is left. */
	struct changes_block *blocks;
	size_t left;
	struct fault *fault;
};

/* Add a change of DIRECTORY/NAME ("/" begins DIRECTORY unless it is empty). 0 or -ENOMEM. */
int changes_add(struct changes *changes, enum varve_change_kind kind, const char *directory, const char *name);

/* Add all that is in DIRECTORY/NAME, or, without NAME, in DIRECTORY, as one path that ends in '/'. 0 or -ENOMEM. */
int changes_add_inside(struct changes *changes, const char *directory, const char *name);

/* Add DIRECTORY ("" is none) and the directories that it is in as modified. */
int changes_add_ancestors(struct changes *changes, const char *directory);

/* Move all of FROM to the end of TO. 0 or -ENOMEM. */
int changes_take(struct changes *to, struct changes *from);

/* Sort by path, bytewise, and leave one of those with the same path: added goes before modified. */
void changes_sort(struct changes *changes);

/* Free what was collected. */
void changes_free(struct changes *changes);

#endif
