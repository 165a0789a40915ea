/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives through callbacks: the sink of varve_layer_diff(), varve_stream_write() for apply and
 * create; pauses, ends, errors and cancels at every point, and how much memory that takes.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A chunk for the tests in which its size does not matter. */
#define CHUNK 4096
/* How long nothing may come, where nothing is to come. */
#define QUIET_MS 50
/* More creates than there are threads for archives. */
#define STALLED 140

/* What a sink has got, what it says to that, and how the request ended. */
struct sunk {
	char *bytes;
	size_t size, capacity;
	unsigned chunks;
	size_t chunk_max;
	/* Returned; from chunk number `turn` on, counted from 1. */
	int answer;
	unsigned turn;
	/* Does something about the store in that chunk. */
	void (*act)(struct varve_store *store, varve_request request);
	varve_request request;
	unsigned ended;
	int error;
	uint64_t told, skipped;
	bool inside;
};

/* The sink. */
static int sink(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		void *data)
{
	struct sunk *sunk = data;

	ck_assert(!sunk->inside && !sunk->ended && size > 0);
	sunk->inside = true;
	sunk->request = request;
	if (sunk->size + size > sunk->capacity) {
		char *larger = test_alloc(sunk->capacity = 2 * sunk->capacity + size);

		memcpy(larger, sunk->bytes ? sunk->bytes : larger, sunk->size);
		sunk->bytes = larger;
	}
	memcpy(sunk->bytes + sunk->size, bytes, size);
	sunk->size += size;
	sunk->chunks++;
	if (size > sunk->chunk_max)
		sunk->chunk_max = size;
	test_error(varve_dispatch(store, 0), -EBUSY);
	if (sunk->act && sunk->chunks == sunk->turn)
		sunk->act(store, request);
	sunk->inside = false;
	return sunk->chunks >= sunk->turn ? sunk->answer : 0;
}

/* The callback. */
static void ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct sunk *sunk = data;

	ck_assert(!sunk->inside);
	sunk->ended++;
	sunk->error = result->error;
	sunk->told = result->bytes;
	sunk->skipped = result->skipped_total;
}

/* Begin an archive of ID into SUNK. */
static varve_request begin_diff(struct varve_store *store, const char *id, struct sunk *sunk,
				size_t chunk_bytes)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	varve_request request = 0;

	options.sink = sink;
	options.sink_data = sunk;
	options.chunk_bytes = chunk_bytes;
	test_error(varve_layer_diff(store, id, &options, VARVE_STREAM, ended, sunk, &request), 0);
	return request;
}

/* Begin to create ID from what is written. */
static varve_request begin_create(struct varve_store *store, const char *id, varve_room *room,
				  struct sunk *sunk)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	varve_request request = 0;

	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	apply.room = room;
	apply.room_data = sunk;
	test_error(varve_layer_create(store, id, &options, ended, sunk, &request), 0);
	return request;
}

