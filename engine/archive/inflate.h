/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain bytes of an archive: those of a stream, decompressed if its first bytes are those of a
 * codec.
 *
 *	stream -> decoder, on a thread of its own -> up to INFLATE_PIECES pieces -> the thread that unpacks
 *
 * The thread that unpacks decompresses the first piece; another thread decompresses the rest, if
 * any. If no thread can be started, the one that unpacks decompresses each piece when it needs it.
 * Where there are few CPUs (DIGEST_CPUS_MIN), whichever of the two would wait for the other takes
 * the digests meanwhile: a piece is free again when it was used and hashed.
 *
 * One codec, not nested: what is compressed twice is an error. Members of one codec may follow each
 * other, zeros may lie between and behind them (as gzip and xz have it); anything else behind them
 * is an error, since it may be a damaged member. Data are read to their end, where their checksum
 * is, although the archive in them may end before. Memory is bounded whatever the ratio of
 * compression: the pieces, and the bounds of a decoder in engine/base/limits.h.
 *
 * Where digests are taken the stream is read to its end, also one that is not compressed: what lies
 * behind the archive belongs to both digests then.
 */
#ifndef VARVE_ARCHIVE_INFLATE_H
#define VARVE_ARCHIVE_INFLATE_H

#include "engine/archive/codec.h"
#include "engine/archive/digest.h"
#include "engine/archive/stream.h"
#include "engine/base/limits.h"

#include <pthread.h>

/* An archive that ends early. One that is damaged is -EBADMSG. */
#define INFLATE_CUT_OFF (-ENODATA)

/*
 * Two threads, D that decompresses and U that unpacks, share two queues: `in`, of what was read, if
 * digests are shared, and `out`. D fills pieces, free ones only:
 *
 *	in	is hashed when it was read; free once it is hashed and decompressed
 *	out	is hashed when it was decompressed; free once it is hashed and given back by U
 *
 * One thread at a time hashes a queue, in order, without the lock. A thread that would wait hashes
 * first: it sleeps where nothing is left to hash, or the other thread hashes it. So a signal, with
 * the lock held, follows what ends a wait and what gives a sleeping thread something to hash:
 *
 *	U sleeps for a piece, or the end	ready: D has read, decompressed, or hashed; it ends
 *	D sleeps for a free piece		room: U has given one back, or hashed; `over`
 *	D waits for the writer			stream_interrupt(): a cancel, inflate_end()
 *
 * They do not sleep both: once U has taken all of `out`, D lacks a free piece only for one that is
 * not hashed. tests/sim/digests.h puts this through thousands of schedules.
 */

/* Pieces that the thread that decompresses fills, one after the other. */
struct inflate_queue {
	struct inflate_piece {
		uint8_t *bytes;
		size_t size;
	} pieces[INFLATE_PIECES];
	/* The next one to be filled, and to be hashed, which one thread does. */
	size_t next, hashed;
	bool hashing;
};

struct inflate {
	/* ---- set by inflate_init() ---- */
	struct stream *stream;
	const _Atomic bool *cancelled;
	/*
	 * Set by the caller behind that: what takes the digests; NULL: nothing. A plain stream is
	 * added to `stream` alone.
	 */
	struct digests *digests;

	/*
	 * ---- of the thread that decompresses: the one that unpacks, until another is started ----
	 */
	/* The codec; NULL: the archive is plain. */
	const struct codec *codec;
	struct decoder decoder;
	/* The stream has ended; inside of a member; one has ended before. */
	bool input_ended, inside, again;
	/* The call that failed, if any; the detail is decoder.detail. */
	const char *call;
	/* What is in the queues is hashed by whichever thread would wait. */
	bool share;

	/* ---- of the thread that unpacks ---- */
	/* The first bytes were looked at; another thread has been started, or cannot be. */
	bool begun, spread;
	bool threaded;
	pthread_t thread;
	/* It has the piece AT. */
	bool lent;

	/* ---- guarded by lock, once there are two threads ---- */
	pthread_mutex_t lock;
	/* There is a piece, or will be none; there is room, or nothing more is wanted. */
	pthread_cond_t ready, room;
	/*
	 * What was read; decoder.in is in the last piece of it, or in the first one as long as
	 * nothing is shared. What was decompressed, and the next piece of that to be taken.
	 */
	struct inflate_queue in, out;
	size_t at;
	/* No more pieces will come, because of ERROR if that is not 0; none are wanted any more. */
	bool ended, over;
	int error;
};

/*
 * Prepare to read STREAM, until inflate_end(). CANCELLED ends it with -ECANCELED, as does
 * stream_interrupt().
 */
void inflate_init(struct inflate *inflate, struct stream *stream, struct fault *fault,
		  const _Atomic bool *cancelled);

/*
 * The next bytes of the archive, which stay until the next call: how many, 0 at the end, or -errno,
 * inflate->call and decoder.detail: INFLATE_CUT_OFF, -EBADMSG, -ENOTSUP (no library, twice
 * compressed, or by another codec), -ENOBUFS (a limit of memory), -ENOMEM, -ECANCELED, what the
 * stream says.
 */
ssize_t inflate_read(struct inflate *inflate, const void **ret_bytes);

/*
 * The archive has ended: check the rest of the compressed data, and read what the writer still
 * writes. 0 or -errno.
 */
int inflate_finish(struct inflate *inflate);

/* End the thread, also one that waits for the writer; free all. */
void inflate_end(struct inflate *inflate);

#endif
