/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what a layer has and its parent does not have, by three walks. The numbers are those of
 * a search (delta_search.h) as long as the parent is unchanged since the snapshot was made.
 *
 *	1. parent   puts the inode numbers into a set
 *	2. layer    an inode that is not in the set is new; of a file in the set that was changed since the snapshot,
 *	            the extents are kept
 *	3. parent   compares the extents of these files; only where there are any
 *
 * One thread. A search is far faster; the walk is for callers without privilege.
 */
#ifndef VARVE_DIFF_DELTA_WALK_H
#define VARVE_DIFF_DELTA_WALK_H

#include "engine/base/inode_map.h"
#include "engine/core/progress.h"
#include "engine/diff/delta_extents.h"
#include "engine/walk/inode_set.h"

#include <time.h>

struct delta_walk_file;

struct delta_walk {
	struct varve_store *store;
	/* The root directories and ids of the parent and the layer; a parent of -EBADF: none. */
	int fds[2];
	const char *ids[2];
	/* Something may be mounted in it. */
	bool mounts[2];
	/* When the snapshot was made. */
	struct timespec made;
	/* Ends the walk early with -ECANCELED; where its progress is counted. */
	const _Atomic bool *cancelled;
	struct progress *progress;

	/* The result; what lies beneath mounts was left out. */
	struct sums sums;
	bool left_out;
	/* The call that failed, and its path. */
	const char *error_call;
	char error_path[VARVE_FAILURE_PATH_SIZE];

	/* The parent's inodes; those of the layer with several names that were counted. */
	struct inode_set old, seen;
	/* Changed files of the layer, by their inodes: counted from 1. */
	struct inode_map changed;
	struct delta_walk_file *files;
	size_t files_count, files_capacity;
	/* The number of their extents. */
	size_t extents;
};

/*
 * Walk: 0, -ENOBUFS (more than DELTA_EXTENTS_MAX extents of changed files), -EBUSY (a process holds
 * a lease on a changed file), or another -errno. Lane thread.
 */
int delta_walk_run(struct delta_walk *walk);

#endif