/* A layer "base" with small files and one of SIZE bytes that are no holes. */
static void make_base(struct varve_store *store, const char *home, size_t size)
{
	char *path = test_layer(home, "base"), block[65536];
	int fd;

	test_create(store, "base", NULL);
	test_make_tree(path, 3, 5, 100);
	fd = open(test_path("%s/large", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (size_t at = 0; at < size; at += sizeof(block)) {
		memset(block, 'a' + (int)(at / sizeof(block) % 26), sizeof(block));
		ck_assert_int_eq(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
}

/* The archive of ID through a descriptor, *RET_SIZE bytes. */
static char *archive_of(struct varve_store *store, const char *id, size_t *ret_size)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct varve_failure failure;
	uint64_t bytes;
	char *archive;

	test_ok(varve_layer_diff_wait(store, id, NULL, fd, &bytes, NULL, &failure), &failure);
	archive = test_alloc(bytes);
	ck_assert_int_eq(pread(fd, archive, bytes, 0), (ssize_t)bytes);
	close(fd);
	*ret_size = bytes;
	return archive;
}

/* Is what was sunk ARCHIVE? */
static void check_sunk(const struct sunk *sunk, const char *archive, size_t size)
{
	test_error(sunk->error, 0);
	ck_assert_uint_eq(sunk->ended, 1);
	ck_assert_uint_eq(sunk->size, size);
	ck_assert_uint_eq(sunk->told, size);
	ck_assert_int_eq(memcmp(sunk->bytes, archive, size), 0);
}

START_TEST(test_round_trip)
{
	static const size_t sizes[] = { 1, 511, 512, 65536, VARVE_STREAM_BYTES, 0 };
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	size_t size;

	make_base(store, home, 1 << 20);
	archive = archive_of(store, "base", &size);
	for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
		struct sunk out = { .answer = 0 }, in = { .answer = 0 };
		char *id = test_path("copy-%zu", i);
		size_t piece = sizes[i] ? sizes[i] : size;
		varve_request request;

		/* A byte at a time is for what is small. */
		if (sizes[i] == 1)
			test_remove(test_path("%s/large", test_layer(home, "base")));
		if (sizes[i] == 1)
			archive = archive_of(store, "base", &size);
		begin_diff(store, "base", &out, sizes[i]);
		test_dispatch_until(store, &out.ended, 1);
		check_sunk(&out, archive, size);
		ck_assert_uint_le(out.chunk_max, piece);
		ck_assert_uint_ge(out.chunks, size / piece);
		request = begin_create(store, id, NULL, &in);
		test_error(test_stream_feed(store, request, out.bytes, size, piece), 0);
		/* What follows the end is no error. */
		test_error(test_stream_feed(store, request, out.bytes, size < 1000 ? size : 1000,
					    piece),
			   0);
		ck_assert(!test_layer_exists(home, id));
		test_error(varve_stream_end(store, request, 0), 0);
		test_dispatch_until(store, &in.ended, 1);
		test_error(in.error, 0);
		out = (struct sunk){ .answer = 0 };
		begin_diff(store, id, &out, 0);
		test_dispatch_until(store, &out.ended, 1);
		check_sunk(&out, archive, size);
		if (sizes[i] == 1) {
			test_remove_layer(store, "base");
			make_base(store, home, 1 << 20);
			archive = archive_of(store, "base", &size);
		}
	}
	test_close(store);
}
END_TEST

/* Bytes of memory that this process has in use. */
static size_t memory_used(void)
{
	char *text = test_read("/proc/self/statm");
	unsigned long pages = 0;

	ck_assert_int_eq(sscanf(text, "%*u %lu", &pages), 1);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(test_pause)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct sunk sunk = { .answer = VARVE_PAUSE, .turn = 1 };
	size_t size, before;
	varve_request request;

	make_base(store, home, 32 << 20);
	archive = archive_of(store, "base", &size);
	before = memory_used();
	request = begin_diff(store, "base", &sunk, CHUNK);
	test_dispatch_until(store, &sunk.chunks, 1);
	for (unsigned n = 1; n < 20; n++) {
		ck_assert_int_eq(varve_wait(store, n < 4 ? QUIET_MS : 0), 0);
		ck_assert(!test_readable(varve_fd(store), 0));
		ck_assert_uint_eq(sunk.chunks, n);
		test_error(varve_stream_resume(store, request), 0);
		test_dispatch_until(store, &sunk.chunks, n + 1);
	}
	/* A reader that stands still holds a bounded part of it. */
	if (!TEST_SANITIZED)
		ck_assert_uint_lt(memory_used() - before, 16u << 20);
	sunk.answer = 0;
	test_error(varve_stream_resume(store, request), 0);
	test_dispatch_until(store, &sunk.ended, 1);
	check_sunk(&sunk, archive, size);
	test_error(varve_stream_resume(store, request), -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_changed_meanwhile)
{
	char *home = test_home(), *large;
	struct varve_store *store = test_open_relaxed(home);
	struct sunk sunk = { .answer = VARVE_PAUSE, .turn = 1 }, in = { .answer = 0 };
	struct stat stat_now;
	varve_request request;

	/*
	 * While its archive stands still, the file that is being read is cut, and one far behind it
	 * is gone.
	 */
	make_base(store, home, 8 << 20);
	large = test_path("%s/large", test_layer(home, "base"));
	test_mkdir(test_path("%s/many", test_layer(home, "base")));
	test_make_tree(test_path("%s/many", test_layer(home, "base")), 1, 300, 10);
	request = begin_diff(store, "base", &sunk, CHUNK);
	test_dispatch_until(store, &sunk.chunks, 1);
	ck_assert_int_eq(truncate(large, 4 << 20), 0);
	test_remove(test_path("%s/many/dir-0/file-99", test_layer(home, "base")));
	sunk.answer = 0;
	test_error(varve_stream_resume(store, request), 0);
	test_dispatch_until(store, &sunk.ended, 1);
	test_error(sunk.error, 0);
	ck_assert_uint_eq(sunk.skipped, 2);
	request = begin_create(store, "copy", NULL, &in);
	test_error(test_stream_feed(store, request, sunk.bytes, sunk.size, sunk.size), 0);
	test_error(varve_stream_end(store, request, 0), 0);
	test_dispatch_until(store, &in.ended, 1);
	test_error(in.error, 0);
	ck_assert_int_eq(stat(test_path("%s/large", test_layer(home, "copy")), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_size, 8 << 20);
	ck_assert_int_eq(test_entries(test_path("%s/many/dir-0", test_layer(home, "copy"))), 299);
	test_close(store);
}
END_TEST

START_TEST(test_stalled_cancel)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	int descriptors;

	make_base(store, home, 1 << 20);
	descriptors = test_descriptors();
	for (unsigned turn = 1; turn < 40; turn++) {
		struct sunk sunk = { .answer = VARVE_PAUSE, .turn = turn };
		varve_request request = begin_diff(store, "base", &sunk, CHUNK);

		test_dispatch_until(store, &sunk.chunks, turn);
		test_error(varve_cancel(store, request), 0);
		test_error(varve_stream_resume(store, request), 0);
		test_dispatch_until(store, &sunk.ended, 1);
		test_error(sunk.error, -ECANCELED);
		ck_assert_uint_eq(sunk.chunks, turn);
	}
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_close(store);
}
END_TEST

START_TEST(test_stalled_close)
{
	struct sunk paused = { .answer = VARVE_PAUSE, .turn = 3 }, ready = { .answer = 0 },
		    in[3] = { { .answer = 0 } };
	int descriptors, threads;
	char *home = test_home();
	struct varve_store *store;
	varve_request request;
	size_t taken;

	/* The thread sanitizer has a thread of its own, from the first one on. */
	test_close(test_open_relaxed(home));
	descriptors = test_descriptors(), threads = test_threads();
	store = test_open_relaxed(home);
	make_base(store, home, 1 << 20);
	begin_diff(store, "base", &paused, CHUNK);
	test_dispatch_until(store, &paused.chunks, 3);
	begin_diff(store, "base", &ready, CHUNK);
	ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
	/* One that has got nothing, one in the middle, one that is over but for its end. */
	begin_create(store, "none", NULL, &in[0]);
	request = begin_create(store, "some", NULL, &in[1]);
	test_error(varve_stream_write(store, request, paused.bytes, 1000, &taken), 0);
	request = begin_create(store, "unended", NULL, &in[2]);
	test_error(varve_stream_write(store, request, (char[2048]){ 0 }, 2048, &taken), 0);
	test_close(store);
	ck_assert_uint_eq(paused.chunks, 3);
	ck_assert_uint_eq(ready.chunks, 0);
	test_error(paused.error, -ECANCELED);
	test_error(ready.error, -ECANCELED);
	for (size_t i = 0; i < TEST_COUNT(in); i++) {
		ck_assert_uint_eq(in[i].ended, 1);
		test_error(in[i].error, -ECANCELED);
	}
	ck_assert_int_eq(test_layers(home), 1);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_threads_are(threads);
}
END_TEST

START_TEST(test_sink_error)
{
	static const struct {
		int answer, error;
	} cases[] = { { -EDOM, -EDOM }, { -ECANCELED, -ECANCELED }, { 7, -EINVAL } };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);

	make_base(store, home, 1 << 20);
	for (size_t i = 0; i < TEST_COUNT(cases); i++)
		for (unsigned turn = 1; turn < 300; turn = turn * 3 + 1) {
			struct sunk sunk = { .answer = cases[i].answer, .turn = turn };

			begin_diff(store, "base", &sunk, CHUNK);
			test_dispatch_until(store, &sunk.ended, 1);
			test_error(sunk.error, cases[i].error);
			ck_assert_uint_eq(sunk.chunks, turn);
		}
	test_close(store);
}
END_TEST

/* What a sink may do: cancel its own request. */
static void act_cancel(struct varve_store *store, varve_request request)
{
	test_error(varve_cancel(store, request), 0);
}

/* ... go on before it has said that it pauses. */
static void act_resume(struct varve_store *store, varve_request request)
{
	test_error(varve_stream_resume(store, request), 0);
}

/* ... close the store. */
static void act_close(struct varve_store *store, varve_request request)
{
	test_error(varve_close(store), 0);
}

START_TEST(test_acts)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct sunk cancelled = { .turn = 2, .act = act_cancel },
		    closed = { .turn = 2, .act = act_close };
	struct sunk resumed = { .answer = VARVE_PAUSE, .turn = 1, .act = act_resume };
	size_t size;
	int r;

	make_base(store, home, 1 << 20);
	archive = archive_of(store, "base", &size);
	begin_diff(store, "base", &cancelled, CHUNK);
	test_dispatch_until(store, &cancelled.ended, 1);
	test_error(cancelled.error, -ECANCELED);
	ck_assert_uint_eq(cancelled.chunks, 2);
	/* The first chunk has said to go on before it was paused; at the second it stands. */
	begin_diff(store, "base", &resumed, 0);
	test_dispatch_until(store, &resumed.chunks, 2);
	ck_assert_int_eq(varve_wait(store, QUIET_MS), 0);
	resumed.answer = 0;
	test_error(varve_stream_resume(store, resumed.request), 0);
	test_dispatch_until(store, &resumed.ended, 1);
	check_sunk(&resumed, archive, size);
	begin_diff(store, "base", &closed, CHUNK);
	while ((r = varve_wait(store, TEST_WAIT_MS)) > 0)
		;
	test_error(r, -ESHUTDOWN);
	test_error(closed.error, -ECANCELED);
	ck_assert_uint_eq(closed.chunks, 2);
}
END_TEST

/* Feeds an archive from its room callback, as a program without a loop of its own would. */
struct feeder {
	const char *archive;
	size_t size;
	unsigned calls;
};

static void feeder_room(struct varve_store *store, varve_request request, size_t size, void *data)
{
	struct feeder *feeder = data;
	size_t taken;

	ck_assert(size > 0 && size <= VARVE_STREAM_BYTES);
	feeder->calls++;
	test_error(varve_stream_write(store, request, feeder->archive, feeder->size, &taken), 0);
	/* It took all that it said it would, unless that was more than there is. */
	ck_assert_uint_ge(taken, size < feeder->size ? size : feeder->size);
	feeder->archive += taken;
	feeder->size -= taken;
	if (!feeder->size)
		test_error(varve_stream_end(store, request, 0), 0);
}

START_TEST(test_blocking)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure;
	struct sunk sunk = { .answer = 0 };
	struct feeder feeder;
	uint64_t bytes = 0;
	size_t size;

	make_base(store, home, 4 << 20);
	archive = archive_of(store, "base", &size);
	diff.sink = sink;
	diff.sink_data = &sunk;
	test_ok(varve_layer_diff_wait(store, "base", &diff, VARVE_STREAM, &bytes, NULL, &failure),
		&failure);
	ck_assert_uint_eq(bytes, size);
	ck_assert_uint_eq(sunk.size, size);
	ck_assert_int_eq(memcmp(sunk.bytes, archive, size), 0);
	feeder = (struct feeder){ archive, size, 0 };
	apply.room = feeder_room;
	apply.room_data = &feeder;
	create.apply = &apply;
	create.apply_fd = VARVE_STREAM;
	test_ok(varve_layer_create_wait(store, "copy", &create, &failure), &failure);
	ck_assert_uint_gt(feeder.calls, 1);
	feeder = (struct feeder){ archive, size, 0 };
	test_ok(varve_layer_apply_wait(store, "copy", &apply, VARVE_STREAM, &bytes, NULL, &failure),
		&failure);
	sunk = (struct sunk){ .answer = 0 };
	begin_diff(store, "copy", &sunk, 0);
	test_dispatch_until(store, &sunk.ended, 1);
	check_sunk(&sunk, archive, size);
	test_close(store);
}
END_TEST

