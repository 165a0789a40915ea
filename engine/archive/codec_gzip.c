/* SPDX-License-Identifier: Apache-2.0 */
/* gzip: by isa-l, which takes half of the time, where it is installed, else by zlib. */
#include "engine/archive/codec.h"
#include "engine/base/util.h"

#include <zlib.h>
#if __has_include(<isa-l/igzip_lib.h>)
#define GZIP_ISAL
#include <isa-l/igzip_lib.h>
#endif

/* ---- isa-l ----------------------------------------------------------------------------------- */

#ifdef GZIP_ISAL
#define ISAL_CALLS(CALL) CALL(isal_inflate) CALL(isal_inflate_init) CALL(isal_inflate_reset)

struct isal_lib {
	ISAL_CALLS(LIBRARY_FIELD)
};

struct isal {
	struct isal_lib lib;
	struct inflate_state stream;
};

static int isal_run(struct decoder *decoder)
{
	struct isal *isal = decoder->state;
	int r;

	DECODER_LEND(decoder, &isal->stream);
	r = isal->lib.isal_inflate(&isal->stream);
	DECODER_TAKE_BACK(decoder, &isal->stream);
	if (r < 0 || r == ISAL_NEED_DICT)
		return -EBADMSG;
	return isal->stream.block_state == ISAL_BLOCK_FINISH ? CODEC_END : CODEC_MORE;
}

static int isal_again(struct decoder *decoder)
{
	struct isal *isal = decoder->state;

	isal->lib.isal_inflate_reset(&isal->stream);
	isal->stream.crc_flag = ISAL_GZIP;
	return 0;
}

static void isal_end(struct decoder *decoder)
{
	free(decoder->state);
}

static const struct codec gzip_isal = {
	CODEC_TEXTS("gzip", ""),
	.run = isal_run,
	.again = isal_again,
	.end = isal_end,
};

/* Let isa-l decompress: 0, -ENOTSUP (it is not there), -ENOMEM. */
static int gzip_begin_isal(struct decoder *decoder)
{
	static const char *const names[] = { ISAL_CALLS(LIBRARY_NAME) };
	struct isal_lib lib;
	struct isal *isal;
	int r = library_load("libisal.so.2", names, ARRAY_SIZE(names), &lib);

	if (r)
		return r;
	isal = decoder->state = fault_calloc(decoder->fault, 1, sizeof(*isal));
	if (!isal)
		return -ENOMEM;
	isal->lib = lib;
	lib.isal_inflate_init(&isal->stream);
	isal->stream.crc_flag = ISAL_GZIP;
	decoder->codec = &gzip_isal;
	return 0;
}
#else
static int gzip_begin_isal(struct decoder *decoder)
{
	return -ENOTSUP;
}
#endif

/* ---- zlib ------------------------------------------------------------------------------------ */

#define ZLIB_CALLS(CALL) CALL(inflate) CALL(inflateEnd) CALL(inflateInit2_) CALL(inflateReset)

/* For inflateInit2(): the largest window, and gzip only. */
#define ZLIB_WINDOW_BITS (15 + 16)

struct zlib {
	struct {
		ZLIB_CALLS(LIBRARY_FIELD)
	} lib;
	z_stream stream;
};

static void *zlib_alloc(void *fault, unsigned count, unsigned size)
{
	return fault_calloc(fault, count, size);
}

static void zlib_free(void *fault, void *memory)
{
	free(memory);
}

static int gzip_begin(struct decoder *decoder)
{
	static const char *const names[] = { ZLIB_CALLS(LIBRARY_NAME) };
	int r = gzip_begin_isal(decoder);
	struct zlib *zlib;

	if (r != -ENOTSUP)
		return r;
	zlib = fault_calloc(decoder->fault, 1, sizeof(*zlib));
	r = zlib ? library_load("libz.so.1", names, ARRAY_SIZE(names), &zlib->lib) : -ENOMEM;
	if (!r) {
		zlib->stream = (z_stream){ .zalloc = zlib_alloc,
					   .zfree = zlib_free,
					   .opaque = decoder->fault };
		r = zlib->lib.inflateInit2_(&zlib->stream, ZLIB_WINDOW_BITS, ZLIB_VERSION,
					    (int)sizeof(z_stream));
		r = r == Z_MEM_ERROR ? -ENOMEM : r ? -ENOTSUP : 0;
	}
	if (r)
		free(zlib);
	else
		decoder->state = zlib;
	return r;
}

static int gzip_run(struct decoder *decoder)
{
	struct zlib *zlib = decoder->state;
	int r;

	DECODER_LEND(decoder, &zlib->stream);
	r = zlib->lib.inflate(&zlib->stream, Z_NO_FLUSH);
	DECODER_TAKE_BACK(decoder, &zlib->stream);
	switch (r) {
	case Z_STREAM_END:
		return CODEC_END;
	case Z_OK:
	case Z_BUF_ERROR: /* There was nothing to do. */
		return CODEC_MORE;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int gzip_again(struct decoder *decoder)
{
	struct zlib *zlib = decoder->state;

	return zlib->lib.inflateReset(&zlib->stream) == Z_OK ? 0 : -EBADMSG;
}

static void gzip_end(struct decoder *decoder)
{
	struct zlib *zlib = decoder->state;

	zlib->lib.inflateEnd(&zlib->stream);
	free(zlib);
}

const struct codec codec_gzip = {
	CODEC_TEXTS("gzip", "libz.so.1 (in Debian: zlib1g)"),
	.begin = gzip_begin,
	.run = gzip_run,
	.again = gzip_again,
	.end = gzip_end,
};
