/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive says of entries, taken from the tree instead of from the files: the inode, its
 * attributes, the target of a link, and the content of a small file all lie side by side there. A
 * search for a hundred files takes one or two calls where asking each takes five.
 *
 * The tree lags behind: what was written since may be in it in part. So the file system is flushed
 * three times, and the generation G asked between the first and the second:
 *
 *	the first	writes what there is, so that little is left for the others
 *	G		the transaction that may be open now
 *	the second	commits G: no inode item changes in it any more
 *	the third	writes the data of every inode item that changed in G
 *
 * What bears a number up to G is then whole, content and times alike. An inode where anything is
 * newer is being changed, and has to be asked itself, as has what is compressed, or not in the
 * tree.
 */
#ifndef VARVE_ARCHIVE_GATHER_H
#define VARVE_ARCHIVE_GATHER_H

#include "engine/archive/item.h"

struct gather {
	/*
	 * The root directory, the number of its subvolume, its sectors, and its device as stat()
	 * has it.
	 */
	int fd;
	uint64_t tree;
	uint32_t sector;
	uint32_t device_major, device_minor;
	/* What is newer may be changing. */
	uint64_t generation;
	struct fault *fault;
};

/*
 * Flush the file system of FD, the root of a subvolume, and prepare: 1; 0 when it cannot be done;
 * -errno.
 */
int gather_begin(struct gather *gather, int fd, struct fault *fault);

/*
 * Search for those of COUNT items that have a number and are no directories, and set how much of
 * each is known.
 */
void gather_items(const struct gather *gather, struct item *const *items, size_t count);

#endif
