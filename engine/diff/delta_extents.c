/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/delta_extents.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/dir/opath.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

/* The most bytes of a file that one compressed extent holds; FIEMAP may join several. */
#define DELTA_ENCODED_BYTES_MAX ((uint64_t)128 * 1024)

/* The most bytes of a file that are stored inline: less than a sector. */
#define DELTA_INLINED_BYTES_MAX ((size_t)64 * 1024)

int delta_extents_add(struct delta_extents *extents, struct fault *fault,
		      const struct delta_extent *extent)
{
	int r = fault_reserve(fault, &extents->list, extents->count, 1, &extents->capacity,
			      sizeof(*extents->list));

	if (!r)
		extents->list[extents->count++] = *extent;
	return r;
}

int delta_extents_inlined(struct delta_extents *extents, struct fault *fault, const void *bytes,
			  size_t size)
{
	free(TAKE_PTR(extents->bytes));
	extents->bytes_size = 0;
	/* A file that was extended has zeros there, in the extent or behind it. */
	while (size && !((const char *)bytes)[size - 1])
		size--;
	extents->bytes = fault_calloc(fault, 1, size + 1);
	if (!extents->bytes)
		return -ENOMEM;
	memcpy(extents->bytes, bytes, size);
	extents->bytes_size = size;
	return 0;
}

/* Read the inline content of the file FD. 0 or -errno. */
static int delta_extents_read_inlined(struct delta_extents *extents, struct fault *fault, int fd,
				      size_t length)
{
	size_t size = MIN(length, DELTA_INLINED_BYTES_MAX);
	char *bytes = fault_calloc(fault, 1, size + 1);
	ssize_t read;
	int r;

	if (!bytes)
		return -ENOMEM;
	read = opath_pread(fd, bytes, size, 0);
	r = read < 0 ? (int)read : delta_extents_inlined(extents, fault, bytes, (size_t)read);
	free(bytes);
	return r;
}

/* Add one extent of the file FD as FIEMAP reports it. 0 or -errno. */
static int delta_extents_mapped(struct delta_extents *extents, struct fault *fault, int fd,
				const struct fiemap_extent *mapped)
{
	uint64_t end = mapped->fe_logical + mapped->fe_length;
	struct delta_extent extent = { .offset = mapped->fe_logical,
				       .length = mapped->fe_length,
				       .address = mapped->fe_physical };
	int r = 0;

	if (mapped->fe_flags & FIEMAP_EXTENT_DATA_INLINE) {
		extent.kind = DELTA_INLINED;
		r = delta_extents_read_inlined(extents, fault, fd, extent.length);
	} else if (mapped->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC))
		extent.kind = DELTA_UNPLACED;
	else if (mapped->fe_flags & FIEMAP_EXTENT_ENCODED)
		extent.kind = DELTA_ENCODED;
	while (!r && extent.offset < end) {
		extent.length = end - extent.offset;
		if (extent.kind == DELTA_ENCODED)
			extent.length = MIN(extent.length, DELTA_ENCODED_BYTES_MAX);
		r = delta_extents_add(extents, fault, &extent);
		extent.offset += extent.length;
		extent.address += extent.length;
	}
	return r;
}

int delta_extents_read(struct delta_extents *extents, struct fault *fault, int fd)
{
	size_t bytes = sizeof(struct fiemap) + CONTENT_EXTENTS * sizeof(struct fiemap_extent);
	struct fiemap *fiemap = fault_calloc(fault, 1, bytes);
	uint64_t at = 0;
	bool last = false;
	int r = fiemap ? 0 : -ENOMEM;

	while (!r && !last) {
		*fiemap = (struct fiemap){ .fm_start = at,
					   .fm_length = FIEMAP_MAX_OFFSET - at,
					   .fm_extent_count = CONTENT_EXTENTS };
		r = RET_NERRNO(ioctl(fd, FS_IOC_FIEMAP, fiemap));
		last = fiemap->fm_mapped_extents < CONTENT_EXTENTS;
		for (unsigned i = 0; !r && i < fiemap->fm_mapped_extents; i++) {
			const struct fiemap_extent *extent = &fiemap->fm_extents[i];

			at = extent->fe_logical + extent->fe_length;
			last |= extent->fe_flags & FIEMAP_EXTENT_LAST;
			r = delta_extents_mapped(extents, fault, fd, extent);
		}
		if (!r && extents->count > DELTA_EXTENTS_MAX)
			r = -ENOBUFS;
	}
	free(fiemap);
	return r;
}

/* Count the bytes from AT to END of a file of SIZE bytes. */
static void delta_extents_count(uint64_t at, uint64_t end, uint64_t size, struct sums *sums)
{
	sums->bytes = bytes_add(sums->bytes, MIN(end, size) - MIN(at, size));
	sums->disk_bytes += end - at;
}

/* Do A, of EXTENTS, and B, of OTHER, hold the same where they overlap? */
static bool delta_extents_same(const struct delta_extents *extents, const struct delta_extent *a,
			       const struct delta_extents *other, const struct delta_extent *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case DELTA_PLAIN:
		return a->address - a->offset == b->address - b->offset;
	case DELTA_ENCODED:
		return a->address == b->address;
	case DELTA_INLINED:
		return extents->bytes_size == other->bytes_size &&
		       !memcmp(extents->bytes, other->bytes, other->bytes_size);
	case DELTA_UNPLACED:
		break;
	}
	return false;
}

void delta_extents_differ(const struct delta_extents *extents, const struct delta_extents *other,
			  uint64_t size, struct sums *sums)
{
	size_t next = 0;

	for (size_t i = 0; i < extents->count; i++) {
		const struct delta_extent *extent = &extents->list[i];
		uint64_t at = extent->offset, end = at + extent->length;

		while (at < end) {
			const struct delta_extent *beside;
			uint64_t stop;

			while (next < other->count &&
			       other->list[next].offset + other->list[next].length <= at)
				next++;
			beside = next < other->count ? &other->list[next] : NULL;
			if (!beside || beside->offset >= end)
				stop = end;
			else
				stop = beside->offset > at
					       ? beside->offset
					       : MIN(end, beside->offset + beside->length);
			if (!beside || beside->offset > at ||
			    !delta_extents_same(extents, extent, other, beside))
				delta_extents_count(at, stop, size, sums);
			at = stop;
		}
	}
}

void delta_extents_free(struct delta_extents *extents)
{
	free(extents->list);
	free(extents->bytes);
	*extents = (struct delta_extents){ .count = 0 };
}