/* Count that there is room. */
static void count_room(struct varve_store *store, varve_request request, size_t size, void *data)
{
	struct sunk *sunk = data;

	ck_assert_uint_ge(size, VARVE_STREAM_BYTES / 2);
	sunk->request = request;
	sunk->chunks++;
}

START_TEST(test_back_pressure)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct sunk sunk = { .answer = 0 };
	size_t size, at = 0, taken = 0;
	varve_request request;
	int r;

	make_base(store, home, 8 << 20);
	archive = archive_of(store, "base", &size);
	/* Nothing of it can be unpacked: it stands in the queue behind what waits for the disk. */
	test_freeze();
	request = begin_create(store, "copy", count_room, &sunk);
	test_dispatch_until(store, &sunk.chunks, 1);
	ck_assert_uint_eq(sunk.request, request);
	while (!(r = varve_stream_write(store, request, archive + at, size - at, &taken)))
		at += taken;
	test_error(r, -EAGAIN);
	ck_assert_uint_ge(at, VARVE_STREAM_BYTES);
	/* What a thread may have taken to unpack it comes on top. */
	ck_assert_uint_le(at, 3 * VARVE_STREAM_BYTES);
	ck_assert_int_eq(varve_wait(store, QUIET_MS), 0);
	ck_assert_uint_eq(sunk.chunks, 1);
	test_thaw();
	test_dispatch_until(store, &sunk.chunks, 2);
	test_error(test_stream_feed(store, request, archive + at, size - at, size), 0);
	test_error(varve_stream_end(store, request, 0), 0);
	test_dispatch_until(store, &sunk.ended, 1);
	test_error(sunk.error, 0);
	test_close(store);
}
END_TEST

