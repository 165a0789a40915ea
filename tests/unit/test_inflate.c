/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed archives, decompressed beside the thread that unpacks: every format, cut off and
 * damaged at each byte, members, limits of memory, bombs, libraries that are missing, and what
 * fails on the way.
 *
 * varve-test: backend=any timeout=120
 */
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/archive/inflate.h"
#include "engine/base/util.h"
#include "engine/store/store.h"
#include "tar.h"
#include "varve.h"

/* A size that takes several pieces, more than are held at once, and does not end with one. */
#define LARGE_BYTES ((INFLATE_PIECES + 3) * STREAM_CHUNK_BYTES + 1234)
/* Bytes of an archive that is read thousands of times. */
#define SMALL_BYTES 100
/* What a bomb comes to: many times what is read of it. */
#define BOMB_BYTES (1ull << 30)
/* How much a process may grow over it: by the pieces, 3 MiB, the decoder, and libraries. */
#define BOMB_KIB_MAX (8ul * 1024)
/* Pieces of a bomb that are taken until it is cancelled. */
#define BOMB_PIECES 64
/* More allocations than anything here makes. */
#define NTH_MAX 100
#define ZSTD_BLOCK_BYTES (128 * 1024)
/* More than half of LARGE_BYTES takes, compressed. */
#define PIPE_BYTES (1 << 20)

/* What counts the bytes of streams. */
static struct varve_store no_store;

struct bytes {
	uint8_t *data;
	size_t size;
};

/* ---- libraries that are missing -------------------------------------------------------------- */

/* Files that are taken for missing, as long as they are named here. */
static const char *missing[2];

