/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that are compressed, decompressed or hashed by threads of the library, ended while those
 * are at work: by a cancel, by the close of the store, by a writer that gives up. The threads end,
 * nothing is published, and nothing is left over.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes of a file that does not compress: more than all stages hold. */
#define LARGE_BYTES (8 << 20)
/* Moments at which an archive is ended. */
#define MOMENTS 12

/* An archive on its way out: chunks so far, the one from which on it waits, how it ended. */
struct sunk {
	unsigned chunks, turn, ended;
	int error;
};

/* How many CPUs the library finds: with few, the thread that decompresses takes the digests. */
enum { CPUS_FEW = 2, CPUS_MANY = 4 };
static unsigned cpus = CPUS_MANY;

/* What the library calls in this program. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	CPU_ZERO_S(size, set);
	for (unsigned i = 0; i < cpus; i++)
		CPU_SET_S(i, size, set);
	return 0;
}

/* Number of the threads of this process that compress, decompress or hash. */
static int stage_threads(void)
{
	static const char *const names[] = { "varve-compress", "varve-inflate", "varve-digest" };
	DIR *tasks = opendir("/proc/self/task");
	int count = 0;

	ck_assert_ptr_nonnull(tasks);
	for (struct dirent *task; (task = readdir(tasks));) {
		char path[sizeof("/proc/self/task//comm") + sizeof(task->d_name)], name[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		/* It may have ended meanwhile. */
		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) > 0)
			name[strcspn(name, "\n")] = '\0';
		close(fd);
		for (size_t i = 0; i < TEST_COUNT(names); i++)
			count += !strcmp(name, names[i]);
	}
	closedir(tasks);
	return count;
}

/* The sink: takes chunks, and waits from one on. */
static int sink(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		void *data)
{
	struct sunk *sunk = data;

	return ++sunk->chunks >= sunk->turn ? VARVE_PAUSE : 0;
}

/* The callback. */
static void ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct sunk *sunk = data;

	sunk->ended++;
	sunk->error = result->error;
}

/* A layer "base" with a file that does not compress. */
static void make_base(struct varve_store *store, const char *home)
{
	char *bytes = test_alloc(LARGE_BYTES);
	uint64_t random = 1;
	int fd;

	for (size_t i = 0; i < LARGE_BYTES; i += sizeof(random)) {
		random = random * 6364136223846793005 + 1442695040888963407;
		memcpy(bytes + i, &random, sizeof(random));
	}
	test_create(store, "base", NULL);
	fd = open(test_path("%s/large", test_layer(home, "base")), O_WRONLY | O_CREAT | O_CLOEXEC,
		  0644);
	ck_assert_int_eq(write(fd, bytes, LARGE_BYTES), LARGE_BYTES);
	close(fd);
}

/* The archive of "base", compressed as COMPRESS says, *RET_SIZE bytes. */
static char *archive_of(struct varve_store *store, uint64_t compress, size_t *ret_size)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct varve_failure failure;
	uint64_t bytes;
	char *archive;

	options.compress = compress;
	test_ok(varve_layer_diff_wait(store, "base", &options, fd, &bytes, NULL, &failure),
		&failure);
	archive = test_alloc(bytes);
	ck_assert_int_eq(pread(fd, archive, bytes, 0), (ssize_t)bytes);
	close(fd);
	*ret_size = bytes;
	return archive;
}

/* Begin to archive "base" to FD, or to SUNK's sink, compressed and hashed. */
static varve_request begin_diff(struct varve_store *store, uint64_t compress, int fd,
				struct sunk *sunk)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	varve_request request = 0;

	options.flags = VARVE_DIGESTS;
	options.compress = compress;
	options.compress_threads = 3;
	options.sink = fd == VARVE_STREAM ? sink : NULL;
	options.sink_data = fd == VARVE_STREAM ? sunk : NULL;
	test_error(varve_layer_diff(store, "base", &options, fd, ended, sunk, &request), 0);
	return request;
}

/* Begin to create ID, or to unpack into it where APPLY, from what is written, hashed. */
static varve_request begin_unpack(struct varve_store *store, const char *id, bool apply_too,
				  struct sunk *sunk)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	varve_request request = 0;

	apply.flags = VARVE_DIGESTS;
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	if (apply_too)
		test_error(varve_layer_apply(store, id, &apply, VARVE_STREAM, ended, sunk,
					     &request),
			   0);
	else
		test_error(varve_layer_create(store, id, &options, ended, sunk, &request), 0);
	return request;
}

/* All threads of stages have ended; one that was joined takes a moment to vanish. */
static void no_stage_threads(void)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;

	while (stage_threads()) {
		ck_assert_int_lt(test_now_ms(), end_ms);
		sched_yield();
	}
}