START_TEST(test_broken_off)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	size_t size, taken;

	make_base(store, home, 1 << 20);
	archive = archive_of(store, "base", &size);
	/* No bytes at all are an archive without entries. */
	for (size_t at = 1; at <= size; at += size / 13 + 1)
		for (unsigned how = 0; how < 3; how++) {
			static const int errors[] = { -EDOM, -ECANCELED, -ENODATA };
			struct sunk sunk = { .answer = 0 };
			varve_request request = begin_create(store, "copy", NULL, &sunk);

			test_error(test_stream_feed(store, request, archive, at, 100000), 0);
			if (how == 0)
				test_error(varve_stream_end(store, request, -EDOM), 0);
			else if (how == 1)
				test_error(varve_cancel(store, request), 0);
			else
				test_error(varve_stream_end(store, request, 0), 0);
			test_error(varve_stream_write(store, request, archive, 1, &taken), -EPIPE);
			test_dispatch_until(store, &sunk.ended, 1);
			test_error(sunk.error, errors[how]);
			ck_assert(!test_layer_exists(home, "copy"));
			test_error(varve_stream_write(store, request, archive, 1, &taken), -ENOENT);
			test_error(varve_stream_end(store, request, 0), -ENOENT);
		}
	test_close(store);
}
END_TEST

