/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target: archives compressed on their way out. Whatever they hold, in whatever pieces they
 * come, what is written is decompressed to the same bytes, with the same digests, and is the same
 * bytes again where it is compressed without a thread.
 *
 *	input	byte 0		bit 0: by zstd, not gzip; bits 1 and 2: threads; bits 3 to 7: the level
 *		byte 1		bits 0 to 3: in pieces of 2^n bytes and some; bits 4 to 7: as many blocks are filled with copies
 *				of the rest, and one byte of each copy differs
 *		the rest	the content
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/archive/compress.h"
#include "engine/archive/inflate.h"
#include "engine/base/util.h"
#include "engine/store/store.h"

enum {
	ZSTD = 1 << 0,
	THREADS_SHIFT = 1,
	THREADS_MASK = 3,
	LEVEL_SHIFT = 3,
	PIECE_MASK = 15,
	BLOCKS_SHIFT = 4
};

/* Few, lest one input takes seconds. */
#define BLOCKS_MAX 3

/* What counts the bytes of streams. */
static struct varve_store store;

/* How an input is compressed. */
struct how {
	const struct encoding *encoding;
	int level;
	size_t piece;
};

/* Something is wrong: tell, and let the fuzzer keep the input. */
static void die(const char *what, int error)
{
	fprintf(stderr, "compress: %s: %s\n", what, strerror(-error));
	abort();
}

/* An empty file in memory. */
static int memory(void)
{
	int fd = memfd_create("compressed", MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create", negative_errno());
	return fd;
}

/* Compress SIZE BYTES as HOW says, by THREADS, where FAULT fails; into a file, with DIGESTS. */
static int compress(const struct how *how, const uint8_t *bytes, size_t size, unsigned threads,
		    struct fault *fault, struct digests *digests)
{
	struct stream stream;
	struct compress compress = { .stream = &stream,
				     .fault = fault,
				     .digests = digests,
				     .encoding = how->encoding,
				     .level = how->level,
				     .threads_max = threads };
	int fd = memory(), r = stream_init(&stream, &store, fd, true);

	if (!r)
		r = compress_begin(&compress);
	if (!r)
		r = digests_begin(digests, NULL);
	for (size_t at = 0, length; !r && at < size; at += length) {
		length = MIN(size - at, how->piece);
		r = compress_write(&compress, bytes + at, length);
	}
	if (!r)
		r = compress_finish(&compress);
	if (r)
		die("a stream that cannot fail", r);
	digests_finish(digests, false);
	compress_end(&compress);
	digests_end(digests);
	stream_close(&stream);
	return fd;
}

/* The file FD decompressed is SIZE BYTES, with DIGESTS. */
static void check_content(int fd, const uint8_t *bytes, size_t size, const struct digests *digests)
{
	struct digests found = { .wanted = true };
	_Atomic bool cancelled = false;
	struct inflate inflate;
	struct stream stream;
	const void *piece;
	ssize_t length;
	size_t at = 0;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		die("lseek", negative_errno());
	r = stream_init(&stream, &store, fd, false);
	if (!r)
		r = digests_begin(&found, NULL);
	if (r)
		die("a stream that cannot fail", r);
	inflate_init(&inflate, &stream, NULL, &cancelled);
	inflate.digests = &found;
	while ((length = inflate_read(&inflate, &piece)) > 0) {
		if ((size_t)length > size - at || memcmp(bytes + at, piece, (size_t)length))
			die("other bytes", -EBADMSG);
		at += (size_t)length;
	}
	r = (int)length;
	if (!r)
		r = inflate_finish(&inflate);
	if (r || at != size)
		die("too few bytes", r ? r : -ENODATA);
	inflate_end(&inflate);
	digests_finish(&found, false);
	if (memcmp(&found.result, &digests->result, sizeof(found.result)))
		die("other digests", -EBADMSG);
	digests_end(&found);
	stream_close(&stream);
}

/* The files A and B have the same bytes. */
static void check_same(int a, int b)
{
	off_t size = lseek(a, 0, SEEK_END);
	void *one = NULL, *other = NULL;

	if (lseek(b, 0, SEEK_END) != size)
		die("other threads, another size", -EBADMSG);
	one = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, a, 0);
	other = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, b, 0);
	if (one == MAP_FAILED || other == MAP_FAILED)
		die("mmap", negative_errno());
	if (memcmp(one, other, (size_t)size))
		die("other threads, other bytes", -EBADMSG);
	munmap(one, (size_t)size);
	munmap(other, (size_t)size);
}

/* SIZE bytes of content from the LENGTH at DATA, over and over. */
static uint8_t *content(const uint8_t *data, size_t length, size_t size)
{
	uint8_t *bytes = calloc(1, size + 1);

	if (!bytes)
		die("calloc", -ENOMEM);
	for (size_t at = 0, copy = 0; length && at < size; at += length, copy++) {
		memcpy(bytes + at, data, MIN(length, size - at));
		bytes[at] ^= (uint8_t)copy;
	}
	return bytes;
}

/* Run an input. */
static void compress_run_input(const uint8_t *data, size_t size)
{
	unsigned flags = size ? data[0] : 0, shape = size > 1 ? data[1] : 0;
	unsigned blocks = MIN(shape >> BLOCKS_SHIFT, BLOCKS_MAX);
	size_t length = size > 2 ? size - 2 : 0,
	       total = blocks && length ? blocks * COMPRESS_BLOCK_BYTES + length : length;
	bool zstd = flags & ZSTD;
	struct how how = { .encoding = zstd ? &encoding_zstd : &encoding_gzip,
			   /* The slow levels of zstd take too long. */
			   .level = 1 + (int)((flags >> LEVEL_SHIFT) % GZIP_LEVEL_MAX),
			   .piece = ((size_t)1 << (shape & PIECE_MASK)) + length % 7 };
	struct digests digests = { .wanted = true }, again = { .wanted = true };
	uint8_t *bytes = content(data + MIN(size, (size_t)2), length, total);
	struct fault no_threads = { 0 };
	int a, b;

	/* Of many blocks in tiny pieces there is nothing to learn. */
	if (blocks)
		how.piece += 4096;
	a = compress(&how, bytes, total, 1 + (flags >> THREADS_SHIFT & THREADS_MASK), NULL,
		     &digests);
	check_content(a, bytes, total, &digests);
	fault_arm(&no_threads, FAULT_LANE, 1, -EAGAIN, true);
	b = compress(&how, bytes, total, 1, &no_threads, &again);
	check_same(a, b);
	if (memcmp(&again.result, &digests.result, sizeof(again.result)))
		die("other threads, other digests", -EBADMSG);
	close(a);
	close(b);
	free(bytes);
}

/* Nothing is kept. */
static void compress_end_inputs(void)
{
}

const struct fuzz_target fuzz_compress = { "compress", compress_run_input, compress_end_inputs };
