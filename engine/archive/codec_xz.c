/* SPDX-License-Identifier: Apache-2.0 */
/* xz, by liblzma. */
#include "engine/archive/codec.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <lzma.h>

#define XZ_CALLS(CALL) CALL(lzma_code) CALL(lzma_end) CALL(lzma_stream_decoder)

struct xz {
	struct {
		XZ_CALLS(LIBRARY_FIELD)
	} lib;
	lzma_allocator allocator;
	lzma_stream stream;
};

static void *xz_alloc(void *fault, size_t count, size_t size)
{
	return fault_calloc(fault, count, size);
}

static void xz_free(void *fault, void *memory)
{
	free(memory);
}

/* Prepare for a member; a decoder that has memory of an earlier one uses that. */
static int xz_init(struct xz *xz)
{
	/* An unknown kind of check is an error: otherwise damage would not be found. */
	lzma_ret r = xz->lib.lzma_stream_decoder(&xz->stream, XZ_MEMORY_BYTES_MAX,
						 LZMA_TELL_UNSUPPORTED_CHECK);

	return r == LZMA_OK ? 0 : -ENOMEM;
}

static int xz_begin(struct decoder *decoder)
{
	static const char *const names[] = { XZ_CALLS(LIBRARY_NAME) };
	struct xz *xz = fault_calloc(decoder->fault, 1, sizeof(*xz));
	int r = xz ? library_load("liblzma.so.5", names, ARRAY_SIZE(names), &xz->lib) : -ENOMEM;

	if (!r) {
		xz->allocator = (lzma_allocator){ .alloc = xz_alloc,
						  .free = xz_free,
						  .opaque = decoder->fault };
		xz->stream = (lzma_stream){ .allocator = &xz->allocator };
		r = xz_init(xz);
	}
	if (r)
		free(xz);
	else
		decoder->state = xz;
	return r;
}

static int xz_run(struct decoder *decoder)
{
	struct xz *xz = decoder->state;
	lzma_ret r;

	DECODER_LEND(decoder, &xz->stream);
	r = xz->lib.lzma_code(&xz->stream, LZMA_RUN);
	DECODER_TAKE_BACK(decoder, &xz->stream);
	switch (r) {
	case LZMA_STREAM_END:
		return CODEC_END;
	case LZMA_OK:
	case LZMA_BUF_ERROR: /* There was nothing to do. */
		return CODEC_MORE;
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
		decoder->detail = "an xz dictionary of more than 64 MiB: compress by xz -9 or less";
		return -ENOBUFS;
	case LZMA_UNSUPPORTED_CHECK:
	case LZMA_OPTIONS_ERROR:
		decoder->detail = "compressed by options of xz that this liblzma does not know";
		return -ENOTSUP;
	default:
		return -EBADMSG;
	}
}

static int xz_again(struct decoder *decoder)
{
	return xz_init(decoder->state);
}

static void xz_end(struct decoder *decoder)
{
	struct xz *xz = decoder->state;

	xz->lib.lzma_end(&xz->stream);
	free(xz);
}

const struct codec codec_xz = {
	CODEC_TEXTS("xz", "liblzma.so.5 (in Debian: liblzma5)"),
	.begin = xz_begin,
	.run = xz_run,
	.again = xz_again,
	.end = xz_end,
};