START_TEST(test_refused_archive)
{
	struct varve_store *store = test_open_relaxed(test_home());
	struct sunk sunk = { .answer = 0 };
	varve_request request = begin_create(store, "copy", NULL, &sunk);
	char noise[CHUNK];
	size_t taken;
	int r;

	/*
	 * It fails while the caller writes on: it gets -EPIPE at the latest after what the library
	 * may hold.
	 */
	memset(noise, 'x', sizeof(noise));
	do {
		r = varve_stream_write(store, request, noise, sizeof(noise), &taken);
	} while (!r || r == -EAGAIN);
	test_error(r, -EPIPE);
	test_dispatch_until(store, &sunk.ended, 1);
	test_error(sunk.error, -EBADMSG);
	test_close(store);
}
END_TEST

START_TEST(test_arguments)
{
	struct varve_store *store = test_open_relaxed(test_home());
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct sunk sunk = { .answer = 0 };
	varve_request request, noop;
	size_t taken;

	test_create(store, "base", NULL);
	test_error(varve_layer_diff(store, "base", &diff, VARVE_STREAM, ended, &sunk, NULL),
		   -EINVAL);
	diff.sink = sink;
	test_error(varve_layer_diff(store, "base", &diff, STDOUT_FILENO, ended, &sunk, NULL),
		   -EINVAL);
	diff.chunk_bytes = VARVE_STREAM_BYTES + 1;
	test_error(varve_layer_diff(store, "base", &diff, VARVE_STREAM, ended, &sunk, NULL),
		   -EINVAL);
	apply.room = count_room;
	test_error(varve_layer_apply(store, "base", &apply, STDIN_FILENO, ended, &sunk, NULL),
		   -EINVAL);
	test_error(varve_noop(store, ended, &sunk, &noop), 0);
	test_error(varve_stream_write(store, noop, "", 1, &taken), -EINVAL);
	test_error(varve_stream_resume(store, noop), -EINVAL);
	request = begin_diff(store, "base", &sunk, 0);
	test_error(varve_stream_write(store, request, "", 1, &taken), -EINVAL);
	test_error(varve_stream_end(store, request, 0), -EINVAL);
	test_error(varve_stream_write(store, request, NULL, 1, &taken), -EINVAL);
	test_error(varve_stream_write(NULL, request, "", 1, &taken), -EINVAL);
	test_error(varve_stream_end(NULL, request, 0), -EINVAL);
	test_error(varve_stream_resume(NULL, request), -EINVAL);
	test_error(varve_stream_write(store, 12345, "", 1, &taken), -ENOENT);
	test_error(varve_cancel(store, request), 0);
	sunk.ended = 0;
	request = begin_create(store, "copy", NULL, &sunk);
	test_error(varve_stream_resume(store, request), -EINVAL);
	test_error(varve_stream_end(store, request, 1), -EINVAL);
	test_error(varve_stream_end(store, request, 0), 0);
	test_error(varve_stream_end(store, request, 0), -EPIPE);
	test_close(store);
}
END_TEST

