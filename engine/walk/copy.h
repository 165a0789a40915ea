/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a directory tree within a file system: kinds, owners, modes, attributes, times, hard
 * links, flags; content is shared (FICLONE), not read. Directories are opened by their paths, one
 * at a time, so a tree of any depth takes few descriptors. In memory are the paths of directories
 * that are still to be copied, and of files with several names (COPY_NAMES_BYTES_MAX).
 *
 * The tree is hostile: entries that are exchanged during the copy may give a copy that mixes two
 * states (the content of one file with the setuid bit of another). So the copy stays inaccessible
 * until copy_unchanged() has looked at the whole tree a second time: every change of an inode
 * changes its ctime, which only the kernel sets, by a clock that is watched. A change that is seen
 * ends the copy early, so that names that are made all the time cannot make the copy endless.
 */
#ifndef VARVE_WALK_COPY_H
#define VARVE_WALK_COPY_H

#include "engine/core/op.h"
#include "engine/core/progress.h"

#include <time.h>

/*
 * A copy of the tree of FROM_FD, the root included, in the empty directory TO_FD, which no other
 * process can reach.
 */
struct copy_job {
	int from_fd, to_fd;
	struct fault *fault;
	/* Ends it early. */
	const _Atomic bool *cancelled;
	/* Counts entries. */
	struct progress *progress;
	/*
	 * When copy_run() began, by the clock of ctime; a descriptor that shows when that clock is
	 * set.
	 */
	struct timespec began;
	int clock_fd;
	/*
	 * Set on a failure: the call, the detail of the failure (NULL: none), and the path below
	 * the tree.
	 */
	const char *call, *detail;
	char path[VARVE_FAILURE_PATH_SIZE];
};

/*
 * Do JOB: 0; -EBUSY (a subvolume is nested in it, something is mounted in it, or it is being
 * changed), -EPERM (chattr +i or +a), -ENOBUFS, -ECANCELED, or another -errno. Lane thread.
 */
int copy_run(struct copy_job *job);

/*
 * Is the whole tree unchanged since copy_run() of JOB began? 0, -EBUSY when not, or as copy_run();
 * makes nothing. Lane thread.
 */
int copy_unchanged(struct copy_job *job);

/* Close what JOB has open; harmless where its clock_fd is -EBADF. */
void copy_end(struct copy_job *job);

#endif
