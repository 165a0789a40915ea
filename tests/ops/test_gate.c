/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Few descriptors: archives that are joined by pipes or callbacks do not wait for each other, and
 * each operation alone makes do with what it reserves.
 *
 * varve-test: timeout=180
 */
#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Archives that are joined to each other. */
#define PAIRS 8
/* Descriptors that are free for them, beside their own ends. */
#define PAIRS_FREE 56
/* Bytes of a layer: more than a pipe and a channel hold. */
#define LAYER_BYTES (512 * 1024)
/* More than any operation opens. */
#define PLENTY 200

/* How many calls of openat2 find no descriptor from here on. */
static _Atomic int missing;

/* In the place of libc's. */
long syscall(long number, ...)
{
	static long (*_Atomic real)(long number, ...);
	va_list arguments;
	long a[6];
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_openat2 && missing > 0 && missing-- > 0) {
		errno = EMFILE;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Let this process have LIMIT descriptors. */
static void limit_to(unsigned limit)
{
	struct rlimit rlimit;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rlimit), 0);
	rlimit.rlim_cur = limit;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rlimit), 0);
}

/* Leave COUNT descriptors free: those that are open need not be the lowest. */
static void leave_free(unsigned count)
{
	unsigned limit = 0;
	for (unsigned unused = 0;; limit++)
		if (fcntl((int)limit, F_GETFD) < 0 && unused++ == count)
			break;
	limit_to(limit);
}

/*
 * Fill the layer ID: directories with files of which not all is read ahead, and a file that takes
 * more than a pipe holds.
 */
static void fill(const char *home, const char *id)
{
	char *path = test_layer(home, id);
	int fd;
	test_make_tree(path, 12, 4, PREFETCH_FILE_BYTES + 1);
	fd = open(test_path("%s/large", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, test_alloc(LAYER_BYTES), LAYER_BYTES), LAYER_BYTES);
	close(fd);
}

/* ---- joined archives ------------------------------------------------------------------------- */

static int submit_diff(struct varve_store *store, int fd, struct test_record *record)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	options.parent = "";
	return varve_layer_diff(store, "base", &options, fd, test_record, record, NULL);
}

/* Every other one makes a layer, the rest is for layers that are there. */
static int submit_apply(struct varve_store *store, unsigned i, int fd, struct test_record *record)
{
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	if (i % 2 == 0)
		return varve_layer_apply(store, test_path("copy-%u", i), &apply, fd, test_record,
					 record, NULL);
	options.apply = &apply;
	options.apply_fd = fd;
	return varve_layer_create(store, test_path("copy-%u", i), &options, test_record, record,
				  NULL);
}

/* Others come in between. */
static void submit_other(struct varve_store *store, struct test_record *record)
{
	test_error(varve_layer_info(store, "other", test_record, record, NULL), 0);
}

/* The pipes of the pairs; closed as each end is handed on. */
struct pipes {
	int ends[PAIRS][2];
};

static void submit_reader(struct varve_store *store, struct pipes *pipes, unsigned i,
			  struct test_record *record)
{
	test_error(submit_apply(store, i, pipes->ends[i][0], record), 0);
	close(pipes->ends[i][0]);
}

static void submit_writer(struct varve_store *store, struct pipes *pipes, unsigned i,
			  struct test_record *record)
{
	test_error(submit_diff(store, pipes->ends[i][1], record), 0);
	close(pipes->ends[i][1]);
}

/* A store with a layer to be written, one that others look at, and those that are written to. */
static struct varve_store *open_pairs(char *home)
{
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "base", NULL);
	test_create(store, "other", NULL);
	fill(home, "base");
	for (unsigned i = 0; i < PAIRS; i += 2)
		test_create(store, test_path("copy-%u", i), NULL);
	return store;
}

/*
 * Submit all pairs by pipes, writers first or READERS_FIRST, the readers in the same order or
 * CROSSED; wait for all.
 */