START_TEST(test_many_stalled)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct sunk sunk[STALLED] = { { .answer = 0 } }, other = { .answer = 0 };
	varve_request requests[STALLED];

	for (int i = 0; i < STALLED; i++)
		requests[i] = begin_create(store, test_path("%d", i), NULL, &sunk[i]);
	/*
	 * The last of them wait for a thread: they can be cancelled all the same, and others go on.
	 */
	for (int i = STALLED; i-- > STALLED - 20;) {
		test_error(varve_cancel(store, requests[i]), 0);
		test_dispatch_until(store, &sunk[i].ended, 1);
		test_error(sunk[i].error, -ECANCELED);
	}
	test_error(varve_noop(store, ended, &other, NULL), 0);
	test_dispatch_until(store, &other.ended, 1);
	/* One after the other comes to a thread, and ends. */
	for (int i = 0; i < 30; i++) {
		test_error(test_stream_feed(store, requests[i], (char[1024]){ 0 }, 1024, 1024), 0);
		test_error(varve_stream_end(store, requests[i], 0), 0);
		test_dispatch_until(store, &sunk[i].ended, 1);
		test_error(sunk[i].error, 0);
	}
	test_close(store);
	for (int i = 0; i < STALLED; i++)
		ck_assert_uint_eq(sunk[i].ended, 1);
	ck_assert_int_eq(test_layers(home), 30);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* A thread that feeds an archive, and one that lets a sink go on; the main thread dispatches. */
