/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How archives are compressed: gzip, zstd, xz and bzip2, known by their first bytes, and
 * decompressed by the library of each, which is loaded when it is first needed. Compressed data are
 * members (zstd calls them frames, xz and bzip2 streams), one after the other; a codec knows one
 * member, and inflate.c what stands between and behind them.
 */
#ifndef VARVE_ARCHIVE_CODEC_H
#define VARVE_ARCHIVE_CODEC_H

#include "engine/base/fault.h"
#include "engine/base/library.h"

#include <stdint.h>

/* Bytes of a tar header; the most bytes that tell a codec. */
#define CODEC_HEADER_BYTES ((size_t)512)
#define CODEC_SIGNATURE_BYTES_MAX ((size_t)10)

/* What codec->run() results in where it does not fail. */
enum { CODEC_MORE, CODEC_END };

struct decoder {
	/* Set by the caller: the codec, and what fails its allocations on purpose. */
	const struct codec *codec;
	struct fault *fault;
	/* The codec's own. */
	void *state;
	/* The bytes to be decompressed next, and where the decompressed ones go. */
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
	/* What a person should know of a failure, a constant; NULL: what the errno says. */
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

/* What is said of data by NAME within compressed data. */
#define CODEC_WITHIN(NAME) "compressed twice, the second time by " NAME "; one codec is taken"

/* What a codec NAME that is taken, by the library NEEDS, says of failures. */
#define CODEC_TEXTS(NAME, NEEDS)                                                          \
	.name = NAME, .cut_off = "the archive is cut off: the " NAME " data have no end", \
	.corrupt = "the archive is corrupt: the " NAME " data are damaged",               \
	.behind = "the archive is corrupt: something else follows the " NAME " data",     \
	.missing = NAME " archives take " NEEDS, .within = CODEC_WITHIN(NAME)

/* Hand DECODER's bytes and room to STREAM: all these libraries name its fields alike. */
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
 * The codec that the SIZE BYTES tell; when they are fewer than CODEC_SIGNATURE_BYTES_MAX it is one
 * that they may yet tell. NULL: none. What begins with a tar header is none, as soon as that is
 * there.
 */
const struct codec *codec_find(const uint8_t *bytes, size_t size);

/* Can a member of CODEC begin with BYTE? */
bool codec_begins(const struct codec *codec, uint8_t byte);

#endif
