/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of two files of the same size, compared. Nothing is read of what both have in the
 * same place on disk:
 *
 *	both have there                     the same?
 *	a hole, or space not yet written    yes: zeros
 *	the same address on disk            yes; but of a compressed extent no map tells which part of it the file has
 *	anything else                       the bytes tell
 *
 * So a snapshot's copy that was only touched costs a map of extents, and a sparse file its data
 * alone, however long it is. Files of any size are compared a part at a time, and what stood still
 * between goes on where it was.
 */
#ifndef VARVE_DIFF_CONTENT_H
#define VARVE_DIFF_CONTENT_H

#include "engine/base/fault.h"

#include <stdint.h>
#include <sys/stat.h>

struct content_map;

/* The time is over, and the comparison goes on in the next call. */
#define CONTENT_LATER 2

/* What one thread needs for it: start from zeros, these, and no files. */
struct content {
	struct fault *fault;
	/* Ends it early with -ECANCELED. */
	const _Atomic bool *cancelled;
	/* When to stand still. */
	uint64_t until_ns;
	/* The call that failed. */
	const char *call;
	/*
	 * The two files at hand, or negative; what they were when they were opened; up to where
	 * they are the same.
	 */
	int fds[2];
	struct statx statx[2];
	uint64_t at;
	/* The extents of the two files, and room for bytes of both; NULL until they are needed. */
	struct content_map *maps;
	char *bytes;
};

/*
 * Have the regular files that NAME is in the two directories DIR_FDS, of which STATX tells, the
 * same content? 1; 0 when it is not, or may not be: one of them cannot be opened, or was exchanged
 * meanwhile; CONTENT_LATER: ask again; or -errno.
 */
int content_same(struct content *content, const int dir_fds[2], const char *name,
		 const struct statx statx[2]);

/* Close the files at hand: what stood still does not go on. */
void content_leave(struct content *content);

/* Free what is held. */
void content_free(struct content *content);

#endif
