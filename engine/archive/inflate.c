/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/inflate.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

#include <string.h>

/* One piece to read into, those to decompress into; digests on threads of their own, or shared. */
static_assert((1 + INFLATE_PIECES) * STREAM_CHUNK_BYTES <= INFLATE_BYTES_MAX &&
		      (1 + INFLATE_PIECES + 2 * DIGEST_PIECES) * STREAM_CHUNK_BYTES <=
			      INFLATE_DIGESTS_BYTES_MAX &&
		      2 * INFLATE_PIECES * STREAM_CHUNK_BYTES <= INFLATE_DIGESTS_BYTES_MAX,
	      "the memory of pieces");

void inflate_init(struct inflate *inflate, struct stream *stream, struct fault *fault,
		  const _Atomic bool *cancelled)
{
	*inflate = (struct inflate){ .stream = stream,
				     .cancelled = cancelled,
				     .decoder = { .fault = fault } };
	pthread_mutex_init(&inflate->lock, NULL);
	pthread_cond_init(&inflate->ready, NULL);
	pthread_cond_init(&inflate->room, NULL);
}

/* ---- the thread that decompresses ------------------------------------------------------------ */

/* Fail with ERROR, because of DETAIL if the decoder has not said why. */
static int inflate_refuse(struct inflate *inflate, int error, const char *detail)
{
	if (!inflate->decoder.detail)
		inflate->decoder.detail = detail;
	return error;
}

/*
 * No more pieces come, because of ERROR if that is not 0. Called with the lock held. Either thread
 * may have failed to hash before the other one reaches the end: the first error stays.
 */
static void inflate_stop(struct inflate *inflate, int error)
{
	inflate->ended = true;
	if (!inflate->error)
		inflate->error = error;
}

/* Add SIZE BYTES to the digest of the bytes of QUEUE: 0 or -ENOMEM. */
static int inflate_add(struct inflate *inflate, const struct inflate_queue *queue,
		       const uint8_t *bytes, size_t size)
{
	struct digests *digests = inflate->digests;

	if (!digests)
		return 0;
	return digest_add(queue == &inflate->in ? &digests->stream : &digests->plain, bytes, size);
}

/*
 * Hash the next piece of QUEUE, where one is there that no thread hashes: true if so. Called with
 * the lock held, which is released meanwhile.
 */
static bool inflate_hash(struct inflate *inflate, struct inflate_queue *queue)
{
	const struct inflate_piece *piece = &queue->pieces[queue->hashed % INFLATE_PIECES];
	int r;

	if (queue->hashing || queue->hashed == queue->next)
		return false;
	queue->hashing = true;
	pthread_mutex_unlock(&inflate->lock);
	r = inflate_add(inflate, queue, piece->bytes, piece->size);
	pthread_mutex_lock(&inflate->lock);
	queue->hashing = false;
	queue->hashed++;
	if (r)
		inflate_stop(inflate, r);
	pthread_cond_signal(&inflate->room);
	pthread_cond_signal(&inflate->ready);
	return true;
}

/* Hash something, or wait for CONDITION. Called with the lock held, which is released meanwhile. */
static void inflate_wait(struct inflate *inflate, pthread_cond_t *condition)
{
	if (!inflate_hash(inflate, &inflate->out) && !inflate_hash(inflate, &inflate->in))
		pthread_cond_wait(condition, &inflate->lock);
}

/* The piece to read into, NULL: none is wanted any more. */
static struct inflate_piece *inflate_input(struct inflate *inflate)
{
	struct inflate_queue *in = &inflate->in;
	bool over;

	if (!inflate->spread || !inflate->share)
		return &in->pieces[0];
	pthread_mutex_lock(&inflate->lock);
	while (!inflate->over && in->next - in->hashed == INFLATE_PIECES)
		inflate_wait(inflate, &inflate->room);
	over = inflate->over;
	pthread_mutex_unlock(&inflate->lock);
	return over ? NULL : &in->pieces[in->next % INFLATE_PIECES];
}