static void run_pairs(struct varve_store *store, struct test_record *records, bool readers_first,
		      bool crossed)
{
	struct pipes pipes;
	/* The ends and their duplicates, and what each stream is woken by. */
	limit_to(1024);
	for (unsigned i = 0; i < PAIRS; i++)
		ck_assert_int_eq(pipe2(pipes.ends[i], O_CLOEXEC), 0);
	leave_free(PAIRS_FREE + 2 * PAIRS);
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < PAIRS; i++) {
			bool reader = (turn == 0) == readers_first;
			unsigned pair = reader && crossed ? PAIRS - 1 - i : i;
			if (reader)
				submit_reader(store, &pipes, pair, &records[pair]);
			else
				submit_writer(store, &pipes, pair, &records[PAIRS + pair]);
			submit_other(store, &records[2 * PAIRS + turn * PAIRS + i]);
		}
	test_await_all(store, records, 4 * PAIRS);
	limit_to(1024);
}

static void all_succeeded(const struct test_record *records, size_t count)
{
	char text[1024];
	for (size_t i = 0; i < count; i++)
		ck_assert_msg(records[i].error == 0, "%zu: %s: %s", i,
			      test_errno_name(records[i].error),
			      varve_strerror(&records[i].failure, text, sizeof(text)));
}

/* In the same order: all succeed, without a wait for what is stalled. */
static void joined(bool readers_first)
{
	char *home = test_home();
	struct varve_store *store = open_pairs(home);
	struct test_record records[4 * PAIRS] = { 0 };
	store->core.fds.stall_after_ns = UINT32_MAX * NS_PER_MS;
	run_pairs(store, records, readers_first, false);
	all_succeeded(records, TEST_COUNT(records));
	for (unsigned i = 0; i < PAIRS; i++)
		ck_assert(test_exists(
			test_path("%s/large", test_layer(home, test_path("copy-%u", i)))));
	test_close(store);
}

START_TEST(test_writers_first)
{
	joined(false);
}
END_TEST

START_TEST(test_readers_first)
{
	joined(true);
}
END_TEST

/*
 * In any order: all end; what fails says that descriptors were missing, or was joined to such a
 * one.
 */