/* What library_load() calls in this program. */
void *dlopen(const char *name, int flags)
{
	void *(*real)(const char *, int);
	void *symbol = dlsym(RTLD_NEXT, "dlopen");

	for (size_t i = 0; name && i < TEST_COUNT(missing); i++)
		if (missing[i] && !strncmp(name, missing[i], strlen(missing[i])))
			return NULL;
	memcpy(&real, &symbol, sizeof(real));
	return real(name, flags);
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

/* The number of CPUs that threads may run on; 0: those that there are. */
static unsigned cpus;

/* What thread_cpus() calls in this program. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	int (*real)(pid_t, size_t, cpu_set_t *);
	void *symbol = dlsym(RTLD_NEXT, "sched_getaffinity");

	memcpy(&real, &symbol, sizeof(real));
	if (!cpus)
		return real(pid, size, set);
	CPU_ZERO_S(size, set);
	for (unsigned i = 0; i < cpus; i++)
		CPU_SET_S(i, size, set);
	return 0;
}

/* ---- archives -------------------------------------------------------------------------------- */

/* A format, and the command that makes it. */
static const struct format {
	const char *name, *command, *level, *library;
	/* Do not load this. */
	const char *without;
} formats[] = {
	{ "gzip", "gzip", "-1", "libz", NULL },     { "gzip", "gzip", "-9", "libz", "libisal" },
	{ "zstd", "zstd", "-1", "libzstd", NULL },  { "xz", "xz", "-0", "liblzma", NULL },
	{ "bzip2", "bzip2", "-1", "libbz2", NULL },
};

/* A file in memory that holds BYTES. */
static int file_of(struct bytes bytes)
{
	int fd = memfd_create("bytes", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.data, bytes.size), (ssize_t)bytes.size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A command with its descriptors. */
struct filter {
	const struct format *format;
	int in, out;
};

/* Become the command. */
static int filter_run(void *data)
{
	const struct filter *filter = data;

	dup2(filter->in, STDIN_FILENO);
	dup2(filter->out, STDOUT_FILENO);
	execlp(filter->format->command, filter->format->command, filter->format->level, "-c",
	       (char *)NULL);
	return 127;
}

/*
 * BYTES, compressed by FORMAT's command; a command that is not there skips the test, and comes to
 * nothing.
 */
static struct bytes compressed(const struct format *format, struct bytes bytes)
{
	struct filter filter = { format, file_of(bytes), memfd_create("compressed", MFD_CLOEXEC) };
	int status = test_child_end(test_child_start(filter_run, &filter));
	struct bytes result = { NULL, (size_t)lseek(filter.out, 0, SEEK_END) };

	if (status == 127)
		test_skip(format->command);
	ck_assert_msg(status == 0 || status == 127, "%s: %d", format->command, status);
	result.data = test_alloc(result.size + 1);
	ck_assert_int_eq(pread(filter.out, result.data, result.size, 0), (ssize_t)result.size);
	close(filter.in);
	close(filter.out);
	return result;
}

/* An archive of one file, of SIZE bytes that do not repeat. */
static struct bytes archive(size_t size)
{
	struct tar tar = { 0 };
	char *content = test_alloc(size);
	uint32_t random = 1;

	for (size_t i = 0; i < size; i++)
		content[i] = (char)((random = random * 1664525 + 1013904223) >> 28);
	tar_add(&tar, &(struct tar_entry){ .name = "file", .content = content, .size = size });
	return (struct bytes){ (uint8_t *)tar.bytes, tar.size };
}

/* PARTS, COUNT of them, one after the other. */
static struct bytes joined(const struct bytes *parts, size_t count)
{
	struct bytes result = { NULL, 0 };

	for (size_t i = 0; i < count; i++)
		result.size += parts[i].size;
	result.data = test_alloc(result.size + 1);
	result.size = 0;
	for (size_t i = 0; i < count; i++) {
		memcpy(result.data + result.size, parts[i].data, parts[i].size);
		result.size += parts[i].size;
	}
	return result;
}
#define JOINED(...)                                   \
	joined((const struct bytes[]){ __VA_ARGS__ }, \
	       TEST_COUNT(((const struct bytes[]){ __VA_ARGS__ })))

/* Become sha256sum. */
static int sha256sum_run(void *data)
{
	const struct filter *filter = data;

	dup2(filter->in, STDIN_FILENO);
	dup2(filter->out, STDOUT_FILENO);
	execlp("sha256sum", "sha256sum", (char *)NULL);
	return 127;
}

/* Write the digest of BYTES, as sha256sum gives it, to TEXT of VARVE_DIGEST_SIZE bytes. */
static void sha256sum(struct bytes bytes, char *text)
{
	struct filter filter = { NULL, file_of(bytes), memfd_create("sum", MFD_CLOEXEC) };

	ck_assert_int_eq(test_child_end(test_child_start(sha256sum_run, &filter)), 0);
	text = stpcpy(text, "sha256:");
	ck_assert_int_eq(pread(filter.out, text, 64, 0), 64);
	text[64] = '\0';
	close(filter.in);
	close(filter.out);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* How a read went. */
struct outcome {
	int error;
	const char *detail, *call;
	/* Of the bytes that came. */
	uint64_t size;
	bool same, threaded, plain;
};

/* Read all that FD, to be closed, gives, failing as FAULT says; compare with EXPECTED. */
static struct outcome read_fd(int fd, struct bytes expected, struct fault *fault)
{
	_Atomic bool cancelled = false;
	struct outcome outcome = { .same = true };
	struct inflate inflate;
	struct stream stream;
	const void *bytes;
	ssize_t length;

	test_error(stream_init(&stream, &no_store, fd, false), 0);
	inflate_init(&inflate, &stream, fault, &cancelled);
	while ((length = inflate_read(&inflate, &bytes)) > 0) {
		size_t size = (size_t)length;

		outcome.same = outcome.same && size <= expected.size - outcome.size &&
			       !memcmp(bytes, expected.data + outcome.size, size);
		outcome.size += outcome.same ? size : 0;
	}
	outcome.same = outcome.same && outcome.size == expected.size;
	outcome.error = length ? (int)length : inflate_finish(&inflate);
	outcome.detail = inflate.decoder.detail;
	outcome.call = inflate.call;
	outcome.threaded = inflate.threaded;
	outcome.plain = !inflate.codec;
	inflate_end(&inflate);
	stream_close(&stream);
	close(fd);
	return outcome;
}

/* Read all of BYTES. */
static struct outcome read_bytes(struct bytes bytes, struct bytes expected)
{
	return read_fd(file_of(bytes), expected, NULL);
}

/* BYTES are EXPECTED, decompressed. */
static void good(struct bytes bytes, struct bytes expected)
{
	struct outcome outcome = read_bytes(bytes, expected);

	ck_assert_msg(!outcome.error && outcome.same && !outcome.plain, "%s: %s",
		      test_errno_name(outcome.error), outcome.detail);
}

/* BYTES end with ERROR, and a word about it that has WORDS in it. */
static void bad(struct bytes bytes, int error, const char *words)
{
	struct outcome outcome = read_bytes(bytes, (struct bytes){ NULL, 0 });

	test_error(outcome.error, error);
	ck_assert_msg(outcome.detail && strstr(outcome.detail, words), "\"%s\" is not in \"%s\"",
		      words, outcome.detail);
}

/* ---- the tests ------------------------------------------------------------------------------- */

START_TEST(test_formats)
{
	const struct bytes sizes[] = { archive(0), archive(SMALL_BYTES), archive(LARGE_BYTES),
				       /* As much as one piece, and a block more or less. */
				       archive(STREAM_CHUNK_BYTES - 1024),
				       archive(STREAM_CHUNK_BYTES - 512),
				       archive(STREAM_CHUNK_BYTES) };

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		missing[0] = formats[i].without;
		for (size_t j = 0; j < TEST_COUNT(sizes); j++) {
			struct bytes bytes = compressed(&formats[i], sizes[j]);
			struct outcome outcome;

			if (!bytes.size)
				break;
			outcome = read_bytes(bytes, sizes[j]);
			ck_assert_msg(!outcome.error && outcome.same && !outcome.plain, "%s: %s",
				      formats[i].name, outcome.detail);
			/* Another thread goes on when the first piece is full. */
			ck_assert(outcome.threaded == (sizes[j].size >= STREAM_CHUNK_BYTES));
		}
	}
	for (size_t j = 0; j < TEST_COUNT(sizes); j++) {
		struct outcome outcome = read_bytes(sizes[j], sizes[j]);

		ck_assert(!outcome.error && outcome.same && outcome.plain && !outcome.threaded);
	}
}
END_TEST

/* Bytes for a socket that keeps them apart. */
struct sender {
	int fd;
	struct bytes bytes;
};

/* Send each byte for itself. */
static void *send_all(void *data)
{
	const struct sender *sender = data;

	for (size_t i = 0; i < sender->bytes.size; i++)
		ck_assert_int_eq(send(sender->fd, sender->bytes.data + i, 1, MSG_NOSIGNAL), 1);
	close(sender->fd);
	return NULL;
}

START_TEST(test_tiny_reads)
{
	struct bytes plain = archive(SMALL_BYTES);

	for (size_t i = 0; i <= TEST_COUNT(formats); i++) {
		struct bytes bytes = i < TEST_COUNT(formats) ? compressed(&formats[i], plain)
							     : plain;
		struct outcome outcome;
		struct sender sender = { -1, bytes };
		pthread_t thread;
		int ends[2];

		missing[0] = i < TEST_COUNT(formats) ? formats[i].without : NULL;
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
		sender.fd = ends[0];
		ck_assert_int_eq(pthread_create(&thread, NULL, send_all, &sender), 0);
		outcome = read_fd(ends[1], plain, NULL);
		pthread_join(thread, NULL);
		ck_assert_msg(!outcome.error && (outcome.same || !bytes.size), "%zu: %s", i,
			      outcome.detail);
	}
}
END_TEST

START_TEST(test_cut_off)
{
	struct bytes plain = archive(SMALL_BYTES);
	/*
	 * Each byte once in `make check`: without a sanitizer. The last ones, a checksum in pieces,
	 * with one, too.
	 */
	size_t step = TEST_SANITIZED && !getenv("VARVE_TEST_SOAK") ? 13 : 1;

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes bytes = compressed(&formats[i], plain);

		missing[0] = formats[i].without;
		for (size_t at = 1; at < bytes.size; at += at + 16 < bytes.size ? step : 1)
			bad((struct bytes){ bytes.data, at }, INFLATE_CUT_OFF, "cut off");
		/* So may a member behind a whole one. */
		if (bytes.size)
			bad(JOINED(bytes, { bytes.data, bytes.size / 2 }), INFLATE_CUT_OFF,
			    formats[i].name);
	}
}
END_TEST

START_TEST(test_bit_flips)
{
	struct bytes plain = archive(SMALL_BYTES);
	/* Both are primes, so that each bit of a byte is flipped somewhere. */
	unsigned step = getenv("VARVE_TEST_SOAK") ? 1 : TEST_SANITIZED ? 47 : 11;
	unsigned found[TEST_COUNT(formats)] = { 0 };

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes bytes = compressed(&formats[i], plain);

		missing[0] = formats[i].without;
		for (size_t bit = 0; bit < bytes.size * 8; bit += step) {
			struct outcome outcome;

			bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			outcome = read_bytes(bytes, plain);
			bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			/* What is damaged is found, or means nothing, as a time in the header. */
			ck_assert_msg(outcome.error || outcome.same || outcome.plain, "%s: bit %zu",
				      formats[i].name, bit);
			if (outcome.error)
				ck_assert_ptr_nonnull(outcome.detail);
			found[i] += outcome.error == -EBADMSG;
		}
		ck_assert_uint_ge(found[i], (unsigned)bytes.size / step * 6);
	}
}
END_TEST