START_TEST(test_compressing)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	int most = 0, descriptors, pipes[2];

	make_base(store, home);
	descriptors = test_descriptors();
	for (unsigned i = 0; i < MOMENTS; i++) {
		uint64_t compress = i % 2 ? VARVE_COMPRESS_ZSTD : VARVE_COMPRESS_GZIP;
		struct sunk sunk = { .turn = 1 + i }, piped = { 0 };
		varve_request request = begin_diff(store, compress, VARVE_STREAM, &sunk);

		test_dispatch_until(store, &sunk.chunks, sunk.turn);
		most = stage_threads() > most ? stage_threads() : most;
		test_error(varve_cancel(store, request), 0);
		test_dispatch_until(store, &sunk.ended, 1);
		test_error(sunk.error, -ECANCELED);
		ck_assert_uint_eq(sunk.chunks, sunk.turn);
		/* The same into a pipe, of which nobody reads more. */
		ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
		request = begin_diff(store, compress, pipes[1], &piped);
		ck_assert(test_readable(pipes[0], TEST_WAIT_MS));
		test_error(varve_cancel(store, request), 0);
		test_dispatch_until(store, &piped.ended, 1);
		test_error(piped.error, -ECANCELED);
		close(pipes[0]);
		close(pipes[1]);
		ck_assert_int_eq(test_descriptors(), descriptors);
	}
	/* One that hashes, and one at least that compresses. */
	ck_assert_int_ge(most, 2);
	/* Before the store is closed: a request joins its threads. */
	no_stage_threads();
	test_close(store);
}
END_TEST

/* Cancel, or where GIVE_UP fail, what unpacks the archive of COMPRESS, after each part. */
static void unpacking(uint64_t compress, bool give_up)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	int most = 0, descriptors;
	char *archive;
	size_t size;

	make_base(store, home);
	test_create(store, "target", NULL);
	archive = archive_of(store, compress, &size);
	descriptors = test_descriptors();
	for (unsigned i = 0; i < MOMENTS; i++) {
		const char *id = i % 2 ? "target" : "made";
		struct sunk sunk = { 0 };
		varve_request request = begin_unpack(store, id, i % 2, &sunk);

		test_error(test_stream_feed(store, request, archive, size / MOMENTS * i, size), 0);
		most = stage_threads() > most ? stage_threads() : most;
		if (give_up)
			test_error(varve_stream_fail(store, request, -EPIPE, NULL), 0);
		else
			test_error(varve_cancel(store, request), 0);
		test_dispatch_until(store, &sunk.ended, 1);
		test_error(sunk.error, give_up ? -EPIPE : -ECANCELED);
		ck_assert(!test_layer_exists(home, "made"));
		ck_assert_uint_eq(test_leftovers(home), 0);
		ck_assert_int_eq(test_descriptors(), descriptors);
	}
	/* One decompresses, and with many CPUs two more take a digest each. */
	ck_assert_int_ge(most, compress == VARVE_COMPRESS_NONE || cpus == CPUS_FEW ? 1 : 3);
	/* Before the store is closed: a request joins its threads. */
	no_stage_threads();
	test_close(store);
}

START_TEST(test_unpacking)
{
	unpacking(VARVE_COMPRESS_NONE, false);
	unpacking(VARVE_COMPRESS_GZIP, false);
	unpacking(VARVE_COMPRESS_ZSTD, true);
	cpus = CPUS_FEW;
	unpacking(VARVE_COMPRESS_GZIP, true);
	cpus = CPUS_MANY;
}
END_TEST

/* The store is closed while all stages are at work. */
START_TEST(test_closed)
{
	char *home = test_home(), *archive;
	struct sunk in = { 0 }, out = { .turn = 2 };
	struct varve_store *store;
	varve_request request;
	int threads;
	size_t size;

	/* The thread sanitizer has a thread of its own, from the first one on. */
	test_close(test_open_relaxed(home));
	threads = test_threads();
	store = test_open_relaxed(home);
	make_base(store, home);
	archive = archive_of(store, VARVE_COMPRESS_GZIP, &size);
	request = begin_unpack(store, "made", false, &in);
	test_error(test_stream_feed(store, request, archive, size / 2, size), 0);
	begin_diff(store, VARVE_COMPRESS_GZIP, VARVE_STREAM, &out);
	test_dispatch_until(store, &out.chunks, out.turn);
	ck_assert_int_ge(stage_threads(), 4);
	test_close(store);
	test_error(in.error, -ECANCELED);
	test_error(out.error, -ECANCELED);
	ck_assert(!test_layer_exists(home, "made"));
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_threads_are(threads);
}
END_TEST

TEST_MAIN("stages", test_compressing, test_unpacking, test_closed)
