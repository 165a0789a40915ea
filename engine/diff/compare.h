/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two trees compared, or one listed as a whole: the paths that were added, modified, deleted.
 *
 * A job of the workers. A stack of directories is shared by its threads: each takes one, lists it
 * in both trees, compares the entries by name, and puts the directories among them on the stack, in
 * batches that have their parent's path once. Directories are opened from the roots by their paths,
 * so depth costs neither stack nor descriptors. A slice may be over anywhere; what a thread has at
 * hand then, one directory and two files at most, stays open for the next one. So there are never
 * more of these than threads that are allowed. Where a delta tells what may differ, all else is
 * passed over:
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

/* There is more to compare than one thread does in a moment. */
#define COMPARE_MORE 1

struct compare {
	/* The caller that starts it sets store, cancelled and width_max. */
	struct job job;
	/* ---- set by the caller that starts it ---- */
	/* All is compared, or RESULT is why not. Reactor. */
	void (*done)(struct compare *compare, int result);
	/* The old and the new root directory; no old one (negative): everything is added. */
	int fds[2];
	/* The maps of ids that the old and the new tree are in. */
	struct idrange_maps maps[2];
	/* What may differ; NULL: anything. */
	const struct delta *delta;
	/*
	 * An inode of both trees whose time of change is the same, and before this, is as it was
	 * when they were one. Zeros: never.
	 */
	struct timespec settled;
	/*
	 * Tell "DIR/" instead of all that is in a directory which the new tree alone has (see
	 * feed.h).
	 */
	bool collapse;
	struct fault *fault;

	/* ---- guarded by lock ---- */
	pthread_mutex_t lock;
	struct list stack;
	/* The root directories, until a thread takes them. */
	struct compare_dir *root;
	/* What threads hold that are not at it now. */
	struct list workers;
	/* Directories on the stack, the roots, and those that no thread works on. */
	unsigned pending;
	/*
	 * The first error, the call that failed, and the path that it was about; NULL without
	 * memory.
	 */
	int error;
	const char *failed_call;
	char *failed;
	/* What was found, not sorted; complete when all is over. */
	struct change_list changes;
	/*
	 * What could not be compared, as something is mounted there in one of them: only where a
	 * root is no clone of its mount.
	 */
	struct change_list covered;
	/* The devices of the roots, and the mounts that they lie in. */
	uint64_t devices[2], mounts[2];
};

/* Prepare to compare; 0 or -errno. After success or failure compare_end() is due. */
int compare_begin(struct compare *compare);

/*
 * Compare on this thread for COMPARE_TRY_NS at most: 0 when that was all, COMPARE_MORE: the rest is
 * for the job to be started, or
 * -errno. Lane thread.
 */
int compare_try(struct compare *compare);

/* Close what is open; no thread is at it. */
void compare_close(struct compare *compare);

/* Free all but what was taken from compare->changes. */
void compare_end(struct compare *compare);

#endif
