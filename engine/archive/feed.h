/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists the entries of an archive in the order of their paths, from a list of changes where "DIR/"
 * stands for the whole content of DIR. Such a directory is listed when its turn comes, so only the
 * listings on the way down are in memory, whatever the size of the tree:
 *
 *	changes   /a  /a-b  /a/  /c                 entries   /a  /a-b  /a/x  /a/y  /c
 */
#ifndef VARVE_ARCHIVE_FEED_H
#define VARVE_ARCHIVE_FEED_H

#include "engine/diff/change_list.h"

#include <sys/types.h>

struct feed_level;

/* An entry; its path is valid until the next one. */
struct feed_entry {
	const char *path;
	enum varve_change_kind kind;
	/* Its number in the layer's own tree and its DT_ type; 0 where that is not known. */
	uint64_t inode;
	unsigned char type;
};

struct feed {
	/* ---- set by the caller that starts it ---- */
	/* The root directory, and what changed below it, sorted. */
	int root_fd;
	const struct change_list *changes;
	struct fault *fault;

	/* ---- its own ---- */
	/* The device of the root; a nested subvolume has another one. */
	dev_t device;
	/* The next change. */
	size_t next;
	/* The directories being expanded, the deepest last, and the path of that. */
	struct feed_level *levels;
	size_t levels_count, levels_capacity;
	char *path;
	size_t path_capacity;
};

/*
 * Take the next entry: 1 and *RET_ENTRY, 0 at the end, or -errno, and feed->path is the path that
 * failed (-ENAMETOOLONG: no archive takes it).
 */
int feed_next(struct feed *feed, struct feed_entry *ret_entry);

/* Free what is held. */
void feed_free(struct feed *feed);

#endif
