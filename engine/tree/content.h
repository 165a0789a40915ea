/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of two files of the same size, compared. Nothing is read of what both have in the same place on disk:
 *
 *	both have there                     the same?
 *	a hole, or space not yet written    yes: zeros
 *	the same address on disk            yes; but of a compressed extent no map tells which part of it the file has
 *	anything else                       the bytes tell
 *
 * So a snapshot's copy that was only touched costs a map of extents, and a sparse file its data alone, however long it is.
 */
#ifndef VARVE_TREE_CONTENT_H
#define VARVE_TREE_CONTENT_H

#include "engine/base/fault.h"

#include <sys/stat.h>

struct content_map;

/* What one thread needs for it: start from zeros and these. */
struct content {
	struct fault *fault;
	/* Ends it early with -ECANCELED. */
	const _Atomic bool *cancelled;
	/* The call that failed. */
	const char *call;
	/* The extents of the two files, and room for bytes of both; NULL until they are needed. */
	struct content_map *maps;
	char *bytes;
};

/*
 * Have the regular files that NAME is in the two directories DIR_FDS, of which STATX tells, the same content? 1; 0 when it is not,
 * or may not be: one of them cannot be opened, or was exchanged meanwhile; or -errno.
 */
int content_same(struct content *content, const int dir_fds[2], const char *name, const struct statx statx[2]);

/* Free what is held. */
void content_free(struct content *content);

#endif