START_TEST(test_crossed)
{
	char *home = test_home();
	struct varve_store *store = open_pairs(home);
	struct test_record records[4 * PAIRS] = { 0 };
	store->core.fds.stall_after_ns = 10 * NS_PER_MS;
	run_pairs(store, records, false, true);
	for (unsigned i = 0; i < PAIRS; i++) {
		int reader = records[i].error, writer = records[PAIRS + i].error;
		ck_assert_msg(!reader || reader == -EMFILE || writer == -EMFILE, "%u: %s", i,
			      test_errno_name(reader));
		ck_assert_msg(!writer || writer == -EMFILE || reader == -EMFILE, "%u: %s", i,
			      test_errno_name(writer));
	}
	all_succeeded(records + 2 * PAIRS, 2 * PAIRS);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* A sink that takes nothing before LET_GO is set. */
static bool let_go;

static int take_later(struct varve_store *store, varve_request request, const void *bytes,
		      size_t size, void *data)
{
	return let_go ? 0 : VARVE_PAUSE;
}

/*
 * What a paused sink waits for may be any operation: others are let in, one at a time at least, and
 * the sinks go on after.
 */
START_TEST(test_paused)
{
	char *home = test_home();
	struct varve_store *store = open_pairs(home);
	struct test_record records[PAIRS] = { 0 }, others[PAIRS] = { 0 };
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	varve_request requests[PAIRS];
	options.parent = "";
	options.sink = take_later;
	leave_free(PAIRS_FREE);
	for (unsigned i = 0; i < PAIRS; i++)
		test_error(varve_layer_diff(store, "base", &options, VARVE_STREAM, test_record,
					    &records[i], &requests[i]),
			   0);
	for (unsigned i = 0; i < PAIRS; i++)
		test_error(varve_layer_usage(store, "other", VARVE_USAGE_WALK, test_record,
					     &others[i], NULL),
			   0);
	test_await_all(store, others, PAIRS);
	all_succeeded(others, PAIRS);
	let_go = true;
	for (unsigned done = 0; done < PAIRS;) {
		varve_wait(store, 1);
		done = 0;
		for (unsigned i = 0; i < PAIRS; i++) {
			varve_stream_resume(store, requests[i]);
			done += records[i].calls;
		}
	}
	all_succeeded(records, PAIRS);
	limit_to(1024);
	test_close(store);
}
END_TEST

/* ---- what one alone needs -------------------------------------------------------------------- */

/*
 * One operation, on the layer "base" or "shifted", or that makes or removes "copy"; what it
 * reserves.
 */
struct single {
	const char *name;
	int (*run)(struct varve_store *store, struct varve_failure *failure);
	unsigned reserved;
	/* What a walk reserves beside, where there are enough, and holds of them by chance. */
	unsigned walks;
	bool makes, removes;
	/* Called before with the path of "base"; NULL: nothing. */
	void (*prepare)(const char *path);
};

static const struct varve_id_map map = { 0, 100000, 65536 };
static int archive_fd;

static int run_create(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "base";
	return varve_layer_create_wait(store, "copy", &options, failure);
}

static int run_create_empty(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_create_wait(store, "copy", NULL, failure);
}

static int run_create_shifted(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	shift.uid_to = &map;
	shift.uid_to_count = 1;
	options.parent = "base";
	options.chown = &shift;
	return varve_layer_create_wait(store, "copy", &options, failure);
}

static int run_create_apply(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	options.apply = &apply;
	options.apply_fd = archive_fd;
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	return varve_layer_create_wait(store, "copy", &options, failure);
}

static int run_apply(struct varve_store *store, struct varve_failure *failure)
{
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	return varve_layer_apply_wait(store, "base", NULL, archive_fd, NULL, NULL, failure);
}

/* Have deep directories where the archive has a file. */
static void prepare_apply(const char *path)
{
	char *deep = test_path("%s/large", path);
	test_remove(deep);
	for (unsigned i = 0; i < 20; i++) {
		test_mkdir(deep);
		test_write(test_path("%s/file", deep), "text");
		deep = test_path("%s/directory", deep);
	}
}

static int run_remove(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_remove_wait(store, "copy", 0, failure);
}

static int run_info(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	return varve_layer_info_wait(store, "base", &info, failure);
}

static int run_exists(struct varve_store *store, struct varve_failure *failure)
{
	bool exists;
	return varve_layer_exists_wait(store, "base", &exists, failure);
}

/* The asynchronous forms, as some have no other. */
static int wait_record(struct varve_store *store, int submitted, struct test_record *record,
		       struct varve_failure *failure)
{
	int r = submitted ? submitted : test_await(store, record);
	*failure = record->failure;
	return r;
}

static int run_list(struct varve_store *store, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	return wait_record(store, varve_layer_list(store, test_record, &record, NULL), &record,
			   failure);
}

static int run_status(struct varve_store *store, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	return wait_record(store, varve_status(store, test_record, &record, NULL), &record,
			   failure);
}

static int run_usage_of(struct varve_store *store, uint64_t flags, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	return wait_record(store,
			   varve_layer_usage(store, "base", flags, test_record, &record, NULL),
			   &record, failure);
}

static int run_usage(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage_of(store, 0, failure);
}

static int run_usage_walk(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage_of(store, VARVE_USAGE_WALK, failure);
}

static int run_chown(struct varve_store *store, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	options.uid_to = &map;
	options.uid_to_count = 1;
	/* The second time all owners are outside of the map. */
	options.flags = VARVE_OVERFLOW_IDS;
	return wait_record(store,
			   varve_layer_chown(store, "shifted", &options, test_record, &record,
					     NULL),
			   &record, failure);
}

static int run_changes_of(struct varve_store *store, uint64_t flags, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	int r = varve_layer_changes(store, "base", TEST_CHANGES("shifted", flags), test_record,
				    &record, NULL);
	return wait_record(store, r, &record, failure);
}

static int run_changes(struct varve_store *store, struct varve_failure *failure)
{
	return run_changes_of(store, 0, failure);
}

static int run_changes_walk(struct varve_store *store, struct varve_failure *failure)
{
	return run_changes_of(store, VARVE_CHANGES_WALK, failure);
}

static int run_diff(struct varve_store *store, struct varve_failure *failure)
{
	struct test_record record = { 0 };
	int fd = archive_fd;
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return wait_record(store, submit_diff(store, fd, &record), &record, failure);
}

static const struct single singles[] = {
	{ .name = "diff", .run = run_diff, .reserved = FDS_CHANGES },
	{ .name = "create", .run = run_create, .reserved = FDS_OPERATION, .makes = true },
	{ .name = "create empty",
	  .run = run_create_empty,
	  .reserved = FDS_OPERATION,
	  .makes = true },
	{ .name = "create shifted",
	  .run = run_create_shifted,
	  .reserved = FDS_OPERATION + FDS_RESERVE,
	  .walks = WALK_FDS_MAX,
	  .makes = true },
	{ .name = "create from an archive",
	  .run = run_create_apply,
	  .reserved = FDS_APPLY,
	  .makes = true },
	{ .name = "apply", .run = run_apply, .reserved = FDS_APPLY, .prepare = prepare_apply },
	{ .name = "remove", .run = run_remove, .reserved = FDS_OPERATION, .removes = true },
	{ .name = "info", .run = run_info, .reserved = FDS_OPERATION },
	{ .name = "exists", .run = run_exists, .reserved = FDS_OPERATION },
	{ .name = "list", .run = run_list, .reserved = FDS_OPERATION },
	{ .name = "status", .run = run_status, .reserved = FDS_OPERATION },
	{ .name = "usage", .run = run_usage, .reserved = FDS_OPERATION },
	{ .name = "usage by walk",
	  .run = run_usage_walk,
	  .reserved = FDS_OPERATION + FDS_RESERVE,
	  .walks = WALK_FDS_MAX },
	{ .name = "chown",
	  .run = run_chown,
	  .reserved = FDS_OPERATION + FDS_RESERVE,
	  .walks = WALK_FDS_MAX },
	{ .name = "changes", .run = run_changes, .reserved = FDS_CHANGES },
	{ .name = "changes by walk", .run = run_changes_walk, .reserved = FDS_CHANGES },
};

/* Run SINGLE with COUNT descriptors free. */
static int run_with(struct varve_store *store, const char *home, const struct single *single,
		    unsigned count)
{
	struct varve_failure failure = { 0 };
	int r;
	if (single->prepare)
		single->prepare(test_layer(home, "base"));
	if (single->removes)
		test_create(store, "copy", "base");
	leave_free(count);
	r = single->run(store, &failure);
	limit_to(1024);
	ck_assert_msg(!r || r == -EMFILE, "%s with %u: %s", single->name, count,
		      test_errno_name(r));
	if ((single->makes && !r) || (single->removes && r))
		test_remove_layer(store, "copy");
	return r;
}

START_TEST(test_alone)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	limit_to(1024);
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
	test_create(store, "base", NULL);
	fill(home, "base");
	test_create(store, "shifted", "base");
	for (unsigned i = 0; i < TEST_COUNT(singles); i++) {
		const struct single *single = &singles[i];
		unsigned count = 0;
		/* What stays open for good is opened now. */
		test_error(run_with(store, home, single, PLENTY), 0);
		/* The fewest that it does with. */
		while (run_with(store, home, single, count))
			ck_assert_msg(++count <= single->reserved,
				      "%s fails with the %u that it reserves", single->name,
				      single->reserved);
		printf("%s: reserves %u, makes do with %u\n", single->name, single->reserved,
		       count);
		test_error(run_with(store, home, single, single->reserved), 0);
	}
	test_close(store);
}
END_TEST

