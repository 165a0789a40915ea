/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extents of a file, and which of them another file does not have at the same place. Both
 * methods of measuring a delta use this, one with the items of the trees, one with FIEMAP; so their
 * numbers are the same. When are extents of two files the same?
 *
 *	plain      if they have the same address on disk
 *	encoded    if they are the same extent: it is compressed, and no map shows which part of it a file uses
 *	inlined    if they have the same bytes, but for zeros at the end: they have no address. A search compares a
 *	           compressed one only with a compressed one, byte by byte
 *	unplaced   never: they are not on disk yet
 */
#ifndef VARVE_DIFF_DELTA_EXTENTS_H
#define VARVE_DIFF_DELTA_EXTENTS_H

#include "engine/base/fault.h"
#include "engine/walk/workers.h"

/* An extent. */
struct delta_extent {
	/* Where in the file, and how long; where on disk. */
	uint64_t offset, length, address;
	enum { DELTA_PLAIN, DELTA_ENCODED, DELTA_INLINED, DELTA_UNPLACED } kind;
	/* An inlined one is compressed. */
	bool encoded;
};

/* Extents of one file, in order. */
struct delta_extents {
	struct delta_extent *list;
	size_t count, capacity;
	/* The content of an inlined extent. */
	void *bytes;
	size_t bytes_size;
};

/* Add EXTENT, which lies behind those before it. 0 or -ENOMEM. */
int delta_extents_add(struct delta_extents *extents, struct fault *fault,
		      const struct delta_extent *extent);

/* Keep a copy of the SIZE BYTES of the inlined extent. 0 or -ENOMEM. */
int delta_extents_inlined(struct delta_extents *extents, struct fault *fault, const void *bytes,
			  size_t size);

/* Read the map of extents of the regular file FD. 0 or -errno. */
int delta_extents_read(struct delta_extents *extents, struct fault *fault, int fd);

/*
 * Add to SUMS what a file of SIZE bytes has in EXTENTS and not at the same place in OTHER: the
 * bytes below SIZE, and the space.
 */
void delta_extents_differ(const struct delta_extents *extents, const struct delta_extents *other,
			  uint64_t size, struct sums *sums);

/* Free what EXTENTS hold; they are empty then. */
void delta_extents_free(struct delta_extents *extents);

#endif