START_TEST(test_members)
{
	/* Bytes of a frame of zstd that is to be passed over: 5 of them. */
	const struct bytes frame = { (uint8_t *)"\x5a\x2a\x4d\x18\x05\0\0\0frame", 13 };
	struct bytes plain = archive(LARGE_BYTES), none = { NULL, 0 },
		     zeros = { test_alloc(1000), 1000 };
	struct bytes halves[] = { { plain.data, plain.size / 2 },
				  { plain.data + plain.size / 2, plain.size - plain.size / 2 } };

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes a = compressed(&formats[i], halves[0]),
			     b = compressed(&formats[i], halves[1]);
		struct bytes empty = compressed(&formats[i], none);

		if (!a.size)
			continue;
		missing[0] = formats[i].without;
		good(JOINED(a, b), plain);
		good(JOINED(empty, a, empty, empty, b, empty), plain);
		good(JOINED(a, b, zeros), plain);
		good(JOINED(a, zeros, b), plain);
		good(empty, none);
		bad(JOINED(a, b, { (uint8_t *)"\n", 1 }), -EBADMSG, "follows");
		bad(JOINED(a, zeros, { (uint8_t *)"garbage", 7 }), -EBADMSG, "follows");
		bad(JOINED(a, plain), -EBADMSG, "follows");
		if (strcmp(formats[i].name, "zstd"))
			continue;
		good(JOINED(frame, frame, a, frame, b, frame), plain);
		bad(JOINED(a, { frame.data, 10 }), INFLATE_CUT_OFF, "zstd");
	}
}
END_TEST