/* The SIZE bytes at BYTES were read into PIECE: hash them, now or later. 0 or -ENOMEM. */
static int inflate_was_read(struct inflate *inflate, struct inflate_piece *piece,
			    const uint8_t *bytes, size_t size)
{
	if (!inflate->spread || !inflate->share)
		return inflate_add(inflate, &inflate->in, bytes, size);
	pthread_mutex_lock(&inflate->lock);
	piece->size = size;
	inflate->in.next++;
	/* The one that takes pieces may wait for one, and this thread for the writer: it hashes. */
	pthread_cond_signal(&inflate->ready);
	pthread_mutex_unlock(&inflate->lock);
	return 0;
}

/* Give PIECE its memory: 0 or -ENOMEM. */
static int inflate_reserve(struct inflate *inflate, struct inflate_piece *piece)
{
	if (!piece->bytes)
		piece->bytes = fault_realloc(inflate->decoder.fault, NULL, STREAM_CHUNK_BYTES);
	return piece->bytes ? 0 : -ENOMEM;
}

/*
 * Read on: 1, 0 at the end, or -errno. Bytes that are yet to be taken lie where the first piece
 * begins; when pieces are shared there are none.
 */
static int inflate_fill(struct inflate *inflate)
{
	struct decoder *decoder = &inflate->decoder;
	struct inflate_piece *piece;
	ssize_t length;
	uint8_t *end;

	if (inflate->input_ended)
		return 0;
	piece = inflate_input(inflate);
	if (!piece)
		return -ECANCELED;
	if (inflate_reserve(inflate, piece))
		return -ENOMEM;
	decoder->in = piece->bytes;
	end = piece->bytes + decoder->in_left;
	length = stream_read(inflate->stream, end, STREAM_CHUNK_BYTES - decoder->in_left);
	/* An error of a callback is not a failed call. */
	if (length < 0)
		inflate->call = inflate->stream->kind == STREAM_CHANNEL ? NULL : "read";
	if (length < 0)
		return (int)length;
	inflate->input_ended = !length;
	if (inflate_was_read(inflate, piece, end, (size_t)length))
		return -ENOMEM;
	decoder->in_left += (size_t)length;
	return length > 0;
}

/* Find where the next member begins: 1 when there is none any more, or -errno. */
static int inflate_member(struct inflate *inflate)
{
	struct decoder *decoder = &inflate->decoder;
	int r;

	while (inflate->again && decoder->in_left && !*decoder->in) {
		decoder->in++;
		decoder->in_left--;
	}
	if (!decoder->in_left) {
		r = inflate_fill(inflate);
		return r < 0 ? r : !r;
	}
	if (inflate->again && !codec_begins(inflate->codec, *decoder->in))
		return inflate_refuse(inflate, -EBADMSG, inflate->codec->behind);
	r = inflate->again ? decoder->codec->again(decoder) : 0;
	inflate->inside = inflate->again = true;
	return r;
}

/* Decompress some bytes, or read some: 0, 1 when all is decompressed, or -errno. */
static int inflate_step(struct inflate *inflate)
{
	struct decoder *decoder = &inflate->decoder;
	const uint8_t *in = decoder->in, *out = decoder->out;
	int r;

	if (atomic_load(inflate->cancelled))
		return -ECANCELED;
	if (!inflate->inside)
		return inflate_member(inflate);
	r = decoder->codec->run(decoder);
	if (r == CODEC_END)
		inflate->inside = false;
	if (r < 0)
		return r == -EBADMSG ? inflate_refuse(inflate, r, inflate->codec->corrupt) : r;
	if (!inflate->inside || decoder->in != in || decoder->out != out)
		return 0;
	/* The decoder has neither consumed nor produced a byte: it needs more input. */
	if (decoder->in_left)
		return inflate_refuse(inflate, -EBADMSG, inflate->codec->corrupt);
	r = inflate_fill(inflate);
	return r < 0 ? r
	       : r   ? 0
		     : inflate_refuse(inflate, INFLATE_CUT_OFF, inflate->codec->cut_off);
}

