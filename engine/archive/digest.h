/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sha-256 of a stream, taken while the stream is read or written: bytes are copied into pieces,
 * which a thread of its own hashes; or, on request, they are hashed where they are added.
 *
 *	the thread that reads or writes -> up to DIGEST_PIECES pieces -> the thread that hashes
 *
 * A stream that fits into one piece needs no thread. Where none can be started, the thread that
 * adds a piece hashes it.
 *
 * The functions are those of libcrypto below its EVP layer: EVP reads openssl.cnf and sets up state
 * for the whole process, which belongs to the program. Both use the same code for a CPU.
 */
#ifndef VARVE_ARCHIVE_DIGEST_H
#define VARVE_ARCHIVE_DIGEST_H

#include "engine/base/fault.h"
#include "engine/base/limits.h"

#include "varve.h"

#include <pthread.h>
#include <stdint.h>

/* The detail of a failure of digest_begin() with -ENOTSUP. */
#define DIGEST_MISSING "digests take libcrypto.so.3 (in Debian: libssl3)"

struct digest {
	/* The library and what it has hashed; NULL: no digest is taken. */
	struct digest_state *state;
	struct fault *fault;
	/* Bytes added so far. */
	uint64_t bytes;
	/*
	 * Hash what is added on the thread that adds it, without a copy. The caller sets it, before
	 * the first bytes; it may reset it later, not set it again.
	 */
	bool here;

	/* ---- of the thread that adds ---- */
	/* Another thread was started, or cannot be. */
	bool spread;
	bool threaded;
	pthread_t thread;

	/* ---- guarded by lock, once there are two threads ---- */
	pthread_mutex_t lock;
	/* Signalled when there is a piece, or will be none; when there is room. */
	pthread_cond_t ready, room;
	struct digest_piece {
		uint8_t *bytes;
		size_t size;
	} pieces[DIGEST_PIECES];
	/* The next piece to be filled, and the next to be hashed. */
	size_t next, at;
	/* No more pieces will come. */
	bool over;
};

/* Begin to take a digest, until digest_end(). 0, -ENOTSUP (no library) or -ENOMEM. */
int digest_begin(struct digest *digest, struct fault *fault);

/* Add SIZE BYTES, if a digest is taken. 0 or -ENOMEM. One thread at a time. */
int digest_add(struct digest *digest, const void *bytes, size_t size);

/*
 * Write the digest of all that was added, "sha256:" and hexadecimal digits, to TEXT, of
 * VARVE_DIGEST_SIZE bytes. Only after a digest_begin() that did not fail.
 */
void digest_finish(struct digest *digest, char *text);

/* End the thread and free everything; harmless where nothing was begun. */
void digest_end(struct digest *digest);

/* The digests of an archive: of the stream as it is given or written, and of the plain archive. */
struct digests {
	/* They are asked for. */
	bool wanted;
	struct digest stream, plain;
	/* What the caller gets; its size is 0 until digests_finish(). */
	struct varve_digests result;
};

/* Begin to take both, if they are wanted. As digest_begin(). */
int digests_begin(struct digests *digests, struct fault *fault);

/* Set the result; SAME: the stream is plain, and nothing was added to `plain`. */
void digests_finish(struct digests *digests, bool same);

/* The result, or NULL. */
const struct varve_digests *digests_result(const struct digests *digests);

/* As digest_end(). */
void digests_end(struct digests *digests);

#endif