START_TEST(test_nested)
{
	struct bytes plain = archive(SMALL_BYTES);

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes once = compressed(&formats[i], plain), twice;

		if (!once.size)
			continue;
		twice = compressed(&formats[(i + 1) % TEST_COUNT(formats)], once);
		if (twice.size)
			bad(twice, -ENOTSUP,
			    test_path("twice, the second time by %s;", formats[i].name));
	}
}
END_TEST

/* Signatures that are known in order to be refused, and ones that are taken. */
static const struct {
	const char *name, *bytes;
	size_t size;
} signatures[] = {
	{ "lz4", "\x04\x22\x4d\x18", 4 },
	{ "compress", "\x1f\x9d\x90", 3 },
	{ "lzip", "LZIP\1", 5 },
	{ "lzop", "\x89LZO\0\r\n", 7 },
	{ "zip", "PK\3\4", 4 },
	{ "gzip", "\x1f\x8b\x08", 3 },
	{ "zstd", "\x28\xb5\x2f\xfd", 4 },
	{ "bzip2", "BZh9\x31\x41\x59\x26\x53\x59", 10 },
};

START_TEST(test_signatures)
{
	for (size_t i = 0; i < TEST_COUNT(signatures); i++) {
		struct bytes bytes = { (uint8_t *)signatures[i].bytes, signatures[i].size };
		struct tar tar = { 0 };
		char *name = test_alloc(bytes.size + 2);
		struct outcome outcome;

		bad(bytes, i < 5 ? -ENOTSUP : INFLATE_CUT_OFF, signatures[i].name);
		/* An archive whose first name begins like that is an archive. */
		memcpy(name, bytes.data, bytes.size);
		name[strlen(name)] = 'x';
		tar_add_file(&tar, name, "content");
		bytes = (struct bytes){ (uint8_t *)tar.bytes, tar.size };
		outcome = read_bytes(bytes, bytes);
		ck_assert_msg(!outcome.error && outcome.same && outcome.plain, "%s: %s",
			      signatures[i].name, outcome.detail);
	}
}
END_TEST

