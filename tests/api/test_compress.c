/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that compress an archive: a sink that is slow gets the same bytes; one that never goes on
 * keeps neither a cancel nor a close; a fork while they run harms neither process.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 4, FILE_BYTES = 1 << 20, THREADS = 4, CHUNK = 65536 };

/* What a sink has got, and how the request ended. */
struct sunk {
	char *bytes;
	size_t size;
	unsigned chunks, ended;
	int error;
	/* It pauses after each chunk. */
	bool pauses;
	/* Runs in the first chunk, in a child of this process. */
	int (*child)(void *data);
};

static int sink(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		void *data)
{
	struct sunk *sunk = data;

	ck_assert_uint_le(sunk->size + size, 2ul * FILES * FILE_BYTES);
	memcpy(sunk->bytes + sunk->size, bytes, size);
	sunk->size += size;
	if (!sunk->chunks++ && sunk->child)
		test_in_child(sunk->child, store);
	return sunk->pauses ? VARVE_PAUSE : 0;
}

static void ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct sunk *sunk = data;

	sunk->ended++;
	sunk->error = result->error;
}

/* Begin a compressed archive of the layer into SUNK. */
static varve_request begin(struct varve_store *store, struct sunk *sunk, uint64_t threads)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	varve_request request;

	sunk->bytes = test_alloc(2ul * FILES * FILE_BYTES);
	options.sink = sink;
	options.sink_data = sunk;
	options.chunk_bytes = CHUNK;
	options.compress = VARVE_COMPRESS_GZIP;
	options.compress_level = 1;
	options.compress_threads = threads;
	test_error(varve_layer_diff(store, "layer", &options, VARVE_STREAM, ended, sunk, &request),
		   0);
	return request;
}

/* Wait until the request of SUNK has ended: its error. */
static int await(struct varve_store *store, const struct sunk *sunk)
{
	while (!sunk->ended)
		ck_assert_int_gt(varve_wait(store, TEST_WAIT_MS), 0);
	return sunk->error;
}

/* A store with a layer of FILES files that do not get much smaller; its archive goes to WHOLE. */
static struct varve_store *open_with(const char *home, struct sunk *whole)
{
	struct varve_store *store = test_open(home);
	char *bytes = test_alloc(FILE_BYTES);
	uint64_t state = 1;

	test_create(store, "layer", NULL);
	for (unsigned i = 0; i < FILES; i++) {
		int fd = open(test_path("%s/%u", test_layer(home, "layer"), i),
			      O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		for (size_t at = 0; at < FILE_BYTES; at++)
			bytes[at] = (char)(test_random(&state) & 0x3f);
		ck_assert_int_eq(write(fd, bytes, FILE_BYTES), FILE_BYTES);
		close(fd);
	}
	*whole = (struct sunk){ 0 };
	begin(store, whole, 1);
	test_error(await(store, whole), 0);
	return store;
}

/* Check that SUNK has got what WHOLE has. */
static void check(const struct sunk *sunk, const struct sunk *whole)
{
	test_error(sunk->error, 0);
	ck_assert_uint_eq(sunk->size, whole->size);
	ck_assert(!memcmp(sunk->bytes, whole->bytes, whole->size));
}

START_TEST(test_slow_sink)
{
	struct sunk whole, sunk = { .pauses = true };
	struct varve_store *store = open_with(test_home(), &whole);
	varve_request request = begin(store, &sunk, THREADS);

	for (unsigned chunks = 0; !sunk.ended; chunks = sunk.chunks) {
		ck_assert_int_gt(varve_wait(store, TEST_WAIT_MS), 0);
		if (sunk.chunks != chunks && !sunk.ended)
			test_error(varve_stream_resume(store, request), 0);
	}
	check(&sunk, &whole);
	test_close(store);
}
END_TEST

START_TEST(test_stalled)
{
	/* Many at once, none of which goes on: each is cancelled, and then as many by the close. */
	enum { MANY = 6 };
	struct sunk whole, sunk[2][MANY] = { 0 };
	struct varve_store *store;
	int threads, descriptors;

	/* The thread sanitizer has a thread of its own, from the first one on. */
	test_close(test_open(test_home()));
	threads = test_threads(), descriptors = test_descriptors();
	store = open_with(test_home(), &whole);
	for (unsigned round = 0; round < 2; round++) {
		varve_request requests[MANY];

		for (unsigned i = 0; i < MANY; i++) {
			sunk[round][i].pauses = true;
			requests[i] = begin(store, &sunk[round][i], THREADS);
		}
		for (unsigned i = 0; i < MANY; i++)
			while (!sunk[round][i].chunks)
				ck_assert_int_gt(varve_wait(store, TEST_WAIT_MS), 0);
		for (unsigned i = 0; i < MANY && !round; i++)
			test_error(varve_cancel(store, requests[i]), 0);
		for (unsigned i = 0; i < MANY && !round; i++)
			test_error(await(store, &sunk[round][i]), -ECANCELED);
	}
	test_close(store);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_uint_eq(sunk[1][i].ended, 1);
		test_error(sunk[1][i].error, -ECANCELED);
		ck_assert_uint_eq(sunk[1][i].chunks, 1);
	}
	test_threads_are(threads);
	ck_assert_int_eq(test_descriptors(), descriptors);
}
END_TEST

START_TEST(test_cancel_at_once)
{
	/* However far they are: it ends once, whole or cancelled. */
	enum { MANY = 16 };
	struct sunk whole;
	struct varve_store *store = open_with(test_home(), &whole);

	for (unsigned i = 0; i < MANY; i++) {
		struct sunk sunk = { 0 };
		varve_request request = begin(store, &sunk, THREADS);

		for (unsigned j = 0; j < i; j++)
			test_error(varve_noop_wait(store, NULL), 0);
		varve_cancel(store, request);
		if (await(store, &sunk) != -ECANCELED)
			check(&sunk, &whole);
		ck_assert_uint_eq(sunk.ended, 1);
	}
	test_close(store);
}
END_TEST

/* In a child that was forked by the sink: the store is not of use. */
static int use_in_child(void *store)
{
	test_error(varve_noop_wait(store, NULL), -ECHILD);
	return 0;
}

/* In a child: close the store, whose threads are not there. */
static int close_in_child(void *store)
{
	test_error(varve_close(store), 0);
	return 0;
}

START_TEST(test_fork)
{
	struct sunk whole, sunk = { .child = use_in_child }, stalled = { .pauses = true };
	struct varve_store *store;
	varve_request request;

	if (!test_child_may_allocate())
		return;
	store = open_with(test_home(), &whole);
	request = begin(store, &stalled, THREADS);
	while (!stalled.chunks)
		ck_assert_int_gt(varve_wait(store, TEST_WAIT_MS), 0);
	begin(store, &sunk, THREADS);
	for (unsigned i = 0; i < 4; i++)
		test_in_child(close_in_child, store);
	test_error(await(store, &sunk), 0);
	check(&sunk, &whole);
	test_error(varve_cancel(store, request), 0);
	test_error(await(store, &stalled), -ECANCELED);
	test_close(store);
}
END_TEST

TEST_MAIN("compress", test_slow_sink, test_stalled, test_cancel_at_once, test_fork)
