/* SPDX-License-Identifier: Apache-2.0 */
/* bzip2, by libbz2. It takes 4 MiB at most. */
#include "engine/archive/codec.h"
#include "engine/base/util.h"

#include <bzlib.h>

#define BZIP2_CALLS(CALL) \
	CALL(BZ2_bzDecompress) CALL(BZ2_bzDecompressEnd) CALL(BZ2_bzDecompressInit)

struct bzip2 {
	struct {
		BZIP2_CALLS(LIBRARY_FIELD)
	} lib;
	bz_stream stream;
};

static void *bzip2_alloc(void *fault, int count, int size)
{
	return fault_calloc(fault, (size_t)count, (size_t)size);
}

static void bzip2_free(void *fault, void *memory)
{
	free(memory);
}

/* Prepare for a member. */
static int bzip2_init(struct decoder *decoder, struct bzip2 *bzip2)
{
	bzip2->stream = (bz_stream){ .bzalloc = bzip2_alloc,
				     .bzfree = bzip2_free,
				     .opaque = decoder->fault };
	return bzip2->lib.BZ2_bzDecompressInit(&bzip2->stream, 0, 0) == BZ_OK ? 0 : -ENOMEM;
}

static int bzip2_begin(struct decoder *decoder)
{
	static const char *const names[] = { BZIP2_CALLS(LIBRARY_NAME) };
	struct bzip2 *bzip2 = fault_calloc(decoder->fault, 1, sizeof(*bzip2));
	int r = bzip2 ? library_load("libbz2.so.1", names, ARRAY_SIZE(names), &bzip2->lib)
		      : -ENOMEM;

	/* The soname in Debian. */
	if (r == -ENOTSUP)
		r = library_load("libbz2.so.1.0", names, ARRAY_SIZE(names), &bzip2->lib);
	if (!r)
		r = bzip2_init(decoder, bzip2);
	if (r)
		free(bzip2);
	else
		decoder->state = bzip2;
	return r;
}

static int bzip2_run(struct decoder *decoder)
{
	struct bzip2 *bzip2 = decoder->state;
	int r;

	DECODER_LEND(decoder, &bzip2->stream);
	r = bzip2->lib.BZ2_bzDecompress(&bzip2->stream);
	DECODER_TAKE_BACK(decoder, &bzip2->stream);
	switch (r) {
	case BZ_STREAM_END:
		return CODEC_END;
	case BZ_OK:
		return CODEC_MORE;
	case BZ_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int bzip2_again(struct decoder *decoder)
{
	struct bzip2 *bzip2 = decoder->state;

	bzip2->lib.BZ2_bzDecompressEnd(&bzip2->stream);
	return bzip2_init(decoder, bzip2);
}

static void bzip2_end(struct decoder *decoder)
{
	struct bzip2 *bzip2 = decoder->state;

	/* For a stream without state it only returns an error. */
	bzip2->lib.BZ2_bzDecompressEnd(&bzip2->stream);
	free(bzip2);
}

const struct codec codec_bzip2 = {
	CODEC_TEXTS("bzip2", "libbz2.so.1 (in Debian: libbz2-1.0)"),
	.begin = bzip2_begin,
	.run = bzip2_run,
	.again = bzip2_again,
	.end = bzip2_end,
};
