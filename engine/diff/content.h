/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the content of two files of the same size. Data that both have in the same place on disk
 * is not read:
 *
 *	both have there                     the same?
 *	a hole, or space not yet written    yes: zeros
 *	the same address on disk            yes; but of a compressed extent no map tells which part of it the file has
 *	anything else                       the bytes are compared
 *
 * So a file that was only touched in a snapshot costs two maps of extents, and a sparse file costs
 * only its data. Files are compared in parts; a comparison that was paused continues at the same
 * offset.
 */
#ifndef VARVE_DIFF_CONTENT_H
#define VARVE_DIFF_CONTENT_H

#include "engine/base/fault.h"

#include <stdint.h>
#include <sys/stat.h>

struct content_map;

/* The time is over; the next call continues the comparison. */
#define CONTENT_LATER 2

/* The state of one thread: begins zeroed, with the first fields set and no files. */
struct content {
	struct fault *fault;
	/* Ends it early with -ECANCELED. */
	const _Atomic bool *cancelled;
	/* When to pause. */
	uint64_t until_ns;
	/* The call that failed. */
	const char *call;
	/*
	 * The two current files, or negative; their stat at open; the offset up to which they are
	 * the same.
	 */
	int fds[2];
	struct statx statx[2];
	uint64_t at;
	/* The extents of the two files, and room for bytes of both; NULL until they are needed. */
	struct content_map *maps;
	char *bytes;
};

/*
 * Have the regular files NAME in the two directories DIR_FDS, with STATX, the same content? 1; 0
 * when not, or when that is not known, because one cannot be opened or was exchanged meanwhile;
 * CONTENT_LATER: call again; or -errno.
 */
int content_same(struct content *content, const int dir_fds[2], const char *name,
		 const struct statx statx[2]);

/* Close the current files, and end a paused comparison. */
void content_leave(struct content *content);

/* Free what is held. */
void content_free(struct content *content);

#endif
