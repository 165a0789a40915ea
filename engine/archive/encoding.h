/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How archives that are written are compressed: gzip and zstd, by the library of each, which is
 * loaded when it is first needed. A block becomes a member, or a frame, of its own.
 */
#ifndef VARVE_ARCHIVE_ENCODING_H
#define VARVE_ARCHIVE_ENCODING_H

#include "engine/base/fault.h"

#include <stdint.h>

/* One thread's compressor. */
struct encoder {
	struct fault *fault;
	int level;
	/* The encoding's own. */
	void *state;
};

struct encoding {
	/* The detail of a failure because the library is missing. */
	const char *missing;
	int level_default;
	/* Load the library and prepare: 0, -ENOTSUP (no library), -ENOMEM. */
	int (*begin)(struct encoder *encoder);
	/* The most bytes that SIZE bytes become. */
	size_t (*bound)(const struct encoder *encoder, size_t size);
	/* Compress SIZE bytes at IN into ROOM bytes at OUT: how many, or -ENOMEM, -EIO. */
	ssize_t (*run)(struct encoder *encoder, const void *in, size_t size, void *out,
		       size_t room);
	/* Free the state. Only after a begin() that did not fail. */
	void (*end)(struct encoder *encoder);
};

extern const struct encoding encoding_gzip, encoding_zstd;

#endif
