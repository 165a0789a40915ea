/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/pieces.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <stdatomic.h>
#include <unistd.h>

/* The smallest hole that is passed over when pieces are too many: a sector. */
#define PIECES_GAP_MIN 4096

/* Let more and more of the smallest holes count as data until there is room. 0 or -EFBIG. */
static int pieces_thin(struct pieces *pieces)
{
	while (pieces->count >= pieces->max) {
		size_t last = 0;

		pieces->gap = pieces->gap ? pieces->gap * 2 : 2 * (off_t)PIECES_GAP_MIN;
		if (pieces->gap > SPARSE_GAP_BYTES_MAX)
			return -EFBIG;
		for (size_t i = 1; i < pieces->count; i++)
			if (pieces->list[i].at - pieces->list[last].end < pieces->gap)
				pieces->list[last].end = pieces->list[i].end;
			else
				pieces->list[++last] = pieces->list[i];
		pieces->count = last + 1;
	}
	return 0;
}

/* Add the data from AT to END, behind all others. */
static int pieces_add(struct pieces *pieces, off_t at, off_t end)
{
	int r = pieces->count >= pieces->max ? pieces_thin(pieces) : 0;

	if (r)
		return r;
	if (pieces->count && at - pieces->list[pieces->count - 1].end < pieces->gap) {
		pieces->list[pieces->count - 1].end = end;
		return 0;
	}
	r = fault_reserve(pieces->fault, &pieces->list, pieces->count, 1, &pieces->capacity,
			  sizeof(*pieces->list));
	if (!r)
		pieces->list[pieces->count++] = (struct piece){ at, end };
	return r;
}

/*
 * Find the data of FD from *AT on: 1 and from *RET_DATA to *AT, 0 when there is no more, or -errno.
 */
static int pieces_next(int fd, off_t size, off_t *at, off_t *ret_data)
{
	off_t data = lseek(fd, *at, SEEK_DATA), hole;

	/* ENXIO: only a hole is left. */
	if (data < 0)
		return errno == ENXIO ? 0 : negative_errno();
	hole = data < size ? lseek(fd, data, SEEK_HOLE) : 0;
	if (hole < 0)
		return errno == ENXIO ? 0 : negative_errno();
	if (data >= size || hole <= data)
		return 0;
	*ret_data = data;
	*at = MIN(hole, size);
	return 1;
}

int pieces_find(struct pieces *pieces, int fd, off_t size, const _Atomic bool *cancelled)
{
	off_t at = 0, data, bytes = 0;
	int r = 1;

	pieces->count = 0;
	pieces->gap = 0;
	while (r > 0 && at < size) {
		r = pieces_next(fd, size, &at, &data);
		if (r > 0)
			r = pieces_add(pieces, data, at) ?: 1;
		if (r > 0 && atomic_load(cancelled))
			r = -ECANCELED;
	}
	for (size_t i = 0; i < pieces->count; i++)
		bytes += pieces->list[i].end - pieces->list[i].at;
	if (r >= 0 && pieces->count &&
	    pieces->list[pieces->count - 1].end - bytes > SPARSE_HOLES_BYTES_MAX)
		r = -EFBIG;
	return MIN(r, 0);
}

int pieces_whole(struct pieces *pieces, off_t size)
{
	pieces->count = 0;
	pieces->gap = 0;
	return size ? pieces_add(pieces, 0, size) : 0;
}

void pieces_free(struct pieces *pieces)
{
	free(TAKE_PTR(pieces->list));
}
