/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/content.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/dir/opath.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * Extents whose address does not determine their content: compressed, inline, or not on disk yet.
 */
#define CONTENT_NO_ADDRESS                                                                      \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |               \
	 FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE | \
	 FIEMAP_EXTENT_DATA_TAIL)

/* The extents of a file, some at a time. */
struct content_map {
	int fd;
	/* The index of the current extent; whether these are the last ones of the file. */
	unsigned next;
	bool last;
	struct fiemap head;
	struct fiemap_extent extents[CONTENT_EXTENTS];
};

static_assert(offsetof(struct content_map, extents) ==
		      offsetof(struct content_map, head) + sizeof(struct fiemap),
	      "the kernel writes the extents behind the head");

/* What a file contains from some offset on. */
struct content_piece {
	/* Where it ends. */
	uint64_t end;
	enum { CONTENT_ZEROS, CONTENT_ADDRESS, CONTENT_BYTES } kind;
	/* Of CONTENT_ADDRESS: where it lies on disk. */
	uint64_t address;
};

/* Flush the file, and read the map of its extents from AT on. 0 or -errno. */
static int content_fill(struct content_map *map, uint64_t at, uint64_t size)
{
	map->head = (struct fiemap){ .fm_start = at,
				     .fm_length = size - at,
				     .fm_flags = FIEMAP_FLAG_SYNC,
				     .fm_extent_count = CONTENT_EXTENTS };
	map->next = 0;
	if (ioctl(map->fd, FS_IOC_FIEMAP, &map->head) < 0)
		return negative_errno();
	map->last = map->head.fm_mapped_extents < CONTENT_EXTENTS;
	return 0;
}

/*
 * Find what the file of MAP, of SIZE bytes, has at AT, which only grows from call to call. 0 or
 * -errno.
 */
static int content_piece(struct content_map *map, uint64_t at, uint64_t size,
			 struct content_piece *ret_piece)
{
	const struct fiemap_extent *extent = NULL;

	while (!extent) {
		while (map->next < map->head.fm_mapped_extents &&
		       map->extents[map->next].fe_logical + map->extents[map->next].fe_length <= at)
			map->next++;
		if (map->next < map->head.fm_mapped_extents)
			extent = &map->extents[map->next];
		else if (map->last) {
			*ret_piece = (struct content_piece){ .end = size, .kind = CONTENT_ZEROS };
			return 0;
		} else {
			int r = content_fill(map, at, size);

			if (r)
				return r;
		}
	}
	if (extent->fe_logical > at) {
		*ret_piece = (struct content_piece){ .end = extent->fe_logical,
						     .kind = CONTENT_ZEROS };
		return 0;
	}
	*ret_piece = (struct content_piece){ .end = extent->fe_logical + extent->fe_length,
					     .kind = CONTENT_ADDRESS,
					     .address = extent->fe_physical +
							(at - extent->fe_logical) };
	if (extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
		ret_piece->kind = CONTENT_ZEROS;
	else if (extent->fe_flags & CONTENT_NO_ADDRESS)
		ret_piece->kind = CONTENT_BYTES;
	return 0;
}

/* Continue at AT: 1, CONTENT_LATER or -ECANCELED. */
static int content_go_on(struct content *content, uint64_t at)
{
	content->at = at;
	if (atomic_load(content->cancelled))
		return -ECANCELED;
	return now_ns() < content->until_ns ? 1 : CONTENT_LATER;
}

/* Compare the bytes of the current files up to END: 1 the same, 0, CONTENT_LATER, or -errno. */
static int content_read(struct content *content, uint64_t end)
{
	int r = 1;

	content->call = "pread";
	if (!content->bytes)
		content->bytes = fault_calloc(content->fault, 2, CONTENT_CHUNK_BYTES);
	if (!content->bytes)
		return -ENOMEM;
	while (r == 1 && content->at < end) {
		size_t size = (size_t)MIN(end - content->at, (uint64_t)CONTENT_CHUNK_BYTES);
		ssize_t lengths[2];

		for (unsigned i = 0; i < 2; i++) {
			lengths[i] = opath_pread(content->fds[i],
						 content->bytes + i * CONTENT_CHUNK_BYTES, size,
						 (off_t)content->at);
			if (lengths[i] < 0)
				return (int)lengths[i];
		}
		if (lengths[0] != (ssize_t)size || lengths[1] != (ssize_t)size ||
		    memcmp(content->bytes, content->bytes + CONTENT_CHUNK_BYTES, size))
			return 0;
		r = content_go_on(content, content->at + size);
	}
	return r;
}

/*
 * Compare the current files, of SIZE bytes, piece by piece: 1 the same, 0, CONTENT_LATER, or
 * -errno.
 */
static int content_pieces(struct content *content, uint64_t size)
{
	int r = 1;

	if (!content->maps)
		content->maps = fault_calloc(content->fault, 2, sizeof(*content->maps));
	if (!content->maps)
		return -ENOMEM;
	for (unsigned i = 0; !content->at && i < 2; i++) {
		content->maps[i].fd = content->fds[i];
		content->maps[i].next = content->maps[i].head.fm_mapped_extents = 0;
		content->maps[i].last = false;
	}
	while (r == 1 && content->at < size) {
		struct content_piece pieces[2];
		uint64_t end;

		content->call = "FS_IOC_FIEMAP";
		for (unsigned i = 0; i < 2; i++) {
			int error = content_piece(&content->maps[i], content->at, size, &pieces[i]);

			if (error)
				return error;
		}
		end = MIN(MIN(pieces[0].end, pieces[1].end), size);
		if (pieces[0].kind != pieces[1].kind || pieces[0].kind == CONTENT_BYTES ||
		    (pieces[0].kind == CONTENT_ADDRESS && pieces[0].address != pieces[1].address))
			r = content_read(content, end);
		else
			r = content_go_on(content, end);
	}
	return r;
}

/* Open the file NAME in DIR_FD, which has STATX: a descriptor, or -errno. */
static int content_open(struct content *content, int dir_fd, const char *name,
			const struct statx *statx)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx found;

	content->call = "openat2";
	fd = opath_open(dir_fd, name, &found);
	if (fd < 0)
		return fd;
	content->call = "open";
	return opath_same(statx, &found) ? opath_reopen_read(fd) : -ESTALE;
}

int content_same(struct content *content, const int dir_fds[2], const char *name,
		 const struct statx statx[2])
{
	uint64_t size = statx[0].stx_size;
	int r = 1;

	if (!size)
		return 1;
	if (content->fds[1] < 0) {
		content->at = 0;
		for (unsigned i = 0; r > 0 && i < 2; i++) {
			content->statx[i] = statx[i];
			content->fds[i] = content_open(content, dir_fds[i], name, &statx[i]);
			if (content->fds[i] < 0)
				r = opath_left_out(content->fds[i]) ? 0 : content->fds[i];
		}
	} else if (!opath_same(&content->statx[0], &statx[0]) ||
		   !opath_same(&content->statx[1], &statx[1]))
		r = 0;
	if (r > 0)
		r = size < CONTENT_MAP_MIN ? content_read(content, size)
					   : content_pieces(content, size);
	/* The time was over just when the comparison reached the end. */
	if (r == CONTENT_LATER && content->at >= size)
		r = 1;
	if (r != CONTENT_LATER)
		content_leave(content);
	return r;
}

void content_leave(struct content *content)
{
	fd_close(TAKE_FD(content->fds[0]));
	fd_close(TAKE_FD(content->fds[1]));
}

void content_free(struct content *content)
{
	content_leave(content);
	free(TAKE_PTR(content->maps));
	free(TAKE_PTR(content->bytes));
}
