/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sign of a time in a PAX header. libarchive reads "mtime=-0.5" as 0 seconds and .5: the same
 * as "mtime=0.5". So the last bytes passed to it are kept, and checked where a time is in the first
 * second of 1970.
 */
#ifndef VARVE_ARCHIVE_PAX_H
#define VARVE_ARCHIVE_PAX_H

#include "engine/base/limits.h"

#include <stddef.h>
#include <stdint.h>

/* The last bytes of an archive that libarchive has. */
struct pax {
	/* The last piece, which its owner keeps, and the offset of its end in the archive. */
	const char *piece;
	size_t piece_size;
	int64_t end;
	/* The end of the pieces before it. */
	char before[PAX_BEFORE_BYTES];
	size_t before_size;
};

/* Keep the end of the last piece, before it goes. */
void pax_keep(struct pax *pax);

/* libarchive is given PIECE, of SIZE bytes, which stays until pax_keep(). */
void pax_take(struct pax *pax, const void *piece, size_t size);

/*
 * Has the entry whose headers begin at POSITION a time of modification with a minus? 1, 0, or
 * -ENODATA: the headers are gone.
 */
int pax_negative(const struct pax *pax, int64_t position);

#endif