/*
 * What finds no descriptor, as the program has taken those that were free, begins anew when another
 * one has ended.
 */
START_TEST(test_parked)
{
	enum { LAYERS = 8 };
	struct varve_config config = test_config(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	const char *ids[LAYERS];
	int outcomes[LAYERS];
	/* So that calls are made by this process, not by its ring. */
	config.flags |= VARVE_OPEN_NO_URING;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < LAYERS; i++)
		ids[i] = test_path("layer-%d", i);
	missing = LAYERS - 2;
	test_ok(varve_layer_create_batch_wait(store, ids, LAYERS, &options, outcomes, &failure),
		&failure);
	ck_assert_int_le(missing, 0);
	for (int i = 0; i < LAYERS; i++)
		test_error(outcomes[i], 0);
	test_close(store);
}
END_TEST

/*
 * What the program takes after an unpacking has begun is not missed: some are held in reserve from
 * before.
 */
START_TEST(test_taken)
{
	char *home = test_home(), *archive;
	struct varve_store *store = test_open_relaxed(home);
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct test_record record = { 0 };
	varve_request request;
	bool full = false;
	size_t size, taken;
	char text[1024];
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
	test_create(store, "base", NULL);
	fill(home, "base");
	test_create(store, "copy", "base");
	prepare_apply(test_layer(home, "copy"));
	test_error(run_diff(store, &(struct varve_failure){ 0 }), 0);
	size = (size_t)lseek(archive_fd, 0, SEEK_END);
	archive = test_alloc(size);
	ck_assert_int_eq(pread(archive_fd, archive, size, 0), size);
	/* What stays open for good is opened now. */
	test_error(run_apply(store, &(struct varve_failure){ 0 }), 0);
	test_error(varve_layer_apply(store, "copy", &options, VARVE_STREAM, test_record, &record,
				     &request),
		   0);
	for (size_t at = 0; at < size; at += taken) {
		int r = varve_stream_write(store, request, archive + at, size - at, &taken);
		if (r == -EAGAIN) {
			/*
			 * It has taken some, as it has begun: more than a channel holds was
			 * written.
			 */
			taken = 0;
			if (at > VARVE_STREAM_BYTES && !full) {
				leave_free(0);
				full = true;
			}
			varve_wait(store, 1);
			continue;
		}
		/* It has ended: the reason is reported below. */
		if (r)
			break;
	}
	ck_assert(full);
	varve_stream_end(store, request, 0);
	test_await(store, &record);
	limit_to(1024);
	ck_assert_msg(!record.error, "%s", varve_strerror(&record.failure, text, sizeof(text)));
	test_close(store);
}
END_TEST

