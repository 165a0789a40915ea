/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree copied within a file system, as it is: kinds, owners, modes, attributes, times,
 * files of several names, flags; content is shared (FICLONE), not read. Directories are opened by
 * their paths, one at a time, so a tree of any depth takes few descriptors. In memory are the paths
 * of directories that wait for their turn, and of files that have more names
 * (COPY_NAMES_BYTES_MAX).
 *
 * The tree is hostile: what its user exchanges while it is copied may make a copy that mixes two
 * states (the content of one file with the setuid bit of another). So nobody may get at the copy
 * before copy_unchanged() has looked at the whole tree a second time: every change shows in a time
 * of change, which only the kernel sets, by a clock that is watched. What is seen to be changed
 * ends the copying early, so that names that are made all the time do not keep it from its end.
 */
#ifndef VARVE_WALK_COPY_H
#define VARVE_WALK_COPY_H

#include "engine/core/op.h"
#include "engine/core/progress.h"

#include <time.h>

/*
 * The tree of FROM_FD copied into the empty directory TO_FD, which nobody else sees, with all that
 * the former is itself.
 */
struct copy_job {
	int from_fd, to_fd;
	struct fault *fault;
	/* Ends it early. */
	const _Atomic bool *cancelled;
	/* Counts entries. */
	struct progress *progress;
	/* When copy_run() began, by the clock of the times of change; tells when that is set. */
	struct timespec began;
	int clock_fd;
	/*
	 * Set where it fails: the call, what a person should know (NULL: nothing more), and the
	 * path below the tree.
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
 * Is all of the tree as it was when copy_run() of JOB began? 0, -EBUSY when not, or as copy_run();
 * makes nothing. Lane thread.
 */
int copy_unchanged(struct copy_job *job);

/* Close what JOB has open; harmless where its clock_fd is -EBADF. */
void copy_end(struct copy_job *job);

#endif