/*
 * A frame of zstd with a window that DESCRIPTOR tells of, made of BLOCKS, each of ZSTD_BLOCK_BYTES
 * zeros, and the block LAST.
 */
static struct bytes zstd_frame(uint8_t descriptor, size_t blocks, const char *last,
			       size_t last_size)
{
	const uint8_t begin[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, descriptor };
	/* Not the last one, one byte repeated. */
	const uint32_t block = 1 << 1 | ZSTD_BLOCK_BYTES << 3;
	struct bytes result = { test_alloc(sizeof(begin) + blocks * 4 + 3 + last_size),
				sizeof(begin) };

	memcpy(result.data, begin, sizeof(begin));
	for (size_t i = 0; i < blocks; i++, result.size += 4)
		memcpy(result.data + result.size, &block, 4);
	memcpy(result.data + result.size, &(uint32_t){ (uint32_t)(1 | last_size << 3) }, 3);
	memcpy(result.data + result.size + 3, last, last_size);
	result.size += 3 + last_size;
	return result;
}

/* The checksum that xz has of its headers. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/*
 * Let the first block of the xz stream BYTES tell of a dictionary of SIZE, as its format codes
 * that.
 */
static void xz_dictionary(struct bytes bytes, uint8_t size)
{
	uint8_t *header = bytes.data + 12;
	size_t length = (header[0] + 1u) * 4;
	uint32_t crc;

	/* The filter LZMA2, with one byte of properties. */
	ck_assert(header[2] == 0x21 && header[3] == 1);
	header[4] = size;
	crc = crc32_of(header, length - 4);
	memcpy(header + length - 4, &crc, 4);
}

START_TEST(test_limits)
{
	const struct format *xz = &formats[3];
	struct bytes content = { (uint8_t *)"content", 7 }, bytes;

	good(zstd_frame((27 - 10) << 3, 0, "content", 7), content);
	bad(zstd_frame((27 - 10) << 3 | 1, 0, "content", 7), -ENOBUFS, "128 MiB");
	bad(zstd_frame(0xff, 0, "content", 7), -ENOBUFS, "128 MiB");
	bytes = compressed(xz, content);
	if (!bytes.size)
		return;
	/* 64 and 96 MiB. */
	xz_dictionary(bytes, 28);
	good(bytes, content);
	xz_dictionary(bytes, 29);
	bad(bytes, -ENOBUFS, "64 MiB");
}
END_TEST

START_TEST(test_missing)
{
	struct bytes plain = archive(SMALL_BYTES);

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes bytes = compressed(&formats[i], plain);

		if (!bytes.size)
			continue;
		missing[0] = formats[i].library;
		missing[1] = "libisal";
		bad(bytes, -ENOTSUP, formats[i].library);
		ck_assert_str_eq(read_bytes(bytes, plain).call, "dlopen");
	}
}
END_TEST

/* Tell the peak of this process's resident memory, in KiB. */
static unsigned long resident_peak_kib(void)
{
	const char *status = test_read("/proc/self/status"),
		   *line = status ? strstr(status, "VmHWM:") : NULL;

	return line ? strtoul(line + strlen("VmHWM:"), NULL, 10) : 0;
}

/* Read BYTES, a bomb, and cancel that; nothing has grown. */
static void bomb(struct bytes bytes)
{
	unsigned long before = resident_peak_kib();
	_Atomic bool cancelled = false;
	struct inflate inflate;
	struct stream stream;
	const void *piece;
	unsigned after = 0;
	ssize_t length;
	int fd = file_of(bytes);

	test_error(stream_init(&stream, &no_store, fd, false), 0);
	inflate_init(&inflate, &stream, NULL, &cancelled);
	for (unsigned i = 0; i < BOMB_PIECES; i++)
		ck_assert_int_eq(inflate_read(&inflate, &piece), STREAM_CHUNK_BYTES);
	ck_assert(inflate.threaded);
	atomic_store(&cancelled, true);
	while ((length = inflate_read(&inflate, &piece)) > 0)
		ck_assert_uint_lt(++after, INFLATE_PIECES + 2);
	test_error((int)length, -ECANCELED);
	inflate_end(&inflate);
	stream_close(&stream);
	close(fd);
	/* A sanitizer's memory is not ours. */
	if (!TEST_SANITIZED)
		ck_assert_uint_le(resident_peak_kib() - before, BOMB_KIB_MAX + bytes.size / 1024);
}

