/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of archives. Each kind of stream is cut off at each byte (in `make check` at one in
 * four, others in each run), has bytes behind it, and is given in each way: a layer appears only
 * where the digest is the expected one, and digests are those of sha256sum. An apply that is
 * cancelled or whose stream ends early leaves no layer and no thread, nor does a diff whose reader
 * closes. Kinds, levels and threads of compression are bounded.
 *
 * varve-test: timeout=240
 */
#include "tar.h"
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes in front of an archive that begins within its file. */
#define OFFSET 7
/* More than all pieces that wait to be unpacked, so that both threads are at work. */
#define LARGE_BYTES (6 << 20)
/* Where a large archive is broken off. */
#define BREAKS 9
/* The characters of a digest behind "sha256:". */
#define HEX_CHARACTERS 64

/* How an archive is given. */
enum given { GIVEN_FILE, GIVEN_PIPE, GIVEN_SOCKET, GIVEN_STREAM, GIVEN_WAYS };

/* The digest of no archive here. */
static const char other[] =
	"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Kinds of archives: what makes one of small.tar, and what makes an archive of it again. */
static const struct kind {
	const char *needs, *made_by, *plain_by;
} kinds[] = {
	{ "cat", "cat small.tar", "cat" },
	{ "gzip", "gzip -n <small.tar", "gzip -dc" },
	{ "gzip", "head -c 700 small.tar | gzip -n; tail -c +701 small.tar | gzip -n", "gzip -dc" },
	{ "gzip", "gzip -n </dev/null; gzip -n <small.tar; head -c 50 /dev/zero", "gzip -dc -q" },
	{ "gzip", "{ cat small.tar; echo garbage; } | gzip -n", "gzip -dc" },
	{ "zstd", "zstd -qc <small.tar", "zstd -qdc" },
	{ "zstd", "zstd -qc --no-check <small.tar", "zstd -qdc" },
	{ "zstd",
	  "printf 'P*M\\030\\005\\0\\0\\0frame'; head -c 700 small.tar | zstd -qc; "
	  "printf '_*M\\030\\0\\0\\0\\0'; tail -c +701 small.tar | zstd -qc; "
	  "printf 'Q*M\\030\\002\\0\\0\\0go'",
	  "zstd -qdc" },
	{ "cat", "cat small.tar; head -c 700 /dev/zero; echo garbage", "cat" },
};

/* ---- files and commands ---------------------------------------------------------------------- */

/* Become a shell that runs the command DATA. */
static int shell_run(void *data)
{
	execlp("sh", "sh", "-c", (const char *)data, (char *)NULL);
	return 127;
}

/* Run COMMAND in the directory DIR: did it succeed? */
static bool shell(const char *dir, const char *command)
{
	return !test_child_end(
		test_child_start(shell_run, test_path("cd '%s' && { %s; }", dir, command)));
}

/* The bytes of the file at PATH, *RET_SIZE of them. */
static char *content(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	char *bytes = test_alloc((size_t)size + 1);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, bytes, (size_t)size, 0), size);
	close(fd);
	*ret_size = (size_t)size;
	return bytes;
}

/* A directory for files of this test. */
static char *work_dir(void)
{
	char *dir = test_path("%s/work", test_mount());

	if (!test_exists(dir))
		test_mkdir(dir);
	return dir;
}

/* The first "sha256:..." of the lines of sha256sum at LINES, which is moved to the next. */
static char *next_sum(const char **lines)
{
	char *text = test_path("sha256:%.*s", HEX_CHARACTERS, *lines);
	const char *end = strchr(*lines, '\n');

	ck_assert_ptr_nonnull(end);
	*lines = end + 1;
	return text;
}

