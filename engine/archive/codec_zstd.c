/* SPDX-License-Identifier: Apache-2.0 */
/* zstd, by libzstd. */
#include "engine/archive/codec.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_CALLS(CALL)             \
	CALL(ZSTD_DCtx_setParameter) \
	CALL(ZSTD_createDCtx)        \
	CALL(ZSTD_decompressStream)  \
	CALL(ZSTD_freeDCtx)          \
	CALL(ZSTD_getErrorCode)      \
	CALL(ZSTD_isError)

struct zstd {
	struct {
		ZSTD_CALLS(LIBRARY_FIELD)
	} lib;
	ZSTD_DCtx *context;
};

static int zstd_begin(struct decoder *decoder)
{
	static const char *const names[] = { ZSTD_CALLS(LIBRARY_NAME) };
	struct zstd *zstd = fault_calloc(decoder->fault, 1, sizeof(*zstd));
	int r = zstd ? library_load("libzstd.so.1", names, ARRAY_SIZE(names), &zstd->lib) : -ENOMEM;

	if (!r) {
		zstd->context = fault_hit(decoder->fault, FAULT_ALLOCATION)
					? NULL
					: zstd->lib.ZSTD_createDCtx();
		r = zstd->context ? 0 : -ENOMEM;
	}
	if (!r && zstd->lib.ZSTD_isError(zstd->lib.ZSTD_DCtx_setParameter(zstd->context,
									  ZSTD_d_windowLogMax,
									  ZSTD_WINDOW_LOG_MAX)))
		r = -ENOTSUP;
	decoder->state = zstd;
	if (r && zstd)
		decoder->codec->end(decoder);
	return r;
}

static int zstd_run(struct decoder *decoder)
{
	struct zstd *zstd = decoder->state;
	ZSTD_inBuffer in = { .src = decoder->in, .size = decoder->in_left };
	ZSTD_outBuffer out = { .dst = decoder->out, .size = decoder->out_left };
	size_t r = zstd->lib.ZSTD_decompressStream(zstd->context, &out, &in);

	decoder->in += in.pos;
	decoder->in_left -= in.pos;
	decoder->out += out.pos;
	decoder->out_left -= out.pos;
	if (!zstd->lib.ZSTD_isError(r))
		return r ? CODEC_MORE : CODEC_END;
	switch (zstd->lib.ZSTD_getErrorCode(r)) {
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	case ZSTD_error_frameParameter_windowTooLarge:
		decoder->detail =
			"a zstd window of more than 128 MiB: compress by zstd --long=27 or less";
		return -ENOBUFS;
	case ZSTD_error_dictionary_wrong:
		decoder->detail = "compressed by zstd with a dictionary";
		return -ENOTSUP;
	default:
		return -EBADMSG;
	}
}

static int zstd_again(struct decoder *decoder)
{
	return 0;
}

static void zstd_end(struct decoder *decoder)
{
	struct zstd *zstd = decoder->state;

	/* NULL also where the library was not loaded. */
	if (zstd->context)
		zstd->lib.ZSTD_freeDCtx(zstd->context);
	free(zstd);
}

const struct codec codec_zstd = {
	CODEC_TEXTS("zstd", "libzstd.so.1 (in Debian: libzstd1)"),
	.begin = zstd_begin,
	.run = zstd_run,
	.again = zstd_again,
	.end = zstd_end,
};
