/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, by zlib alone, so that the bytes do not depend on which libraries are installed. */
#include "engine/archive/encoding.h"
#include "engine/base/library.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <errno.h>
#include <zlib.h>

#define DEFLATE_CALLS(CALL) \
	CALL(deflate) CALL(deflateBound) CALL(deflateEnd) CALL(deflateInit2_) CALL(deflateReset)

/* For deflateInit2(): the largest window, and gzip; the memory that zlib takes by default. */
#define ZLIB_WINDOW_BITS (15 + 16)
#define ZLIB_MEMORY_LEVEL 8

struct gzip_encoder {
	struct {
		DEFLATE_CALLS(LIBRARY_FIELD)
	} lib;
	z_stream stream;
};

static void *gzip_alloc(void *fault, unsigned count, unsigned size)
{
	return fault_calloc(fault, count, size);
}

static void gzip_free(void *fault, void *memory)
{
	free(memory);
}

static int gzip_encoder_begin(struct encoder *encoder)
{
	static const char *const names[] = { DEFLATE_CALLS(LIBRARY_NAME) };
	struct gzip_encoder *gzip = fault_calloc(encoder->fault, 1, sizeof(*gzip));
	int r = gzip ? library_load("libz.so.1", names, ARRAY_SIZE(names), &gzip->lib) : -ENOMEM;

	if (!r) {
		gzip->stream = (z_stream){ .zalloc = gzip_alloc,
					   .zfree = gzip_free,
					   .opaque = encoder->fault };
		r = gzip->lib.deflateInit2_(&gzip->stream, encoder->level, Z_DEFLATED,
					    ZLIB_WINDOW_BITS, ZLIB_MEMORY_LEVEL, Z_DEFAULT_STRATEGY,
					    ZLIB_VERSION, (int)sizeof(z_stream));
		r = r == Z_MEM_ERROR ? -ENOMEM : r ? -ENOTSUP : 0;
	}
	if (r)
		free(gzip);
	else
		encoder->state = gzip;
	return r;
}

static size_t gzip_bound(const struct encoder *encoder, size_t size)
{
	struct gzip_encoder *gzip = encoder->state;

	return gzip->lib.deflateBound(&gzip->stream, size);
}

static ssize_t gzip_encode(struct encoder *encoder, const void *in, size_t size, void *out,
			   size_t room)
{
	struct gzip_encoder *gzip = encoder->state;

	gzip->stream.next_in = (Bytef *)in;
	gzip->stream.avail_in = (uInt)size;
	gzip->stream.next_out = out;
	gzip->stream.avail_out = (uInt)room;
	if (gzip->lib.deflateReset(&gzip->stream) != Z_OK ||
	    gzip->lib.deflate(&gzip->stream, Z_FINISH) != Z_STREAM_END)
		return -EIO;
	return (ssize_t)(room - gzip->stream.avail_out);
}

static void gzip_encoder_end(struct encoder *encoder)
{
	struct gzip_encoder *gzip = encoder->state;

	gzip->lib.deflateEnd(&gzip->stream);
	free(gzip);
}

const struct encoding encoding_gzip = {
	.missing = "gzip archives take libz.so.1 (in Debian: zlib1g)",
	.level_default = GZIP_LEVEL_DEFAULT,
	.begin = gzip_encoder_begin,
	.bound = gzip_bound,
	.run = gzip_encode,
	.end = gzip_encoder_end,
};