/*
 * How many descriptors the process has a table for: it grows with the highest one that was ever
 * open.
 */
static unsigned table_size(void)
{
	char *text = test_read("/proc/self/status"), *line = strstr(text, "FDSize:");
	unsigned size = 0;
	ck_assert_ptr_nonnull(line);
	ck_assert_int_eq(sscanf(line, "FDSize: %u", &size), 1);
	return size;
}

/* What a child is to look at. */
struct peak {
	char *home;
	const struct single *single;
};

/*
 * No more are open at once than the operation reserves, though there are plenty: one more would
 * make the table grow.
 */
static int check_peak(void *data)
{
	const struct peak *peak = data;
	const struct single *single = peak->single;
	struct varve_config config = test_config(peak->home);
	struct varve_store *store;
	struct varve_failure failure = { 0 };
	unsigned reserved = single->reserved + single->walks, size, left = 0;
	config.flags |= VARVE_OPEN_RELAXED;
	/* As on a machine with many CPUs. */
	config.fs_threads_max = COMPARE_THREADS_MAX;
	store = test_open_config(&config);
	limit_to(4096);
	test_error(run_with(store, peak->home, single, PLENTY), 0);
	limit_to(4096);
	if (single->prepare)
		single->prepare(test_layer(peak->home, "base"));
	if (single->removes)
		test_create(store, "copy", "base");
	size = 2 * table_size();
	close(fcntl(archive_fd, F_DUPFD_CLOEXEC, (int)size - 1));
	ck_assert_uint_eq(table_size(), size);
	for (unsigned fd = 0; fd < size; fd++)
		left += fcntl((int)fd, F_GETFD) < 0;
	for (; left > reserved; left--)
		ck_assert_int_lt(fcntl(archive_fd, F_DUPFD_CLOEXEC, 0), (int)size);
	test_error(single->run(store, &failure), 0);
	ck_assert_msg(table_size() == size, "%s opens more than the %u that it reserves",
		      single->name, reserved);
	return 0;
}

START_TEST(test_peak)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "base", NULL);
	fill(home, "base");
	test_create(store, "shifted", "base");
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
	test_error(run_diff(store, &(struct varve_failure){ 0 }), 0);
	test_close(store);
	for (unsigned i = 0; i < TEST_COUNT(singles); i++) {
		struct peak peak = { .home = home, .single = &singles[i] };
		test_in_child(check_peak, &peak);
		/* It ended with the store open. */
		store = test_open_relaxed(home);
		if (singles[i].makes)
			test_remove_layer(store, "copy");
		test_close(store);
	}
}
END_TEST

TEST_MAIN("gate", test_writers_first, test_readers_first, test_crossed, test_paused, test_taken,
	  test_alone, test_parked, test_peak)