/* The sums of the first AT bytes of BYTES, for each AT from 0 to SIZE, as lines. */
static const char *sums_of(const char *dir, const char *bytes, size_t size)
{
	size_t length;

	for (size_t at = 0; at <= size; at++) {
		int fd = open(test_path("%s/cut-%06zu", dir, at), O_WRONLY | O_CREAT | O_CLOEXEC,
			      0600);

		ck_assert_int_eq(write(fd, bytes, at), (ssize_t)at);
		close(fd);
	}
	ck_assert(shell(dir, "printf '%s\\0' cut-* | sort -z | xargs -0 sha256sum >sums; "
			     "printf '%s\\0' cut-* | xargs -0 rm"));
	return content(test_path("%s/sums", dir), &length);
}

/* The sum of what COMMAND prints of the SIZE bytes at BYTES; NULL: it fails. */
static const char *sum_by(const char *dir, const char *command, const char *bytes, size_t size)
{
	int fd = open(test_path("%s/input", dir), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *lines;
	size_t length;

	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
	if (!shell(dir, test_path("%s <input >output && sha256sum output >sum", command)))
		return NULL;
	lines = content(test_path("%s/sum", dir), &length);
	return next_sum(&lines);
}

/* ---- ways to give an archive ----------------------------------------------------------------- */

/* How a create ended. */
struct outcome {
	unsigned ended;
	int error;
	struct varve_digests digests;
};

static void ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct outcome *outcome = data;

	outcome->ended++;
	outcome->error = result->error;
	if (result->digests)
		outcome->digests = *result->digests;
}

/* A descriptor that gives the SIZE bytes at BYTES, which a pipe and a socket hold. */
static int give(enum given given, const char *bytes, size_t size)
{
	int ends[2];

	if (given == GIVEN_FILE) {
		ends[0] = memfd_create("archive", MFD_CLOEXEC);
		ck_assert_int_eq(pwrite(ends[0], "before!", OFFSET, 0), OFFSET);
		ck_assert_int_eq(pwrite(ends[0], bytes, size, OFFSET), (ssize_t)size);
		ck_assert_int_eq(lseek(ends[0], OFFSET, SEEK_SET), OFFSET);
		return ends[0];
	}
	if (given == GIVEN_PIPE)
		ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(write(ends[1], bytes, size), (ssize_t)size);
	close(ends[1]);
	return ends[0];
}

/* Begin to create "layer" with APPLY from FD. */
static varve_request begin(struct varve_store *store, const struct varve_apply_options *apply,
			   int fd, struct outcome *outcome)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	varve_request request;

	options.apply = apply;
	options.apply_fd = fd;
	*outcome = (struct outcome){ 0 };
	test_error(varve_layer_create(store, "layer", &options, ended, outcome, &request), 0);
	return request;
}