START_TEST(test_bombs)
{
	struct bytes zeros = { test_alloc(1 << 20), 1 << 20 }, megabyte,
		     *members = test_alloc((BOMB_BYTES >> 20) * sizeof(*members));

	/* Its window, 1 MiB, is held, too. */
	bomb(zstd_frame((20 - 10) << 3, BOMB_BYTES / ZSTD_BLOCK_BYTES, "", 0));
	for (size_t i = 0; i < 2; i++) {
		megabyte = compressed(&formats[i], zeros);
		missing[0] = formats[i].without;
		for (size_t j = 0; j < BOMB_BYTES >> 20; j++)
			members[j] = megabyte;
		bomb(joined(members, BOMB_BYTES >> 20));
	}
}
END_TEST

/* ---- what fails ------------------------------------------------------------------------------ */

START_TEST(test_allocations)
{
	struct bytes plain = archive(LARGE_BYTES);

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes bytes = compressed(&formats[i], plain);
		struct fault fault = { 0 };
		struct outcome outcome;
		long nth = 1;

		missing[0] = formats[i].without;
		for (; bytes.size; nth++) {
			ck_assert_int_lt(nth, NTH_MAX);
			fault_arm(&fault, FAULT_ALLOCATION, nth, -ENOTRECOVERABLE, false);
			outcome = read_fd(file_of(bytes), plain, &fault);
			if (!atomic_load(&fault.hits))
				break;
			test_error(outcome.error, -ENOMEM);
			ck_assert_ptr_null(outcome.call);
		}
		ck_assert(!bytes.size || (!outcome.error && outcome.same && nth > INFLATE_PIECES));
	}
}
END_TEST

START_TEST(test_no_thread)
{
	struct bytes plain = archive(LARGE_BYTES);

	for (size_t i = 0; i < TEST_COUNT(formats); i++) {
		struct bytes bytes = compressed(&formats[i], plain);
		struct fault fault = { 0 };
		struct outcome outcome;

		if (!bytes.size)
			continue;
		missing[0] = formats[i].without;
		fault_arm(&fault, FAULT_LANE, 1, -EAGAIN, false);
		outcome = read_fd(file_of(bytes), plain, &fault);
		ck_assert(atomic_load(&fault.hits) && !outcome.error && outcome.same &&
			  !outcome.threaded);
		outcome = read_fd(file_of((struct bytes){ bytes.data, bytes.size - 1 }), plain,
				  &fault);
		test_error(outcome.error, INFLATE_CUT_OFF);
	}
}
END_TEST

/* The digests of what comes of BYTES, where FAULT fails something; -errno where one fails. */
static int digests_of(struct bytes bytes, struct fault *fault, struct digests *digests)
{
	_Atomic bool cancelled = false;
	struct inflate inflate;
	struct stream stream;
	int fd = file_of(bytes), r;
	const void *piece;
	ssize_t length;

	*digests = (struct digests){ .wanted = true };
	test_error(stream_init(&stream, &no_store, fd, false), 0);
	inflate_init(&inflate, &stream, fault, &cancelled);
	inflate.digests = digests;
	r = digests_begin(digests, fault);
	if (!r) {
		length = inflate_read(&inflate, &piece);
		r = length < 0 ? (int)length : inflate_finish(&inflate);
	}
	if (!r)
		digests_finish(digests, !inflate.codec);
	inflate_end(&inflate);
	digests_end(digests);
	stream_close(&stream);
	close(fd);
	return r;
}

/*
 * The digests of BYTES, which are PLAIN without compression, are STREAM and DIFF_ID, where FAULT
 * fails.
 */
static void digests_are(struct bytes bytes, struct bytes plain, const char *stream,
			const char *diff_id, struct fault *fault)
{
	struct digests digests;

	test_error(digests_of(bytes, fault, &digests), 0);
	ck_assert_str_eq(digests.result.digest, stream);
	ck_assert_str_eq(digests.result.diff_id, diff_id);
	ck_assert_uint_eq(digests.result.stream_bytes, bytes.size);
	ck_assert_uint_eq(digests.result.plain_bytes, plain.size);
}

