/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's changes as a tar archive (PAX), or how many bytes of files they are.
 *
 * One thread writes the archive, in the order of the changes; some others read ahead (prefetch.h).
 *
 * A name that begins with ".wh." would be read as a deletion, and fails the archive.
 *
 * An entry that vanished, or that the caller may not read, is reported and left out; any other
 * failure ends the archive. A file that shrinks while it is read is filled up with zeros, and one
 * that grows is cut off, so the archive stays valid. Holes are not read.
 */
#ifndef VARVE_ARCHIVE_PACK_H
#define VARVE_ARCHIVE_PACK_H

#include "engine/base/skipped.h"
#include "engine/archive/compress.h"
#include "engine/archive/libarchive.h"
#include "engine/archive/pieces.h"
#include "engine/archive/prefetch.h"
#include "engine/archive/stream.h"
#include "engine/base/id_map.h"
#include "engine/base/inode_map.h"
#include "engine/base/limits.h"

struct pack {
	/* ---- set by the caller that starts it ---- */
	/* Loaded by the thread that writes. */
	struct libarchive lib;
	/* As settings.archive_small_max. */
	size_t small_max;
	/* The maps of ids of the container. */
	const struct varve_id_map *uids, *gids;
	size_t uids_count, gids_count;
	/* Owners outside of the maps are the overflow id's; without, they fail the archive. */
	bool overflow;
	/* It was reported that an owner of the current entry is in no map. */
	bool outside;
	/* The stream that takes the archive; its digests; its compression. */
	struct stream *stream;
	struct digests digests;
	struct compress compress;
	/* A file of more bytes fails the archive; 0: any size. */
	uint64_t file_size_max;
	/* What could not be compared, sorted. */
	const struct change_list *covered;
	struct fault *fault;
	const _Atomic bool *cancelled;
	/* How the writer yields its CPU to short requests. */
	struct yield yield;

	/* ---- the writer's ---- */
	struct skipped report;
	/* The stream's error. */
	int error;
	/* The path of a failure, on the heap, the call, and a detail; NULL: none. */
	char *failed;
	const char *failed_call, *failed_detail;
	/* The extents of the current file that have data. */
	struct pieces pieces;
	/*
	 * (inode, device) of files with more than one name to the path of the first one, on the
	 * heap.
	 */
	struct inode_map links;
	/* Bytes of files, each inode once. */
	uint64_t size;
	char *buffer;

	/* ---- the writer's and those that read ahead for it ---- */
	/*
	 * prefetch.feed lists the entries; its root, changes and fault, and prefetch.search, are
	 * set by the caller that starts it.
	 */
	struct prefetch prefetch;
};

/* Prepare; pack_end() is due in any case. */
void pack_begin(struct pack *pack);

/* Write the archive: 0 or -errno. One thread. */
int pack_write(struct pack *pack);

/* Add up the sizes of files: 0 or -errno; then pack->size. */
int pack_measure(struct pack *pack);

/* Free what is held. */
void pack_end(struct pack *pack);

#endif
