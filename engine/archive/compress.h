/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of an archive that is written, compressed by threads of the library if the options say
 * so:
 *
 *	the thread that packs -> blocks -> threads that compress -> the thread that packs -> stream
 *
 * Each block of COMPRESS_BLOCK_BYTES becomes a gzip member, or a zstd frame, of its own, and they
 * are written in order: so the bytes do not depend on the number of threads. The thread that packs
 * fills the next blocks while others are compressed, and writes those that are done; where no
 * thread can be started it compresses them itself. Digests are taken here, too.
 */
#ifndef VARVE_ARCHIVE_COMPRESS_H
#define VARVE_ARCHIVE_COMPRESS_H

#include "engine/archive/digest.h"
#include "engine/archive/encoding.h"
#include "engine/archive/stream.h"
#include "engine/base/limits.h"

#include <pthread.h>

struct compress {
	/* ---- set by the caller that begins it ---- */
	struct stream *stream;
	struct fault *fault;
	struct digests *digests;
	/* NULL: nothing is compressed. */
	const struct encoding *encoding;
	int level;
	unsigned threads_max;

	/* ---- of the thread that packs ---- */
	/* Its own compressor, for the case that no thread can be started. */
	struct encoder own;
	bool begun, spread;
	pthread_t threads[COMPRESS_THREADS_MAX];
	unsigned threads_count;
	/* The most blocks at once, including those that are done and not yet written. */
	size_t count;
	/* The next block to be written to the stream. */
	size_t written;

	/* ---- guarded by lock, once there are threads ---- */
	pthread_mutex_t lock;
	/* Signalled when there is a block to compress, or will be none; when one is done. */
	pthread_cond_t work, done;
	struct compress_block {
		uint8_t *in, *out;
		size_t in_size, out_size, out_room;
		bool done;
		/* The result of its compression. */
		int error;
	} blocks[COMPRESS_THREADS_MAX + 2];
	/* The next one to be filled, and to be compressed. */
	size_t next, at;
	bool over;
};

/* Begin, until compress_end(). 0, -ENOTSUP (no library) or -ENOMEM. */
int compress_begin(struct compress *compress);

/* Write SIZE BYTES of the plain archive: 0, or -errno as stream_write(), or -ENOMEM. */
int compress_write(struct compress *compress, const void *bytes, size_t size);

/* Write the rest to the stream; nothing is added after this. As compress_write(). */
int compress_finish(struct compress *compress);

/* End the threads and free everything; harmless where nothing was begun. */
void compress_end(struct compress *compress);

#endif
