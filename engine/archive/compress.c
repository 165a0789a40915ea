/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/compress.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

#include <string.h>

int compress_begin(struct compress *compress)
{
	int r;

	if (!compress->encoding)
		return 0;
	compress->own = (struct encoder){ .fault = compress->fault, .level = compress->level };
	r = compress->encoding->begin(&compress->own);
	if (r)
		return r;
	pthread_mutex_init(&compress->lock, NULL);
	pthread_cond_init(&compress->work, NULL);
	pthread_cond_init(&compress->done, NULL);
	compress->count = compress->threads_max + 2;
	compress->begun = true;
	return 0;
}

/* ---- the threads that compress --------------------------------------------------------------- */

/* Compress BLOCK by ENCODER. */
static void compress_block(const struct compress *compress, struct encoder *encoder,
			   struct compress_block *block)
{
	ssize_t size = compress->encoding->run(encoder, block->in, block->in_size, block->out,
					       block->out_room);

	block->error = (int)MIN(size, 0);
	block->out_size = (size_t)MAX(size, 0);
}

/* Compress blocks until there will be no more. */
static void *compress_run(void *data)
{
	struct compress *compress = data;
	struct encoder encoder = { .fault = compress->fault, .level = compress->level };
	int r = compress->encoding->begin(&encoder);

	pthread_mutex_lock(&compress->lock);
	for (;;) {
		struct compress_block *block;

		while (compress->at == compress->next && !compress->over)
			pthread_cond_wait(&compress->work, &compress->lock);
		if (compress->over)
			break;
		block = &compress->blocks[compress->at++ % compress->count];
		pthread_mutex_unlock(&compress->lock);
		if (r)
			block->error = r;
		else
			compress_block(compress, &encoder, block);
		pthread_mutex_lock(&compress->lock);
		block->done = true;
		pthread_cond_signal(&compress->done);
	}
	pthread_mutex_unlock(&compress->lock);
	if (!r)
		compress->encoding->end(&encoder);
	return NULL;
}

/* ---- the thread that packs ------------------------------------------------------------------- */

/* Start one more thread, if there may be one: each block that is handed over asks for it. */
static void compress_spread(struct compress *compress)
{
	if (compress->spread || compress->threads_count == compress->threads_max)
		return;
	if (fault_hit(compress->fault, FAULT_LANE) ||
	    thread_start("compress", compress_run, compress,
			 &compress->threads[compress->threads_count]))
		compress->spread = true;
	else
		compress->threads_count++;
}

/* Write SIZE BYTES to the stream as they are. */
static int compress_put(struct compress *compress, const void *bytes, size_t size)
{
	int r = digest_add(&compress->digests->stream, bytes, size);

	return r ? r : stream_write(compress->stream, bytes, size);
}

/*
 * Write blocks in order: wait until at most LEFT are not written, and write further ones that are
 * done. 0 or -errno.
 */
static int compress_drain(struct compress *compress, size_t left)
{
	int r = 0;

	while (!r && compress->written != compress->next) {
		struct compress_block *block =
			&compress->blocks[compress->written % compress->count];
		bool done;

		pthread_mutex_lock(&compress->lock);
		while (!block->done && compress->next - compress->written > left)
			pthread_cond_wait(&compress->done, &compress->lock);
		done = block->done;
		pthread_mutex_unlock(&compress->lock);
		if (!done)
			break;
		r = block->error ? block->error
				 : compress_put(compress, block->out, block->out_size);
		block->done = false;
		block->in_size = 0;
		compress->written++;
	}
	return r;
}

/* Hand BLOCK, the next one, to the threads, or compress it here. 0 or -errno. */
static int compress_hand_over(struct compress *compress, struct compress_block *block)
{
	compress_spread(compress);
	if (!compress->threads_count) {
		compress_block(compress, &compress->own, block);
		block->done = true;
		compress->at++;
		compress->next++;
		return compress_drain(compress, 0);
	}
	pthread_mutex_lock(&compress->lock);
	compress->next++;
	pthread_cond_signal(&compress->work);
	pthread_mutex_unlock(&compress->lock);
	return compress_drain(compress, compress->count - 1);
}

/* The block to be filled, with its memory; NULL: there is none. */
static struct compress_block *compress_fill(struct compress *compress)
{
	struct compress_block *block = &compress->blocks[compress->next % compress->count];

	if (!block->in)
		block->in = fault_realloc(compress->fault, NULL, COMPRESS_BLOCK_BYTES);
	if (!block->out) {
		block->out_room = compress->encoding->bound(&compress->own, COMPRESS_BLOCK_BYTES);
		block->out = fault_realloc(compress->fault, NULL, block->out_room);
	}
	return block->in && block->out ? block : NULL;
}

int compress_write(struct compress *compress, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	int r;

	if (!compress->encoding)
		return compress_put(compress, bytes, size);
	r = digest_add(&compress->digests->plain, bytes, size);
	while (!r && size) {
		struct compress_block *block = compress_fill(compress);
		size_t length;

		if (!block)
			return -ENOMEM;
		length = MIN(size, COMPRESS_BLOCK_BYTES - block->in_size);
		memcpy(block->in + block->in_size, at, length);
		block->in_size += length;
		at += length;
		size -= length;
		if (block->in_size == COMPRESS_BLOCK_BYTES)
			r = compress_hand_over(compress, block);
	}
	return r;
}

int compress_finish(struct compress *compress)
{
	struct compress_block *block;
	int r = 0;

	if (!compress->encoding)
		return 0;
	block = compress_fill(compress);
	if (!block)
		return -ENOMEM;
	/* An empty archive is a member, too. */
	if (block->in_size || !compress->next)
		r = compress_hand_over(compress, block);
	return r ? r : compress_drain(compress, 0);
}

void compress_end(struct compress *compress)
{
	if (!TAKE(compress->begun, false))
		return;
	pthread_mutex_lock(&compress->lock);
	compress->over = true;
	pthread_cond_broadcast(&compress->work);
	pthread_mutex_unlock(&compress->lock);
	for (unsigned i = 0; i < compress->threads_count; i++)
		pthread_join(compress->threads[i], NULL);
	compress->encoding->end(&compress->own);
	for (size_t i = 0; i < compress->count; i++) {
		free(compress->blocks[i].in);
		free(compress->blocks[i].out);
	}
	pthread_cond_destroy(&compress->done);
	pthread_cond_destroy(&compress->work);
	pthread_mutex_destroy(&compress->lock);
}
