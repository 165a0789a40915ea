/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the data of a file lies, so that its holes need not be read: in pieces, with holes between
 * them.
 *
 * A file can have a size of 8 EiB, and more pieces than fit in memory. So the smallest holes count
 * as data once there are too many pieces, and a file beyond these bounds is refused.
 */
#ifndef VARVE_ARCHIVE_PIECES_H
#define VARVE_ARCHIVE_PIECES_H

#include "engine/base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct piece {
	off_t at, end;
};

/* Zeros at first, but for a fault and a limit; may be filled more than once. */
struct pieces {
	struct piece *list;
	size_t count, capacity;
	/* At most so many. */
	size_t max;
	/* Holes of less than this count as data. */
	off_t gap;
	struct fault *fault;
};

/*
 * Find the data in the first SIZE bytes of FD. 0; -EFBIG: it has too many pieces far from each
 * other, or data behind holes of more than SPARSE_HOLES_BYTES_MAX; -ECANCELED; -errno.
 */
int pieces_find(struct pieces *pieces, int fd, off_t size, const _Atomic bool *cancelled);

/* All of SIZE bytes is data. 0 or -ENOMEM. */
int pieces_whole(struct pieces *pieces, off_t size);

/* Free what is held. */
void pieces_free(struct pieces *pieces);

#endif