/* Create "layer" of the SIZE bytes at BYTES, which are GIVEN; EXPECT, EXPECT_DIFF_ID or NULL. */
static struct outcome create(struct varve_store *store, enum given given, const char *bytes,
			     size_t size, const char *expect, const char *expect_diff_id)
{
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct outcome outcome;
	varve_request request;
	int fd = given == GIVEN_STREAM ? VARVE_STREAM : give(given, bytes, size);

	apply.flags = VARVE_DIGESTS;
	apply.expect = expect;
	apply.expect_diff_id = expect_diff_id;
	request = begin(store, &apply, fd, &outcome);
	if (given == GIVEN_STREAM) {
		int r = test_stream_feed(store, request, bytes, size, size);

		/* It may have failed by now. */
		ck_assert(!r || r == -EPIPE || r == -ENOENT);
		varve_stream_end(store, request, 0);
	} else
		close(fd);
	test_dispatch_until(store, &outcome.ended, 1);
	return outcome;
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* The cut of the SIZE bytes at BYTES with the digest SUM: does it make a layer? */
static bool cut(struct varve_store *store, const char *home, const struct kind *kind,
		const char *bytes, size_t size, const char *sum)
{
	enum given given = size % GIVEN_WAYS;
	struct outcome is = create(store, given, bytes, size, sum, NULL), wrong;
	const char *diff_id;

	ck_assert(test_layer_exists(home, "layer") == !is.error);
	if (!is.error)
		test_remove_layer(store, "layer");
	else if (size % 4)
		return false;
	wrong = create(store, (given + 1) % GIVEN_WAYS, bytes, size, other, NULL);
	test_error(wrong.error, is.error ? is.error : -EBADMSG);
	ck_assert(!test_layer_exists(home, "layer"));
	if (is.error) {
		ck_assert(!is.digests.size && !wrong.digests.size);
		return false;
	}
	ck_assert_str_eq(wrong.digests.digest, sum);
	/* An empty stream is plain, whatever the commands say of it. */
	diff_id = !size || !strcmp(kind->plain_by, "cat")
			  ? sum
			  : sum_by(test_path("%s/work", test_mount()), kind->plain_by, bytes, size);
	ck_assert_msg(diff_id, "\"%s\" takes no %zu bytes of \"%s\"", kind->plain_by, size,
		      kind->made_by);
	ck_assert_str_eq(is.digests.digest, sum);
	ck_assert_str_eq(is.digests.diff_id, diff_id);
	ck_assert_uint_eq(is.digests.stream_bytes, size);
	wrong = create(store, (given + 2) % GIVEN_WAYS, bytes, size, sum, other);
	test_error(wrong.error, -EBADMSG);
	ck_assert(!test_layer_exists(home, "layer"));
	is = create(store, (given + 3) % GIVEN_WAYS, bytes, size, sum, diff_id);
	test_error(is.error, 0);
	test_remove_layer(store, "layer");
	return true;
}

START_TEST(test_cuts)
{
	char *home = test_home(), *dir = work_dir();
	struct varve_store *store = test_open_relaxed(home);
	bool soak = getenv("VARVE_TEST_SOAK");
	uint64_t seed = test_seed();
	struct tar tar = { 0 };
	int fd;

	tar_add_file(&tar, "file", "some text");
	tar_end(&tar);
	fd = open(test_path("%s/small.tar", dir), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, tar.bytes, tar.size), (ssize_t)tar.size);
	close(fd);
	for (size_t i = 0; i < TEST_COUNT(kinds); i++) {
		const struct kind *kind = &kinds[i];
		/* Each byte in the soak. Else those from a random one on, and the last ones. */
		size_t step = soak                                       ? 1
			      : TEST_SANITIZED || TEST_SANITIZED_THREADS ? 29
			      : !strcmp(kind->plain_by, "cat")           ? 13
									 : 4,
		       first = test_random(&seed) % step, size;
		const char *lines;
		char *bytes;

		if (!shell(dir, test_path("command -v %s >/dev/null", kind->needs))) {
			test_skip(kind->needs);
			continue;
		}
		ck_assert(shell(dir, test_path("{ %s; } >archive", kind->made_by)));
		bytes = content(test_path("%s/archive", dir), &size);
		lines = sums_of(dir, bytes, size);
		for (size_t at = 0; at <= size; at++) {
			const char *sum = next_sum(&lines);

			if (at % step != first && at + 20 < size)
				continue;
			ck_assert(cut(store, home, kind, bytes, at, sum) || (at && at != size));
		}
	}
	test_close(store);
}
END_TEST

