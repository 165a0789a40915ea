/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what a snapshot has and its parent did not have when it was made, by a search of its
 * tree.
 *
 * The search visits the leaves that were written since the snapshot, and no other; so it takes as
 * long as there are changes, however large the layer is:
 *
 *	an inode made since                 counts itself, its size, its space
 *	an inode that was there             counts what was written to it since: extents that the parent's file has not at the
 *	                                    same place
 *	a subvolume nested in the snapshot  counts wholly: a snapshot has none of its source's
 *
 * An extent has the transaction in which it was written, but one that was cloned from elsewhere is
 * older than its place in the file. So old extents in a new leaf are compared with the parent's
 * file, as long as that is unchanged; otherwise old extents count nothing.
 *
 * Directories that stand for subvolumes of the source are in no tree and count nothing.
 * CAP_SYS_ADMIN.
 */
#ifndef VARVE_DIFF_DELTA_SEARCH_H
#define VARVE_DIFF_DELTA_SEARCH_H

#include "engine/base/yield.h"
#include "engine/btrfs/abi.h"
#include "engine/diff/delta_extents.h"

#include <time.h>

struct delta_search {
	/* Any directory of the file system; the subvolume's number. */
	int fd;
	uint64_t tree;
	/*
	 * What it is a snapshot of, in which transaction and when that was made; a uuid of zeros:
	 * nothing, and all of it is new.
	 */
	uint8_t parent[BTRFS_UUID_SIZE];
	uint64_t generation;
	struct timespec made;
	struct fault *fault;
	/* Ends the search early with -ECANCELED. */
	const _Atomic bool *cancelled;
	/* How the thread yields its CPU to short requests. */
	struct yield yield;

	/* The result. */
	struct sums sums;
	/* Subvolumes are nested in it, which change by themselves. */
	bool nested;
};

/*
 * Search: 0, -ENOBUFS (more than NESTED_MAX nested subvolumes), or another -errno. Lane thread.
 */
int delta_search_run(struct delta_search *search);

#endif
