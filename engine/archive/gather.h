/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the entries of an archive from the tree instead of from the files: the inode, its
 * attributes, the target of a link, and the content of a small file lie side by side there. A
 * search for a hundred files takes one or two calls, where reading a file takes five.
 *
 * The tree lags behind: recent writes may be in it in part. So the file system is flushed three
 * times, and the generation G is read between the first and the second flush:
 *
 *	the first	writes what there is, so that little is left for the others
 *	G		the transaction that may be open now
 *	the second	commits G: no inode item changes in it any more
 *	the third	writes the data of every inode item that changed in G
 *
 * Items with a generation up to G are then complete, content and times alike. An inode with a newer
 * item is being changed, and its file is read instead. A file is also read if it is compressed, or
 * if its content is not in the tree.
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
	/* Items newer than this may be changing. */
	uint64_t generation;
	struct fault *fault;
};

/*
 * Flush the file system of FD, the root of a subvolume, and prepare: 1; 0 when it cannot be done,
 * or this thread may not read any file; -errno.
 */
int gather_begin(struct gather *gather, int fd, struct fault *fault);

/*
 * Search for those of COUNT items that have an inode number and are not directories, and set their
 * states.
 */
void gather_items(const struct gather *gather, struct item *const *items, size_t count);

#endif