START_TEST(test_digests)
{
	const struct bytes sizes[] = { archive(0), archive(LARGE_BYTES),
				       /* As much as one piece, and as all of them. */
				       archive(STREAM_CHUNK_BYTES - 512),
				       archive(DIGEST_PIECES * STREAM_CHUNK_BYTES - 512) };
	char stream[VARVE_DIGEST_SIZE], diff_ids[TEST_COUNT(sizes)][VARVE_DIGEST_SIZE];
	struct fault fault = { 0 };
	struct digests digests;
	struct bytes bytes;

	for (size_t j = 0; j < TEST_COUNT(sizes); j++) {
		sha256sum(sizes[j], diff_ids[j]);
		digests_are(sizes[j], sizes[j], diff_ids[j], diff_ids[j], NULL);
		for (size_t i = 0; i < TEST_COUNT(formats); i++) {
			bytes = compressed(&formats[i], sizes[j]);
			sha256sum(bytes, stream);
			for (cpus = DIGEST_CPUS_MIN - 1; bytes.size && cpus <= DIGEST_CPUS_MIN;
			     cpus++)
				digests_are(bytes, sizes[j], stream, diff_ids[j], NULL);
		}
	}
	/* Threads of their own are for a compressed archive, where there are CPUs for them. */
	cpus = DIGEST_CPUS_MIN;
	bytes = compressed(&formats[0], sizes[1]);
	test_error(digests_of(bytes, NULL, &digests), 0);
	ck_assert(digests.plain.spread);
	cpus = DIGEST_CPUS_MIN - 1;
	test_error(digests_of(bytes, NULL, &digests), 0);
	ck_assert(!digests.plain.spread && !digests.stream.spread);
	test_error(digests_of(sizes[1], NULL, &digests), 0);
	ck_assert(digests.stream.spread);
	cpus = DIGEST_CPUS_MIN;
	/* Without a thread to be had. */
	fault_arm(&fault, FAULT_LANE, 1, -EAGAIN, true);
	digests_are(sizes[1], sizes[1], diff_ids[1], diff_ids[1], &fault);
	ck_assert(atomic_load(&fault.hits));
	fault_arm(&fault, FAULT_LANE, 0, 0, false);
	for (long nth = 1;; nth++) {
		ck_assert_int_lt(nth, NTH_MAX);
		fault_arm(&fault, FAULT_ALLOCATION, nth, -ENOTRECOVERABLE, false);
		if (!digests_of(sizes[1], &fault, &digests))
			break;
		ck_assert_ptr_null(digests_result(&digests));
	}
	missing[0] = "libcrypto";
	test_error(digests_of(sizes[0], NULL, &digests), -ENOTSUP);
}
END_TEST

/* A stream whose digests are taken by the thread that reads it and by the one that decompresses. */
struct shared {
	struct inflate inflate;
	struct stream stream;
	struct digests digests;
	_Atomic bool cancelled;
	/* What inflate_read() returned last. */
	ssize_t length;
};

/* Begin to read FD as SHARED. */
static void shared_begin(struct shared *shared, int fd)
{
	const void *piece;

	cpus = DIGEST_CPUS_MIN - 1;
	*shared = (struct shared){ .digests.wanted = true };
	test_error(stream_init(&shared->stream, &no_store, fd, false), 0);
	inflate_init(&shared->inflate, &shared->stream, NULL, &shared->cancelled);
	test_error(digests_begin(&shared->digests, NULL), 0);
	shared->inflate.digests = &shared->digests;
	ck_assert_int_eq(inflate_read(&shared->inflate, &piece), STREAM_CHUNK_BYTES);
	ck_assert(shared->inflate.threaded);
}

/* SHARED was read to its end: compare its digests with those of BYTES and PLAIN. */
static void shared_end(struct shared *shared, struct bytes bytes, struct bytes plain)
{
	char stream[VARVE_DIGEST_SIZE], diff_id[VARVE_DIGEST_SIZE];

	sha256sum(bytes, stream);
	sha256sum(plain, diff_id);
	digests_finish(&shared->digests, false);
	ck_assert_str_eq(shared->digests.result.digest, stream);
	ck_assert_str_eq(shared->digests.result.diff_id, diff_id);
	inflate_end(&shared->inflate);
	digests_end(&shared->digests);
	stream_close(&shared->stream);
}

