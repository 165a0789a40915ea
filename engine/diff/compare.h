/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares two trees, or lists one as a whole: the paths that were added, modified, deleted.
 *
 * A job of the workers. A stack of directories is shared by its threads: each takes one, lists it
 * in both trees, compares the entries by name, and puts the directories among them on the stack, in
 * batches that have their parent's path once. Directories are opened from the roots by their paths,
 * so depth costs neither stack nor descriptors. A slice may end anywhere; the thread's current
 * directory, and two files at most, stay open for the next slice. So there are never more of them
 * than threads allowed. A delta limits the comparison to what may differ:
 *
 *	directory                  what is looked at
 *	changed itself             its entries; of those with the same number and no change nothing more
 *	not changed, hinted        the hinted names; it is not even listed, unless those are too many to be kept
 *	neither                    nothing
 *	inside a nested subvolume  everything: the delta does not reach there
 */
#ifndef VARVE_DIFF_COMPARE_H
#define VARVE_DIFF_COMPARE_H

#include "engine/base/id_map.h"
#include "engine/base/list.h"
#include "engine/diff/change_list.h"
#include "engine/diff/delta.h"
#include "engine/walk/workers.h"

#include <pthread.h>
#include <time.h>

struct compare_dir;

/* There is more to compare than COMPARE_TRY_NS allows. */
#define COMPARE_MORE 1

struct compare {
	/* The caller that starts it sets store, cancelled and width_max. */
	struct job job;
	/* ---- set by the caller that starts it ---- */
	/* The comparison has ended with RESULT. Reactor. */
	void (*done)(struct compare *compare, int result);
	/* The old and the new root directory. A negative old one: everything is added. */
	int fds[2];
	/* The maps of ids that the old and the new tree are in. */
	struct idrange_maps maps[2];
	/* What may differ; NULL: anything. */
	const struct delta *delta;
	/*
	 * An inode of both trees with the same time of change, before this time, is unchanged since
	 * their common origin. Zeros: never.
	 */
	struct timespec settled;
	/*
	 * List "DIR/" instead of the whole content of a directory that only the new tree has (see
	 * feed.h).
	 */
	bool collapse;
	struct fault *fault;

	/* ---- guarded by lock ---- */
	pthread_mutex_t lock;
	struct list stack;
	/* The root directories, until a thread takes them. */
	struct compare_dir *root;
	/* State of threads that have no slice now. */
	struct list workers;
	/* Directories on the stack, the roots, and those that no thread works on. */
	unsigned pending;
	/*
	 * The first error, the call that failed, and the path on which it failed; NULL without
	 * memory.
	 */
	int error;
	const char *failed_call;
	char *failed;
	/* The changes found, not sorted; complete when the job has ended. */
	struct change_list changes;
	/*
	 * Paths that could not be compared, because something is mounted there in one tree: only
	 * where a root is no clone of its mount.
	 */
	struct change_list covered;
	/* The devices of the roots, and the mounts that they lie in. */
	uint64_t devices[2], mounts[2];
};

/* Prepare to compare; 0 or -errno. After success or failure compare_end() is due. */
int compare_begin(struct compare *compare);

/*
 * Compare on this thread for COMPARE_TRY_NS at most: 0 at the end; COMPARE_MORE: start the job for
 * the rest; or -errno. Lane thread.
 */
int compare_try(struct compare *compare);

/* Close all descriptors; no thread has a slice. */
void compare_close(struct compare *compare);

/* Free all but what was taken from compare->changes. */
void compare_end(struct compare *compare);

#endif
