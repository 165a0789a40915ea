/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives compressed on their way out: the same bytes whatever the number of threads, and without
 * any; each allocation that fails; libraries that are missing; a stream that breaks.
 *
 * varve-test: backend=any timeout=120
 */
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/archive/compress.h"
#include "engine/archive/inflate.h"
#include "engine/base/util.h"
#include "engine/store/store.h"

/* More than all blocks hold that one thread has, and not a whole number of them. */
#define LARGE_BYTES (4 * COMPRESS_BLOCK_BYTES + 12345)
#define NTH_MAX 100

/* What counts the bytes of streams. */
static struct varve_store no_store;

/* A library that is taken for missing. */
static const char *missing;

/* What library_load() calls in this program. */
void *dlopen(const char *name, int flags)
{
	void *(*real)(const char *, int);
	void *symbol = dlsym(RTLD_NEXT, "dlopen");

	if (name && missing && !strncmp(name, missing, strlen(missing)))
		return NULL;
	memcpy(&real, &symbol, sizeof(real));
	return real(name, flags);
}

/* The formats, with the libraries that they take. */
static const struct {
	const struct encoding *encoding;
	int level;
	const char *library;
} formats[] = { { &encoding_gzip, 1, "libz.so" }, { &encoding_zstd, 3, "libzstd" } };

/* Bytes that compress a little. */
static uint8_t *content(void)
{
	uint8_t *bytes = test_alloc(LARGE_BYTES);
	uint32_t random = 1;

	for (size_t i = 0; i < LARGE_BYTES; i++)
		bytes[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 28);
	return bytes;
}

/* Compress SIZE BYTES to FD in odd pieces, by up to THREADS; where FAULT fails. 0 or -errno. */
static int compress_to(int fd, size_t format, const uint8_t *bytes, size_t size, unsigned threads,
		       struct fault *fault)
{
	struct digests digests = { 0 };
	struct stream stream;
	struct compress compress = { .stream = &stream,
				     .fault = fault,
				     .digests = &digests,
				     .encoding = formats[format].encoding,
				     .level = formats[format].level,
				     .threads_max = threads };
	int r;

	test_error(stream_init(&stream, &no_store, fd, true), 0);
	r = compress_begin(&compress);
	for (size_t at = 0; !r && at < size; at += MIN(size - at, (size_t)99991))
		r = compress_write(&compress, bytes + at, MIN(size - at, (size_t)99991));
	if (!r)
		r = compress_finish(&compress);
	compress_end(&compress);
	stream_close(&stream);
	return r;
}

/* An empty file in memory. */
static int memory(void)
{
	int fd = memfd_create("compressed", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* FD, which is closed, has SIZE BYTES, compressed. */
static void holds(int fd, const uint8_t *bytes, size_t size)
{
	_Atomic bool cancelled = false;
	struct inflate inflate;
	struct stream stream;
	const void *piece;
	ssize_t length;
	size_t at = 0;

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	test_error(stream_init(&stream, &no_store, fd, false), 0);
	inflate_init(&inflate, &stream, NULL, &cancelled);
	while ((length = inflate_read(&inflate, &piece)) > 0) {
		ck_assert_uint_le((size_t)length, size - at);
		ck_assert_mem_eq(piece, bytes + at, (size_t)length);
		at += (size_t)length;
	}
	test_error((int)length, 0);
	ck_assert_uint_eq(at, size);
	ck_assert_ptr_nonnull(inflate.codec);
	inflate_end(&inflate);
	stream_close(&stream);
	close(fd);
}

/* FD, which is closed, has the same bytes as FIRST. */
static void same(int first, int fd)
{
	off_t size = lseek(first, 0, SEEK_END);
	void *a, *b;

	ck_assert_int_eq(lseek(fd, 0, SEEK_END), size);
	a = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, first, 0);
	b = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(a != MAP_FAILED && b != MAP_FAILED && !memcmp(a, b, (size_t)size));
	munmap(a, (size_t)size);
	munmap(b, (size_t)size);
	close(fd);
}

START_TEST(test_threads_do_not_matter)
{
	uint8_t *bytes = content();

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct fault fault = { 0 };
		int first = memory(), fd;

		test_error(compress_to(first, i, bytes, LARGE_BYTES, 1, NULL), 0);
		for (unsigned threads = 2; threads <= COMPRESS_THREADS_MAX; threads += 3) {
			fd = memory();
			test_error(compress_to(fd, i, bytes, LARGE_BYTES, threads, NULL), 0);
			same(first, fd);
		}
		/* Where none can be started. */
		fault_arm(&fault, FAULT_LANE, 1, -EAGAIN, true);
		fd = memory();
		test_error(compress_to(fd, i, bytes, LARGE_BYTES, 2, &fault), 0);
		ck_assert(atomic_load(&fault.hits));
		same(first, fd);
		holds(first, bytes, LARGE_BYTES);
	}
}
END_TEST

START_TEST(test_sizes)
{
	uint8_t *bytes = content();
	const size_t sizes[] = { 0, 1, COMPRESS_BLOCK_BYTES - 1, COMPRESS_BLOCK_BYTES,
				 2 * COMPRESS_BLOCK_BYTES };

	for (size_t i = 0; i < TEST_COUNT(formats); i++)
		for (size_t j = 0; j < TEST_COUNT(sizes); j++) {
			int fd = memory();

			test_error(compress_to(fd, i, bytes, sizes[j], 2, NULL), 0);
			holds(fd, bytes, sizes[j]);
		}
}
END_TEST

START_TEST(test_failures)
{
	uint8_t *bytes = content();
	int threads = test_threads();

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct fault fault = { 0 };
		int fd = memory(), r = -ENOMEM;

		for (long nth = 1; r; nth++) {
			ck_assert_int_lt(nth, NTH_MAX);
			fault_arm(&fault, FAULT_ALLOCATION, nth, -ENOTRECOVERABLE, false);
			r = compress_to(fd, i, bytes, LARGE_BYTES, 2, &fault);
			ck_assert(r == (atomic_load(&fault.hits) ? -ENOMEM : 0) || !r);
			/* A thread that has nothing to do fails nothing. */
			if (atomic_load(&fault.hits))
				r = -ENOMEM;
		}
		close(fd);
		/* A disk that is full. */
		fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		test_error(compress_to(fd, i, bytes, LARGE_BYTES, 2, NULL), -ENOSPC);
		close(fd);
		missing = formats[i].library;
		test_error(compress_to(STDOUT_FILENO, i, bytes, 1, 2, NULL), -ENOTSUP);
		missing = NULL;
	}
	test_threads_are(threads);
}
END_TEST

TEST_MAIN_UNIT("compress", test_threads_do_not_matter, test_sizes, test_failures)