/* Decompress into PIECE until it is full or the stream ends: its size, or -errno. */
static ssize_t inflate_piece(struct inflate *inflate, struct inflate_piece *piece)
{
	struct decoder *decoder = &inflate->decoder;
	int r = 0;

	if (inflate_reserve(inflate, piece))
		return -ENOMEM;
	decoder->out = piece->bytes;
	decoder->out_left = STREAM_CHUNK_BYTES;
	while (!r && decoder->out_left)
		r = inflate_step(inflate);
	piece->size = STREAM_CHUNK_BYTES - decoder->out_left;
	return r < 0 ? r : (ssize_t)piece->size;
}

/* Is there a piece to decompress into? One is given back when it was unpacked and hashed. */
static bool inflate_room(const struct inflate *inflate)
{
	return inflate->out.next - MIN(inflate->at, inflate->out.hashed) < INFLATE_PIECES;
}

/* The thread that decompresses. */
static void *inflate_run(void *data)
{
	struct inflate *inflate = data;
	struct inflate_queue *out = &inflate->out;
	ssize_t length;

	pthread_mutex_lock(&inflate->lock);
	while (!inflate->ended) {
		while (!inflate->over && !inflate_room(inflate))
			inflate_wait(inflate, &inflate->room);
		if (inflate->over)
			break;
		pthread_mutex_unlock(&inflate->lock);
		length = inflate_piece(inflate, &out->pieces[out->next % INFLATE_PIECES]);
		pthread_mutex_lock(&inflate->lock);
		if (length > 0)
			out->next++;
		else
			inflate_stop(inflate, (int)length);
		/* Not shared: the thread of the digest gets it now, if there is one. */
		if (!inflate->share)
			inflate_hash(inflate, out);
		pthread_cond_signal(&inflate->ready);
	}
	pthread_mutex_unlock(&inflate->lock);
	return NULL;
}

/* ---- the thread that unpacks ----------------------------------------------------------------- */

/* Take the digests on the thread that decompresses, or on threads of their own. */
static void inflate_hash_here(struct inflate *inflate, bool here)
{
	if (inflate->digests)
		inflate->digests->stream.here = inflate->digests->plain.here = here;
	inflate->share = inflate->digests && here;
}

/* Look at the first bytes, and load what decompresses them. 0 or -errno. */
static int inflate_begin(struct inflate *inflate)
{
	struct decoder *decoder = &inflate->decoder;
	const struct codec *codec;
	int r = 1;

	inflate->begun = true;
	inflate_hash_here(inflate, thread_cpus() < DIGEST_CPUS_MIN);
	/*
	 * A header shows what a signature does not; what is compressed may be shorter than either.
	 */
	while (r > 0 && decoder->in_left < CODEC_HEADER_BYTES &&
	       (decoder->in_left < CODEC_SIGNATURE_BYTES_MAX ||
		codec_find(decoder->in, decoder->in_left)))
		r = inflate_fill(inflate);
	if (r < 0)
		return r;
	codec = decoder->codec = decoder->in_left ? codec_find(decoder->in, decoder->in_left)
						  : NULL;
	if (!codec) {
		/* Nothing is decompressed: a thread hashes while the caller's unpacks. */
		inflate_hash_here(inflate, false);
		return 0;
	}
	if (!codec->begin)
		return inflate_refuse(inflate, -ENOTSUP, codec->refused);
	r = codec->begin(decoder);
	if (!r)
		inflate->codec = codec;
	if (r == -ENOTSUP) {
		inflate->call = "dlopen";
		inflate_refuse(inflate, r, codec->missing);
	}
	return r;
}