START_TEST(test_broken_off)
{
	char *home = test_home(), *dir = work_dir();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int threads, descriptors;

	if (!shell(dir, test_path("head -c %d /dev/urandom >file && tar -cf large.tar file && "
				  "gzip -1 <large.tar >gzip && zstd -qc <large.tar >zstd",
				  LARGE_BYTES)))
		return test_skip("gzip, zstd");
	/* What the store holds from the first one on. */
	test_error(create(store, GIVEN_STREAM, "", 0, NULL, NULL).error, 0);
	test_remove_layer(store, "layer");
	threads = test_threads(), descriptors = test_descriptors();
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "large.tar", "gzip", "zstd" };
		static const int errors[] = { -ECANCELED, -EDOM, -ENODATA };
		size_t size;
		char *bytes = content(test_path("%s/%s", dir, names[i]), &size);

		/* The digest that the whole has: what is broken off has another one. */
		apply.expect = sum_by(dir, "cat", bytes, size);
		for (size_t n = 0; n < 3 * BREAKS; n++) {
			size_t at = size / BREAKS * (n / 3) + 1000;
			struct outcome outcome;
			varve_request request = begin(store, &apply, VARVE_STREAM, &outcome);

			test_error(test_stream_feed(store, request, bytes, at, at), 0);
			if (n % 3 == 0)
				test_error(varve_cancel(store, request), 0);
			else
				test_error(varve_stream_end(store, request, n % 3 == 1 ? -EDOM : 0),
					   0);
			test_dispatch_until(store, &outcome.ended, 1);
			test_error(outcome.error, errors[n % 3]);
			ck_assert(!test_layer_exists(home, "layer"));
		}
	}
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_close(store);
	test_threads_are(threads);
}
END_TEST

/* A diff of "layer", compressed as COMPRESS by THREADS, to a pipe or socket that is closed early. */
static void leave(struct varve_store *store, uint64_t compress, uint64_t threads, bool socket)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct outcome outcome = { 0 };
	char byte;
	int ends[2];

	options.flags = VARVE_DIGESTS;
	options.compress = compress;
	options.compress_threads = threads;
	if (socket)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	else
		ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	test_error(varve_layer_diff(store, "layer", &options, ends[1], ended, &outcome, NULL), 0);
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	test_dispatch_until(store, &outcome.ended, 1);
	/* A socket that is closed before all was read: the kernel reports that first. */
	if (!socket || outcome.error != -ECONNRESET)
		test_error(outcome.error, -EPIPE);
	ck_assert_uint_eq(outcome.digests.size, 0);
}

START_TEST(test_reader_leaves)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	int threads, descriptors;

	test_create(store, "layer", NULL);
	ck_assert(shell(test_layer(home, "layer"),
			test_path("head -c %d /dev/urandom >file", LARGE_BYTES)));
	leave(store, VARVE_COMPRESS_NONE, 0, false);
	threads = test_threads(), descriptors = test_descriptors();
	for (unsigned i = 0; i < 2 * VARVE_COMPRESS_THREADS_MAX; i++) {
		leave(store, VARVE_COMPRESS_GZIP, 1 + i / 2, i % 2);
		leave(store, VARVE_COMPRESS_ZSTD, 1 + i / 2, i % 2);
	}
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_threads_are(threads);
	test_close(store);
}
END_TEST

/* A diff with these is refused. */
static void refused(struct varve_store *store, uint64_t compress, uint64_t level, uint64_t threads)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct outcome outcome;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	options.compress = compress;
	options.compress_level = level;
	options.compress_threads = threads;
	test_error(varve_layer_diff(store, "layer", &options, fd, ended, &outcome, NULL), -EINVAL);
	close(fd);
}

START_TEST(test_bounds)
{
	struct varve_store *store = test_open_relaxed(test_home());

	test_create(store, "layer", NULL);
	refused(store, VARVE_COMPRESS_ZSTD + 1, 0, 0);
	refused(store, UINT64_MAX, 0, 0);
	refused(store, VARVE_COMPRESS_NONE, 1, 0);
	refused(store, VARVE_COMPRESS_GZIP, 10, 0);
	refused(store, VARVE_COMPRESS_ZSTD, 20, 0);
	refused(store, VARVE_COMPRESS_ZSTD, (uint64_t)1 << 32 | 1, 0);
	refused(store, VARVE_COMPRESS_GZIP, 1, VARVE_COMPRESS_THREADS_MAX + 1);
	refused(store, VARVE_COMPRESS_GZIP, 1, (uint64_t)1 << 32 | 1);
	refused(store, VARVE_COMPRESS_NONE, 0, VARVE_COMPRESS_THREADS_MAX + 1);
	test_close(store);
}
END_TEST

TEST_MAIN("digests", test_cuts, test_broken_off, test_reader_leaves, test_bounds)
