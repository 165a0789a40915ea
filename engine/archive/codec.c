/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/codec.h"
#include "engine/base/util.h"

#include <string.h>

/* Where a tar header has its checksum. */
#define HEADER_CHECKSUM 148
#define HEADER_CHECKSUM_BYTES 8

/* A format that is recognised only to be refused. */
#define CODEC_OTHER(NAME)                                                                \
	{                                                                                \
		.name = NAME,                                                            \
		.refused = "compressed by " NAME "; gzip, zstd, xz and bzip2 are taken", \
		.within = CODEC_WITHIN(NAME)                                             \
	}

static const struct codec codec_lz4 = CODEC_OTHER("lz4");
static const struct codec codec_compress = CODEC_OTHER("compress");
static const struct codec codec_lzip = CODEC_OTHER("lzip");
static const struct codec codec_lzop = CODEC_OTHER("lzop");
static const struct codec codec_zip = CODEC_OTHER("zip");

/* The first bytes of what a codec has made. */
struct signature {
	const struct codec *codec;
	size_t size;
	uint8_t bytes[CODEC_SIGNATURE_BYTES_MAX];
	/* Bits that may differ. */
	uint8_t free[CODEC_SIGNATURE_BYTES_MAX];
};

static const struct signature signatures[] = {
	{ &codec_gzip, 3, "\x1f\x8b\x08", "" },
	{ &codec_zstd, 4, "\x28\xb5\x2f\xfd", "" },
	/* A frame to be skipped. */
	{ &codec_zstd, 4, "\x50\x2a\x4d\x18", "\x0f" },
	{ &codec_xz, 6, "\xfd\x37zXZ\0", "" },
	/*
	 * A first block, or the end of a stream that has none; the digit between is the size of
	 * blocks.
	 */
	{ &codec_bzip2, 10, "BZh0\x31\x41\x59\x26\x53\x59", "\0\0\0\x0f" },
	{ &codec_bzip2, 10, "BZh0\x17\x72\x45\x38\x50\x90", "\0\0\0\x0f" },
	{ &codec_lz4, 4, "\x04\x22\x4d\x18", "" },
	{ &codec_compress, 2, "\x1f\x9d", "" },
	{ &codec_lzip, 4, "LZIP", "" },
	{ &codec_lzop, 5, "\x89LZO\0", "" },
	{ &codec_zip, 4, "PK\3\4", "" },
};

/* Do the first SIZE bytes of SIGNATURE allow BYTES? */
static bool signature_fits(const struct signature *signature, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < MIN(size, signature->size); i++)
		if ((bytes[i] ^ signature->bytes[i]) & ~signature->free[i])
			return false;
	return true;
}

/* Is BLOCK a tar header? Check its checksum, which is of the block with blanks in its own place. */
static bool codec_is_header(const uint8_t *block)
{
	char text[HEADER_CHECKSUM_BYTES + 1] = "", *end;
	unsigned long sum = HEADER_CHECKSUM_BYTES * ' ', stated;

	for (size_t i = 0; i < CODEC_HEADER_BYTES; i++)
		if (i < HEADER_CHECKSUM || i >= HEADER_CHECKSUM + HEADER_CHECKSUM_BYTES)
			sum += block[i];
	memcpy(text, block + HEADER_CHECKSUM, HEADER_CHECKSUM_BYTES);
	stated = strtoul(text, &end, 8);
	return end != text && stated == sum;
}

const struct codec *codec_find(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
		if (signature_fits(&signatures[i], bytes, size))
			return size >= CODEC_HEADER_BYTES && codec_is_header(bytes)
				       ? NULL
				       : signatures[i].codec;
	return NULL;
}

bool codec_begins(const struct codec *codec, uint8_t byte)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
		if (signatures[i].codec == codec && signature_fits(&signatures[i], &byte, 1))
			return true;
	return false;
}
