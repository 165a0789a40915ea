/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what was added to a snapshot since it was made, by a search of its tree.
 *
 * The search visits only the leaves that were written since the snapshot; so its time depends on
 * the number of changes, not on the size of the layer:
 *
 *	an inode made since                 counts, with its size and its space
 *	an older inode                      what was written to it since counts: extents that the parent's file does not
 *	                                    have at the same place
 *	a subvolume nested in the snapshot  counts wholly: a snapshot has none of its source's
 *
 * An extent has the transaction in which it was written, but an extent that was cloned from
 * elsewhere is older than its place in the file. So old extents in a new leaf are compared with the
 * parent's file, as long as that is unchanged; otherwise old extents count nothing.
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
	 * The source of the snapshot, and the transaction and the time at which the snapshot was
	 * made; a uuid of zeros: it is no snapshot, and all of it is new.
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
	/* Subvolumes are nested in it, which can change without it. */
	bool nested;
};

/*
 * Search: 0, -ENOBUFS (more than NESTED_MAX nested subvolumes), or another -errno. Lane thread.
 */
int delta_search_run(struct delta_search *search);

#endif
