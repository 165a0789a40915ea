/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/digest.h"
#include "engine/base/library.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

/* The functions that cannot fail and change no state of the process are called deprecated. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <stdio.h>
#include <string.h>

#define DIGEST_CALLS(CALL) CALL(SHA256_Final) CALL(SHA256_Init) CALL(SHA256_Update)
#define DIGEST_PREFIX "sha256:"

struct digest_state {
	struct {
		DIGEST_CALLS(LIBRARY_FIELD)
	} lib;
	SHA256_CTX sha256;
};

static_assert(VARVE_DIGEST_SIZE == sizeof(DIGEST_PREFIX) + 2 * (size_t)SHA256_DIGEST_LENGTH,
	      "the text of a digest");

int digest_begin(struct digest *digest, struct fault *fault)
{
	static const char *const names[] = { DIGEST_CALLS(LIBRARY_NAME) };
	struct digest_state *state = fault_calloc(fault, 1, sizeof(*state));
	int r = state ? library_load("libcrypto.so.3", names, ARRAY_SIZE(names), &state->lib)
		      : -ENOMEM;

	*digest = (struct digest){ .fault = fault };
	if (r) {
		free(state);
		return r;
	}
	pthread_mutex_init(&digest->lock, NULL);
	pthread_cond_init(&digest->ready, NULL);
	pthread_cond_init(&digest->room, NULL);
	state->lib.SHA256_Init(&state->sha256);
	digest->state = state;
	return 0;
}

/* ---- the thread that hashes ------------------------------------------------------------------ */

/* Hash SIZE BYTES. */
static void digest_hash_bytes(struct digest *digest, const void *bytes, size_t size)
{
	struct digest_state *state = digest->state;

	state->lib.SHA256_Update(&state->sha256, bytes, size);
}

/* Hash PIECE. */
static void digest_hash(struct digest *digest, struct digest_piece *piece)
{
	digest_hash_bytes(digest, piece->bytes, piece->size);
	piece->size = 0;
}

/* Hash pieces until there will be no more. */
static void *digest_run(void *data)
{
	struct digest *digest = data;

	pthread_mutex_lock(&digest->lock);
	for (;;) {
		while (digest->at == digest->next && !digest->over)
			pthread_cond_wait(&digest->ready, &digest->lock);
		if (digest->at == digest->next)
			break;
		pthread_mutex_unlock(&digest->lock);
		digest_hash(digest, &digest->pieces[digest->at % DIGEST_PIECES]);
		pthread_mutex_lock(&digest->lock);
		digest->at++;
		pthread_cond_signal(&digest->room);
	}
	pthread_mutex_unlock(&digest->lock);
	return NULL;
}

/* ---- the thread that adds -------------------------------------------------------------------- */

/* Hand a whole PIECE over, and wait for room for the next one; or hash it here. */
static void digest_hand_over(struct digest *digest, struct digest_piece *piece)
{
	if (!digest->spread && !fault_hit(digest->fault, FAULT_LANE))
		digest->threaded = !thread_start("digest", digest_run, digest, &digest->thread);
	digest->spread = true;
	if (!digest->threaded) {
		digest_hash(digest, piece);
		return;
	}
	pthread_mutex_lock(&digest->lock);
	digest->next++;
	pthread_cond_signal(&digest->ready);
	while (digest->next - digest->at == DIGEST_PIECES)
		pthread_cond_wait(&digest->room, &digest->lock);
	pthread_mutex_unlock(&digest->lock);
}

int digest_add(struct digest *digest, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	if (!digest->state)
		return 0;
	digest->bytes += size;
	if (digest->here) {
		digest_hash_bytes(digest, bytes, size);
		return 0;
	}
	while (size) {
		struct digest_piece *piece = &digest->pieces[digest->next % DIGEST_PIECES];
		size_t length = MIN(size, STREAM_CHUNK_BYTES - piece->size);

		if (!piece->bytes)
			piece->bytes = fault_realloc(digest->fault, NULL, STREAM_CHUNK_BYTES);
		if (!piece->bytes)
			return -ENOMEM;
		memcpy(piece->bytes + piece->size, at, length);
		piece->size += length;
		at += length;
		size -= length;
		if (piece->size == STREAM_CHUNK_BYTES)
			digest_hand_over(digest, piece);
	}
	return 0;
}

/* Wait until the thread, if there is one, has hashed all that was handed over. */
static void digest_join(struct digest *digest)
{
	if (!TAKE(digest->threaded, false))
		return;
	pthread_mutex_lock(&digest->lock);
	digest->over = true;
	pthread_cond_signal(&digest->ready);
	pthread_mutex_unlock(&digest->lock);
	pthread_join(digest->thread, NULL);
}

void digest_finish(struct digest *digest, char *text)
{
	struct digest_state *state = digest->state;
	uint8_t hash[SHA256_DIGEST_LENGTH];

	digest_join(digest);
	digest_hash(digest, &digest->pieces[digest->next % DIGEST_PIECES]);
	state->lib.SHA256_Final(hash, &state->sha256);
	text = stpcpy(text, DIGEST_PREFIX);
	for (size_t i = 0; i < sizeof(hash); i++)
		text += sprintf(text, "%02x", hash[i]);
}

void digest_end(struct digest *digest)
{
	if (!digest->state)
		return;
	digest_join(digest);
	for (size_t i = 0; i < DIGEST_PIECES; i++)
		free(digest->pieces[i].bytes);
	free(TAKE_PTR(digest->state));
	pthread_cond_destroy(&digest->room);
	pthread_cond_destroy(&digest->ready);
	pthread_mutex_destroy(&digest->lock);
}

/* ---- both digests of an archive -------------------------------------------------------------- */

int digests_begin(struct digests *digests, struct fault *fault)
{
	int r = digests->wanted ? digest_begin(&digests->stream, fault) : 0;

	return r || !digests->wanted ? r : digest_begin(&digests->plain, fault);
}

void digests_finish(struct digests *digests, bool same)
{
	struct varve_digests *result = &digests->result;

	if (!digests->wanted)
		return;
	result->size = sizeof(*result);
	digest_finish(&digests->stream, result->digest);
	result->stream_bytes = result->plain_bytes = digests->stream.bytes;
	memcpy(result->diff_id, result->digest, sizeof(result->diff_id));
	if (same)
		return;
	digest_finish(&digests->plain, result->diff_id);
	result->plain_bytes = digests->plain.bytes;
}

const struct varve_digests *digests_result(const struct digests *digests)
{
	return digests->result.size ? &digests->result : NULL;
}

void digests_end(struct digests *digests)
{
	digest_end(&digests->stream);
	digest_end(&digests->plain);
}
