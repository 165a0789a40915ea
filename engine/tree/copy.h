/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree copied within a file system, as it is: kinds, owners, modes, attributes, times, files of several names; content is
 * shared (FICLONE), not read. Directories are opened by their paths, one at a time, so a tree of any depth takes few descriptors. In
 * memory are the paths of directories that wait for their turn, and of files that have more names.
 */
#ifndef VARVE_TREE_COPY_H
#define VARVE_TREE_COPY_H

#include "engine/core/op.h"

/* The tree of FROM_FD copied into the empty directory TO_FD, which nobody else sees, with all that the former is itself. */
struct copy_job {
	int from_fd, to_fd;
	struct fault *fault;
	/* Ends it early. */
	const _Atomic bool *cancelled;
	/* Counts entries. */
	struct progress *progress;
	/* Set where it fails: the call, what a person should know (NULL: nothing more), and the path below the tree. */
	const char *call, *detail;
	char path[VARVE_FAILURE_PATH_SIZE];
};

/* Do JOB: 0; -EBUSY (a subvolume is nested in it, or something is mounted in it), -ECANCELED, or another -errno. Lane thread. */
int copy_run(struct copy_job *job);

#endif