/* Are all pieces decompressed that there is room for, and hashed, and none is taken? */
static bool shared_full(void *data)
{
	struct inflate *inflate = &((struct shared *)data)->inflate;
	bool full;

	pthread_mutex_lock(&inflate->lock);
	full = inflate->out.next == INFLATE_PIECES && inflate->out.hashed == INFLATE_PIECES &&
	       inflate->in.hashed == inflate->in.next && !inflate->at;
	pthread_mutex_unlock(&inflate->lock);
	return full;
}

/* Are more than one piece taken, as many as there are, and all hashed? */
static bool shared_empty(void *data)
{
	struct inflate *inflate = &((struct shared *)data)->inflate;
	bool empty;

	pthread_mutex_lock(&inflate->lock);
	empty = inflate->at > 1 && inflate->at == inflate->out.next &&
		inflate->out.hashed == inflate->at && inflate->in.hashed == inflate->in.next;
	pthread_mutex_unlock(&inflate->lock);
	return empty;
}

/* Take all that there is. */
static void *shared_run(void *data)
{
	struct shared *shared = data;
	const void *piece;

	do
		shared->length = inflate_read(&shared->inflate, &piece);
	while (shared->length > 0);
	return NULL;
}

START_TEST(test_shared_digests)
{
	struct bytes plain = archive(LARGE_BYTES), bytes = compressed(&formats[0], plain);
	size_t half = bytes.size / 2;
	struct shared shared;
	pthread_t thread;
	int ends[2], fd;

	if (!bytes.size)
		return;
	/* While nobody takes a piece, the thread that decompresses hashes. */
	fd = file_of(bytes);
	shared_begin(&shared, fd);
	test_until(shared_full, &shared);
	shared_run(&shared);
	test_error((int)shared.length, 0);
	shared_end(&shared, bytes, plain);
	close(fd);
	/* While the writer keeps that thread waiting, the one that takes the pieces does. */
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
	ck_assert_int_eq(write(ends[1], bytes.data, half), (ssize_t)half);
	shared_begin(&shared, ends[0]);
	ck_assert_int_eq(pthread_create(&thread, NULL, shared_run, &shared), 0);
	test_until(shared_empty, &shared);
	bytes.data += half;
	ck_assert_int_eq(write(ends[1], bytes.data, bytes.size - half),
			 (ssize_t)(bytes.size - half));
	bytes.data -= half;
	close(ends[1]);
	pthread_join(thread, NULL);
	test_error((int)shared.length, 0);
	shared_end(&shared, bytes, plain);
	close(ends[0]);
}
END_TEST

/* Let BYTES into a pipe that stays open, take PIECES, and want no more. */
static void left(struct bytes bytes, unsigned pieces)
{
	_Atomic bool cancelled = false;
	struct inflate inflate;
	struct stream stream;
	const void *piece;
	int ends[2], threads = test_threads();

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(write(ends[1], bytes.data, bytes.size), (ssize_t)bytes.size);
	test_error(stream_init(&stream, &no_store, ends[0], false), 0);
	inflate_init(&inflate, &stream, NULL, &cancelled);
	for (unsigned i = 0; i < pieces; i++)
		ck_assert_int_eq(inflate_read(&inflate, &piece), STREAM_CHUNK_BYTES);
	inflate_end(&inflate);
	test_threads_are(threads);
	stream_close(&stream);
	close(ends[0]);
	close(ends[1]);
}

START_TEST(test_left)
{
	/* A hundred pieces, and no end. */
	struct bytes bytes = zstd_frame((27 - 10) << 3, 200, "", 0);

	bytes.size -= 3;
	left(bytes, 0);
	/* With pieces that wait to be taken, and with a thread that waits for the writer. */
	left(bytes, 1);
	left(bytes, 2);
	left(bytes, 100);
}
END_TEST

TEST_MAIN_UNIT("inflate", test_formats, test_tiny_reads, test_cut_off, test_bit_flips, test_members,
	       test_nested, test_signatures, test_limits, test_missing, test_bombs,
	       test_allocations, test_no_thread, test_digests, test_shared_digests, test_left)
