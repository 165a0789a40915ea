/* SPDX-License-Identifier: Apache-2.0 */
/* zstd, by libzstd, with a checksum in each frame. */
#include "engine/archive/encoding.h"
#include "engine/base/library.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_ENCODER_CALLS(CALL)     \
	CALL(ZSTD_CCtx_setParameter) \
	CALL(ZSTD_compress2)         \
	CALL(ZSTD_compressBound)     \
	CALL(ZSTD_createCCtx)        \
	CALL(ZSTD_freeCCtx)          \
	CALL(ZSTD_getErrorCode)      \
	CALL(ZSTD_isError)

struct zstd_encoder {
	struct {
		ZSTD_ENCODER_CALLS(LIBRARY_FIELD)
	} lib;
	ZSTD_CCtx *context;
};

static int zstd_encoder_begin(struct encoder *encoder)
{
	static const char *const names[] = { ZSTD_ENCODER_CALLS(LIBRARY_NAME) };
	struct zstd_encoder *zstd = fault_calloc(encoder->fault, 1, sizeof(*zstd));
	int r = zstd ? library_load("libzstd.so.1", names, ARRAY_SIZE(names), &zstd->lib) : -ENOMEM;

	if (!r) {
		zstd->context = fault_hit(encoder->fault, FAULT_ALLOCATION)
					? NULL
					: zstd->lib.ZSTD_createCCtx();
		r = zstd->context ? 0 : -ENOMEM;
	}
	if (!r &&
	    (zstd->lib.ZSTD_isError(zstd->lib.ZSTD_CCtx_setParameter(
		     zstd->context, ZSTD_c_compressionLevel, encoder->level)) ||
	     zstd->lib.ZSTD_isError(
		     zstd->lib.ZSTD_CCtx_setParameter(zstd->context, ZSTD_c_checksumFlag, 1))))
		r = -ENOTSUP;
	if (r && zstd && zstd->context)
		zstd->lib.ZSTD_freeCCtx(zstd->context);
	if (r)
		free(zstd);
	else
		encoder->state = zstd;
	return r;
}

static size_t zstd_bound(const struct encoder *encoder, size_t size)
{
	const struct zstd_encoder *zstd = encoder->state;

	return zstd->lib.ZSTD_compressBound(size);
}

static ssize_t zstd_encode(struct encoder *encoder, const void *in, size_t size, void *out,
			   size_t room)
{
	struct zstd_encoder *zstd = encoder->state;
	size_t r = zstd->lib.ZSTD_compress2(zstd->context, out, room, in, size);

	if (!zstd->lib.ZSTD_isError(r))
		return (ssize_t)r;
	return zstd->lib.ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO;
}

static void zstd_encoder_end(struct encoder *encoder)
{
	struct zstd_encoder *zstd = encoder->state;

	zstd->lib.ZSTD_freeCCtx(zstd->context);
	free(zstd);
}

const struct encoding encoding_zstd = {
	.missing = "zstd archives take libzstd.so.1 (in Debian: libzstd1)",
	.level_default = ZSTD_LEVEL_DEFAULT,
	.begin = zstd_encoder_begin,
	.bound = zstd_bound,
	.run = zstd_encode,
	.end = zstd_encoder_end,
};
