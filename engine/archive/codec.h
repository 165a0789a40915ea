/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed formats of archives: gzip, zstd, xz and bzip2, recognised by their first bytes and
 * decompressed by their libraries, which are loaded when first needed. Compressed data consist of
 * members (frames of zstd, streams of xz and bzip2), one after the other; a codec handles one
 * member, and inflate.c the bytes between and behind them.
 */
#ifndef VARVE_ARCHIVE_CODEC_H
#define VARVE_ARCHIVE_CODEC_H

#include "engine/base/fault.h"
#include "engine/base/library.h"

#include <stdint.h>

/* Bytes of a tar header; the most bytes by which a codec is recognised. */
#define CODEC_HEADER_BYTES ((size_t)512)
#define CODEC_SIGNATURE_BYTES_MAX ((size_t)10)

/* Results of codec->run() without a failure. */
enum { CODEC_MORE, CODEC_END };

struct decoder {
	/* Set by the caller: the codec, and injected faults for its allocations. */
	const struct codec *codec;
	struct fault *fault;
	/* The codec's own. */
	void *state;
	/* The next bytes to decompress, and the room for decompressed ones. */
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
	/* The detail of a failure, a constant; NULL: none. */
	const char *detail;
};

struct codec {
	const char *name;
	/* Details of failures. */
	const char *cut_off, *corrupt, *behind, *missing, *refused, *within;
	/*
	 * Load the library and prepare for a member, perhaps with another codec for the same data
	 * in DECODER: 0, -ENOTSUP (no library), -ENOMEM. NULL: data of this kind are not taken.
	 */
	int (*begin)(struct decoder *decoder);
	/*
	 * Decompress as far as input and room go: CODEC_MORE, CODEC_END at the end of a member,
	 * -EBADMSG, -ENOBUFS (it takes more memory than engine/base/limits.h allows), -ENOMEM.
	 */
	int (*run)(struct decoder *decoder);
	/* Prepare for the next member: 0 or -ENOMEM. */
	int (*again)(struct decoder *decoder);
	/* Free the state. Only after a begin() that did not fail. */
	void (*end)(struct decoder *decoder);
};

/* The detail for data compressed by NAME within compressed data. */
#define CODEC_WITHIN(NAME) "compressed twice, the second time by " NAME "; one codec is taken"

/* The details of failures of the codec NAME, which takes the library NEEDS. */
#define CODEC_TEXTS(NAME, NEEDS)                                                          \
	.name = NAME, .cut_off = "the archive is cut off: the " NAME " data have no end", \
	.corrupt = "the archive is corrupt: the " NAME " data are damaged",               \
	.behind = "the archive is corrupt: something else follows the " NAME " data",     \
	.missing = NAME " archives take " NEEDS, .within = CODEC_WITHIN(NAME)

/* Set the bytes and room of STREAM from DECODER: all these libraries use the same field names. */
#define DECODER_LEND(decoder, stream)                                                       \
	do {                                                                                \
		(stream)->next_in = (__typeof__((stream)->next_in))(decoder)->in;           \
		(stream)->avail_in = (__typeof__((stream)->avail_in))(decoder)->in_left;    \
		(stream)->next_out = (__typeof__((stream)->next_out))(decoder)->out;        \
		(stream)->avail_out = (__typeof__((stream)->avail_out))(decoder)->out_left; \
	} while (0)

/* Take them back as STREAM has left them. */
#define DECODER_TAKE_BACK(decoder, stream)                          \
	do {                                                        \
		(decoder)->in = (const uint8_t *)(stream)->next_in; \
		(decoder)->in_left = (stream)->avail_in;            \
		(decoder)->out = (uint8_t *)(stream)->next_out;     \
		(decoder)->out_left = (stream)->avail_out;          \
	} while (0)

extern const struct codec codec_gzip, codec_zstd, codec_xz, codec_bzip2;

/*
 * Find the codec of data that begin with the SIZE BYTES; with fewer than CODEC_SIGNATURE_BYTES_MAX,
 * one that is still possible. NULL: none. Data that begin with a whole tar header have no codec.
 */
const struct codec *codec_find(const uint8_t *bytes, size_t size);

/* Can a member of CODEC begin with BYTE? */
bool codec_begins(const struct codec *codec, uint8_t byte);

#endif