/* Decompress the next piece here; after the first one another thread goes on. */
static ssize_t inflate_here(struct inflate *inflate, const void **ret_bytes)
{
	struct inflate_queue *in = &inflate->in, *out = &inflate->out;
	struct inflate_piece *piece = &out->pieces[0];
	ssize_t length = inflate_piece(inflate, piece);
	const struct codec *nested;

	if (length > 0 && inflate_add(inflate, out, piece->bytes, piece->size))
		return -ENOMEM;
	if (length <= 0 || inflate->spread) {
		*ret_bytes = piece->bytes;
		return length;
	}
	nested = codec_find(piece->bytes, piece->size);
	if (nested)
		return inflate_refuse(inflate, -ENOTSUP, nested->within);
	inflate->spread = true;
	inflate->lent = true;
	in->next = in->hashed = out->next = out->hashed = 1;
	if (piece->size == STREAM_CHUNK_BYTES && !fault_hit(inflate->decoder.fault, FAULT_LANE))
		inflate->threaded = !thread_start("inflate", inflate_run, inflate,
						  &inflate->thread);
	if (!inflate->threaded)
		inflate->share = false;
	*ret_bytes = piece->bytes;
	return length;
}

/* Has it ended, by an error or with all hashed? */
static bool inflate_over(const struct inflate *inflate)
{
	return inflate->ended && (inflate->error || (inflate->in.hashed == inflate->in.next &&
						     inflate->out.hashed == inflate->out.next));
}

/* Give back the piece that was taken last, and wait for the next one. */
static ssize_t inflate_take(struct inflate *inflate, const void **ret_bytes)
{
	struct inflate_piece *piece = NULL;
	int error;

	pthread_mutex_lock(&inflate->lock);
	if (inflate->lent) {
		inflate->at++;
		pthread_cond_signal(&inflate->room);
	}
	while (inflate->at == inflate->out.next && !inflate_over(inflate))
		inflate_wait(inflate, &inflate->ready);
	inflate->lent = inflate->at != inflate->out.next;
	if (inflate->lent)
		piece = &inflate->out.pieces[inflate->at % INFLATE_PIECES];
	error = inflate->error;
	pthread_mutex_unlock(&inflate->lock);
	if (!piece)
		return error;
	*ret_bytes = piece->bytes;
	return (ssize_t)piece->size;
}

ssize_t inflate_read(struct inflate *inflate, const void **ret_bytes)
{
	struct decoder *decoder = &inflate->decoder;
	int r = inflate->begun ? 0 : inflate_begin(inflate);

	if (r)
		return r;
	if (inflate->threaded)
		return inflate_take(inflate, ret_bytes);
	if (inflate->codec)
		return inflate_here(inflate, ret_bytes);
	r = decoder->in_left ? 1 : inflate_fill(inflate);
	if (r <= 0)
		return r;
	*ret_bytes = decoder->in;
	return (ssize_t)TAKE(decoder->in_left, 0);
}

int inflate_finish(struct inflate *inflate)
{
	ssize_t length = 1;
	const void *bytes;

	if (!inflate->codec && !inflate->digests)
		return stream_finish(inflate->stream, false);
	while (length > 0)
		length = inflate_read(inflate, &bytes);
	return (int)length;
}

void inflate_end(struct inflate *inflate)
{
	pthread_mutex_lock(&inflate->lock);
	inflate->over = true;
	pthread_cond_signal(&inflate->room);
	pthread_mutex_unlock(&inflate->lock);
	if (inflate->threaded) {
		stream_interrupt(inflate->stream);
		pthread_join(inflate->thread, NULL);
	}
	if (inflate->codec)
		inflate->decoder.codec->end(&inflate->decoder);
	for (size_t i = 0; i < INFLATE_PIECES; i++) {
		free(inflate->in.pieces[i].bytes);
		free(inflate->out.pieces[i].bytes);
	}
	pthread_cond_destroy(&inflate->room);
	pthread_cond_destroy(&inflate->ready);
	pthread_mutex_destroy(&inflate->lock);
}