struct hand {
	struct varve_store *store;
	varve_request request;
	const char *archive;
	size_t size;
	_Atomic bool over;
};

static void *hand_feed(void *data)
{
	struct hand *hand = data;
	size_t at = 0, taken;

	while (at < hand->size) {
		int r = varve_stream_write(hand->store, hand->request, hand->archive + at,
					   hand->size - at, &taken);

		if (r == -EAGAIN)
			sched_yield();
		else
			test_error(r, 0);
		at += r ? 0 : taken;
	}
	test_error(varve_stream_end(hand->store, hand->request, 0), 0);
	return NULL;
}

static void *hand_resume(void *data)
{
	struct hand *hand = data;

	while (!hand->over) {
		varve_stream_resume(hand->store, hand->request);
		sched_yield();
	}
	return NULL;
}

START_TEST(test_hands)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct sunk in = { .answer = 0 }, out = { .answer = VARVE_PAUSE, .turn = 1 };
	struct hand feeder = { .store = store }, resumer = { .store = store };
	pthread_t threads[2];

	make_base(store, home, 4 << 20);
	archive = archive_of(store, "base", &feeder.size);
	feeder.archive = archive;
	feeder.request = begin_create(store, "copy", NULL, &in);
	resumer.request = begin_diff(store, "base", &out, 10000);
	ck_assert_int_eq(pthread_create(&threads[0], NULL, hand_feed, &feeder), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, hand_resume, &resumer), 0);
	test_dispatch_until(store, &in.ended, 1);
	test_dispatch_until(store, &out.ended, 1);
	resumer.over = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	test_error(in.error, 0);
	check_sunk(&out, archive, feeder.size);
	test_close(store);
}
END_TEST

START_TEST(test_fair)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct sunk sunk = { .answer = 0 };
	unsigned chunks = 0;

	/*
	 * A stream that always has more does not keep others from their callbacks, even one at a
	 * time.
	 */
	make_base(store, home, 4 << 20);
	begin_diff(store, "base", &sunk, 512);
	test_dispatch_until(store, &sunk.chunks, 10);
	for (int i = 0; i < 100 && !sunk.ended; i++) {
		struct sunk other = { .answer = 0 };

		chunks = sunk.chunks;
		test_error(varve_noop(store, ended, &other, NULL), 0);
		while (!other.ended) {
			struct pollfd pollfd = { .fd = varve_fd(store), .events = POLLIN };

			ck_assert_int_eq(poll(&pollfd, 1, TEST_WAIT_MS), 1);
			ck_assert_int_ge(varve_dispatch(store, 1), 0);
		}
	}
	ck_assert_uint_gt(chunks, 10);
	ck_assert_uint_eq(sunk.ended, 0);
	test_close(store);
}
END_TEST

TEST_MAIN("stream", test_round_trip, test_pause, test_changed_meanwhile, test_stalled_cancel,
	  test_stalled_close, test_sink_error, test_acts, test_blocking, test_back_pressure,
	  test_broken_off, test_refused_archive, test_arguments, test_many_stalled, test_hands,
	  test_fair)
